"""What stays: scans pass through, loops hit, the window finds its size."""

from __future__ import annotations

import random
from collections import OrderedDict

import pytest

from armature_cache.engine import Engine
from armature_cache.engine.expiry import HEADS
from armature_cache.engine.ghosts import Ghosts
from armature_cache.engine.policy import MAIN, Policy
from tests.engine.engine_support import check, make, replay

pytestmark = pytest.mark.slow

CAPACITY = 500


def lru_hits(keys):
    cache: OrderedDict[str, None] = OrderedDict()
    hits = 0
    for key in keys:
        if key in cache:
            hits += 1
            cache.move_to_end(key)
        else:
            cache[key] = None
            if len(cache) > CAPACITY:
                cache.popitem(last=False)
    return hits / len(keys)


def loop(length, rounds=40):
    return [f"k{number}" for _ in range(rounds) for number in range(length)]


def skewed(count, population, seed=1):
    weights = [1 / (rank + 1) ** 0.9 for rank in range(population)]
    chosen = random.Random(seed).choices(range(population), weights, k=count)
    return [f"k{number}" for number in chosen]


def share(engine):
    return engine._shards[0]._policy.share


def test_a_loop_longer_than_the_cache_hits_where_lru_never_does():
    keys = loop(CAPACITY * 3 // 2)
    assert lru_hits(keys) == 0
    assert replay(Engine(max_entries=CAPACITY), keys) > 0.55
    assert replay(Engine(max_entries=CAPACITY), loop(CAPACITY * 11 // 10)) > 0.75
    assert replay(Engine(max_entries=CAPACITY), loop(CAPACITY * 3, 20)) > 0.2


def test_a_scan_does_not_drive_out_what_is_used():
    engine = Engine(max_entries=CAPACITY)
    used = [f"used{number}" for number in range(CAPACITY // 2)]
    replay(engine, used * 8)
    replay(engine, (f"scanned{number}" for number in range(CAPACITY * 10)))
    assert sum(engine.find(key) is not None for key in used) > len(used) * 0.9


def test_popularity_is_kept_better_than_by_lru():
    keys = skewed(60_000, CAPACITY * 10)
    assert replay(Engine(max_entries=CAPACITY), keys) > lru_hits(keys) + 0.05


def test_popularity_with_scans_in_between_is_kept_better_than_by_lru():
    keys = skewed(60_000, CAPACITY * 10)
    for start in range(0, 60_000, 6_000):
        keys[start:start] = [f"scan{start}-{number}" for number in range(CAPACITY * 2)]
    assert replay(Engine(max_entries=CAPACITY), keys) > lru_hits(keys) + 0.05


def test_what_was_popular_before_is_given_up():
    engine = Engine(max_entries=CAPACITY)
    replay(engine, skewed(30_000, CAPACITY * 10))
    later = [f"later-{key}" for key in skewed(30_000, CAPACITY * 10, seed=2)]
    replay(engine, later)
    assert sum(key.startswith("later-") for key in set(engine.keys())) > CAPACITY * 0.9


def test_the_window_grows_for_recency_and_shrinks_for_popularity():
    engine = Engine(max_entries=CAPACITY)
    draw = random.Random(3)
    recent = [f"r{number}" for number in range(100)]
    keys = []
    for number in range(40_000):
        distance = int(draw.expovariate(1 / (CAPACITY * 0.8))) + 1
        if distance > len(recent) or draw.random() < 0.1:
            keys.append(f"n{number}")
        else:
            keys.append(recent.pop(-distance))
        recent.append(keys[-1])
    replay(engine, keys)
    grown = share(engine)
    replay(engine, skewed(100_000, CAPACITY * 20))
    assert grown > 0.2
    assert share(engine) < grown / 2


def test_one_eviction_examines_a_bounded_number_of_entries():
    engine = Engine(max_entries=CAPACITY)
    for number in range(CAPACITY):
        engine.put(make(f"k{number}"), 0.0)
    for key in set(engine.keys()):
        entry = engine.find(key)
        assert entry is not None
        entry.visits = 100
    engine.put(make("new"), 0.0)
    untouched = [
        key for key in set(engine.keys()) if (found := engine.find(key)) and found.visits == 100
    ]
    assert len(untouched) >= CAPACITY - 33
    assert engine.find("new") is not None
    check(engine)


def filled(visits):
    """A full cache, of which the newest entry was visited so often."""
    engine = Engine(max_entries=100)
    replay(engine, (f"k{number}" for number in range(100)))
    newest = "k99"
    entry = engine.find(newest)
    assert entry is not None
    entry.visits = visits
    return engine, newest


def test_two_visits_in_the_window_lead_to_the_main_queue_and_one_does_not():
    for visits, stays in ((1, False), (2, True)):
        engine, key = filled(visits)
        replay(engine, (f"new{number}" for number in range(50)))
        assert (engine.find(key) is not None) == stays


def test_a_replacement_keeps_the_visits_of_what_it_replaces():
    engine, key = filled(2)
    entry = make(key)
    engine.put(entry, 0.0)
    assert entry.visits == 2


@pytest.mark.parametrize(("visits", "lives"), [(0, 0), (1, 1), (3, 3), (1_000, 5)])
def test_an_entry_of_the_main_queue_is_spared_once_a_visit_but_not_for_ever(visits, lives):
    slots = [HEADS, HEADS + 1]
    used = make("used")
    entries = [None] * HEADS + [used, make("unused")]
    policy = Policy(entries)
    for slot in slots:
        policy.grow()
        policy.attach(slot, MAIN)
    used.visits = visits
    spared = 0
    while (slot := policy.victim()) != HEADS:
        policy.attach(slot, policy.detach(slot))
        spared += 1
    assert spared == lives


def test_a_ghost_tells_its_queue_and_age_once():
    ghosts = Ghosts()
    assert ghosts.recall(hash("a")) is None
    ghosts.remember(hash("a"), 0, 1_000)
    ghosts.remember(hash("b"), 1, 1_000)
    for number in range(5):
        ghosts.remember(hash(f"x{number}"), 0, 1_000)
    assert ghosts.recall(hash("a")) == (0, 5)
    assert ghosts.recall(hash("a")) is None
    assert ghosts.recall(hash("b")) == (1, 0)


def test_ghosts_take_a_fixed_number_of_words_per_resident():
    ghosts = Ghosts()
    for number in range(50_000):
        ghosts.remember(hash(f"k{number}"), 0, 10_000)
    assert 1.6 * 10_000 <= len(ghosts) <= 2.1 * 10_000
