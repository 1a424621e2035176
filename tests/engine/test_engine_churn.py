"""Churn leaves nothing behind; threads leave everything consistent."""

from __future__ import annotations

import random
import sys
import threading
import weakref

import pytest

from armature_cache.engine import Engine
from armature_cache.engine import engine as engine_module
from armature_cache.engine.expiry import HEADS
from armature_cache.entry import Entry
from tests.engine.engine_support import check, make


class Value:
    """Something that can be referred to weakly."""


def tables(engine):
    shard = engine._shards[0]
    policy, wheel = shard._policy, shard._wheel
    return {
        "entries": len(shard._entries) - HEADS,
        "free": len(shard._free),
        "queues": len(policy._chains.next) - HEADS,
        "wheel": len(wheel._chains.next) - HEADS,
        "due": len(wheel._due),
        "ghosts": len(policy._ghosts),
    }


def assert_small(engine, capacity):
    sizes = tables(engine)
    assert max(sizes["entries"], sizes["queues"], sizes["wheel"], sizes["free"]) <= capacity
    assert sizes["due"] <= 65 + 2 * capacity
    assert sizes["ghosts"] <= 3 * capacity + 64


def test_a_long_row_of_new_keys_with_deadlines_does_not_grow_the_tables():
    engine = Engine(max_entries=200)
    for number in range(60_000):
        now = number * 0.001
        engine.put(make(f"k{number}", now + (number % 7 + 1) * 0.3), now)
    assert_small(engine, 200)
    check(engine)


def test_putting_and_discarding_for_ever_does_not_grow_the_tables():
    engine = Engine(max_entries=200)
    for number in range(60_000):
        engine.put(make(f"k{number}", number + 1e6), float(number))
        if number % 3:
            engine.discard(f"k{number}")
    assert_small(engine, 200)
    engine.clear()
    assert tables(engine) == dict.fromkeys(tables(engine), 0)


def test_replacing_for_ever_does_not_grow_the_tables():
    engine = Engine(max_entries=200)
    for number in range(60_000):
        engine.put(make(f"k{number % 50}", number * 0.001 + 5.0), number * 0.001)
    assert len(engine) == 50
    assert_small(engine, 50)


@pytest.mark.parametrize("how", ["replace", "discard", "evict", "expire", "clear"])
def test_what_left_is_referenced_by_nothing(how):
    engine = Engine(max_entries=1)
    value = Value()
    gone = weakref.ref(value)
    engine.put(Entry("a", value, asof=0, epoch=0, dead_at=10.0), 0.0)
    del value
    if how == "replace":
        engine.put(make("a"), 0.0)
    elif how == "discard":
        engine.discard("a")
    elif how == "evict":
        engine.put(make("b"), 0.0)
    elif how == "expire":
        engine.expire(10.0)
    else:
        engine.clear()
    assert gone() is None


@pytest.mark.parametrize("how", ["replace", "discard", "expire", "clear"])
def test_a_finaliser_may_use_the_engine(how):
    engine = Engine(max_entries=10)
    value = Value()
    weakref.finalize(value, engine.put, make("last"), 0.0)
    engine.put(Entry("a", value, asof=0, epoch=0, dead_at=10.0), 0.0)
    del value
    if how == "replace":
        engine.put(make("a"), 0.0)
    elif how == "discard":
        engine.discard("a")
    elif how == "expire":
        engine.expire(10.0)
    else:
        engine.clear()
    assert "last" in set(engine.keys())
    check(engine)


def work(engine, seed, rounds):
    draw = random.Random(seed)
    for number in range(rounds):
        key = f"k{draw.randrange(150)}"
        now = number * 0.01
        action = draw.random()
        entry = engine.find(key)
        if entry is not None:
            entry.visits += 1
        if action < 0.6:
            ttl = draw.choice([0.05, 1.0, 20.0, float("inf")])
            engine.put(make(key, now + ttl, draw.randrange(1, 20)), now)
        elif action < 0.8:
            engine.discard(key)
        elif action < 0.9 and entry is not None:
            engine.touch_expiry(entry, now + 3.0)
        elif action < 0.95:
            engine.expire(now, draw.choice([None, 5]))
        elif action < 0.952:
            engine.clear()
        else:
            assert len(engine) <= 60


@pytest.mark.parametrize("sharded", [False, True])
def test_threads_leave_everything_consistent(sharded, monkeypatch):
    if sharded:
        monkeypatch.setattr(engine_module, "_SINGLE", 1)
        monkeypatch.setattr(engine_module, "_SHARD", 8)
    engine = Engine(max_entries=60, max_bytes=500)
    assert (len(engine._shards) > 1) == sharded
    failures: list[BaseException] = []

    def run(seed):
        try:
            work(engine, seed, 2_500)
        except BaseException as failure:  # noqa: BLE001 - shown by the assertion below
            failures.append(failure)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=run, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert failures == []
    check(engine)
    engine.expire(1e9)
    check(engine)
    assert all(entry.dead_at == float("inf") for s in engine._shards for entry in s.table.values())
