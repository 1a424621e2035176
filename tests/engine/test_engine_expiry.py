"""Expiry: nothing dead survives `expire`, nothing living is removed, and work is bounded."""

from __future__ import annotations

import math

import hypothesis.strategies as st
import pytest
from hypothesis import given

from armature_cache.engine import Engine
from armature_cache.engine.chains import Chains
from tests.engine.engine_support import check, make


@pytest.mark.parametrize("origin", [-1e6, 0.0, 1.7e9, 1e12])
@pytest.mark.parametrize("ttl", [0.001, 0.03, 1.0, 59.9, 3600.0, 86_400.0 * 30, 86_400.0 * 4000])
def test_an_entry_dies_at_its_time_and_not_before(origin, ttl):
    engine = Engine(max_entries=10)
    dead_at = origin + ttl
    engine.put(make("a", dead_at), origin)
    just_before = math.nextafter(dead_at, -math.inf)
    assert engine.next_expiry <= dead_at
    assert engine.expire(just_before) == 0
    assert engine.next_expiry <= dead_at
    assert engine.expire(dead_at) == 1
    assert engine.next_expiry == math.inf


@given(
    ttls=st.lists(st.floats(0.001, 1e7), min_size=1, max_size=60),
    steps=st.lists(st.floats(0.0, 1e6), max_size=30),
)
def test_whatever_way_time_passes_exactly_the_dead_leave(ttls, steps):
    engine = Engine(max_entries=100)
    now = 5.5
    for number, ttl in enumerate(ttls):
        engine.put(make(f"k{number}", now + ttl), now)
    for step in steps:
        now += step
        engine.expire(now)
        alive = {f"k{number}" for number, ttl in enumerate(ttls) if 5.5 + ttl > now}
        assert set(engine.keys()) == alive
        assert engine.next_expiry > now
        check(engine)


def test_next_expiry_comes_close_to_the_earliest_death_once_work_is_done():
    engine = Engine(max_entries=10)
    engine.put(make("soon", 10.0), 0.0)
    engine.put(make("late", 10_000.0), 0.0)
    assert engine.next_expiry == 10.0
    engine.expire(10.0)
    assert 10.0 < engine.next_expiry <= 10_000.0
    calls = 0
    while engine.next_expiry < 10_000.0:
        engine.expire(engine.next_expiry)
        calls += 1
    assert calls < 6
    assert len(engine) == 1


def test_puts_purge_the_dead_without_being_asked():
    engine = Engine(max_entries=10_000)
    for number in range(1_000):
        engine.put(make(f"old{number}", dead_at=100.0), 0.0)
    for number in range(1_000):
        engine.put(make(f"new{number}"), 200.0)
    assert engine.expirations == 1_000
    assert len(engine) == 1_000
    assert engine.next_expiry == math.inf


def test_the_work_of_one_put_is_bounded_however_many_die_at_once():
    engine = Engine(max_entries=10_000)
    for number in range(10_000):
        engine.put(make(f"old{number}", dead_at=100.0), 0.0)
    engine.put(make("new"), 200.0)
    assert 0 < engine.expirations <= 16
    assert engine.next_expiry <= 200.0
    assert engine.expire(200.0, 10) <= 10
    assert engine.expire(200.0) > 9_900
    assert engine.keys() == ["new"]


def test_touching_expiry_moves_death_both_ways():
    engine = Engine(max_entries=10)
    entry = make("a", 10.0)
    engine.put(entry, 0.0)
    engine.touch_expiry(entry, 1_000.0)
    assert engine.expire(500.0) == 0
    engine.touch_expiry(entry, 501.0)
    assert engine.next_expiry <= 501.0
    assert engine.expire(501.0) == 1
    engine.touch_expiry(entry, 2_000.0)
    assert engine.expire(3_000.0) == 0


def test_entries_that_never_die_cost_the_wheel_nothing():
    engine = Engine(max_entries=10)
    engine.put(make("a"), 0.0)
    wheel = engine._shards[0]._wheel
    assert (wheel._scheduled, wheel._due) == (0, [])
    assert engine.next_expiry == math.inf


def test_renewing_one_key_at_one_moment_leaves_nothing_behind():
    engine = Engine(max_entries=10)
    for _ in range(10_000):
        engine.put(make("a", 0.01), 0.0)
        engine.touch_expiry(make("a", 0.02), 0.02)
    assert len(engine._shards[0]._wheel._due) < 100
    check(engine)


def test_chains_splice_in_order():
    chains = Chains(3)
    for _ in range(4):
        chains.grow()
    for head, slot in ((0, 3), (0, 4), (1, 5), (1, 6)):
        chains.append(head, slot)
    chains.splice(0, 1)
    chains.splice(2, 1)
    assert list(chains.members(1)) == [5, 6, 3, 4]
    assert list(chains.members(0)) == []
    chains.unlink(6)
    chains.unlink(6)
    assert list(chains.members(1)) == [5, 3, 4]
