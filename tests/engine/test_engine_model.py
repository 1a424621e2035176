"""The engine against a plain dictionary: contents, bounds, guards and expiry."""

from __future__ import annotations

import math

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from armature_cache.engine import Engine
from armature_cache.engine import engine as engine_module
from armature_cache.entry import Entry
from tests.engine.engine_support import check, make

pytestmark = pytest.mark.slow

KEYS = st.sampled_from([f"key-{number}" for number in range(24)])
TTLS = st.one_of(
    st.just(math.inf),
    st.floats(-1.0, 0.2, allow_nan=False),
    st.floats(0.0, 400.0, allow_nan=False),
    st.floats(0.0, 1e9, allow_nan=False),
)
STEPS = st.one_of(st.floats(0.0, 0.1), st.floats(0.0, 100.0), st.floats(0.0, 1e8))


class EngineAgainstDict(RuleBasedStateMachine):
    """Entries leave the model when they are evicted, discarded or dead, and only then."""

    max_entries = 10
    max_bytes: int | None = 60

    def __init__(self) -> None:
        super().__init__()
        self.evicted: list[Entry] = []
        self.engine = Engine(
            max_entries=self.max_entries, max_bytes=self.max_bytes, on_evict=self.evicted.append
        )
        self.model: dict[str, Entry] = {}
        self.now = -1000.0

    def _forget_evicted(self) -> None:
        for entry in self.evicted:
            assert self.model.pop(entry.key) is entry
        self.evicted.clear()

    def _forget_purged(self) -> None:
        """Drop the dead that the engine has removed by itself."""
        for key, entry in list(self.model.items()):
            if entry.dead_at <= self.now and self.engine.find(key) is None:
                del self.model[key]

    def _alive(self, key: str) -> Entry | None:
        entry = self.model.get(key)
        return None if entry is None or entry.dead_at <= self.now else entry

    @rule(key=KEYS, ttl=TTLS, weight=st.integers(0, 70), admit=st.booleans())
    def put(self, key: str, ttl: float, weight: int, admit: bool) -> None:
        entry = make(key, self.now + ttl, weight)
        seen: list[Entry | None] = []

        def guard(current: Entry | None) -> bool:
            seen.append(current)
            return admit

        before = self._alive(key)
        count = len(self.model)
        kept = self.engine.put(entry, self.now, guard=guard)
        assert seen == [before]
        fits = self.max_bytes is None or weight <= self.max_bytes
        assert kept == (admit and fits and entry.dead_at > self.now)
        if kept:
            assert self.engine.find(key) is entry
            assert entry not in self.evicted
            full = key not in self.model and count == self.max_entries
            assert not full or self.evicted
        if admit:
            self.model.pop(key, None)
        if kept:
            self.model[key] = entry
        self._forget_evicted()
        self._forget_purged()

    @rule(key=KEYS)
    def visit(self, key: str) -> None:
        entry = self.engine.find(key)
        assert entry is self.model.get(key) or self._alive(key) is None
        if entry is not None:
            entry.visits += 1

    @rule(key=KEYS)
    def discard(self, key: str) -> None:
        expected = self.engine.find(key)
        assert self.engine.discard(key) is expected
        self.model.pop(key, None)

    @rule(key=KEYS)
    def discard_another_object(self, key: str) -> None:
        assert self.engine.discard(key, only=make(key)) is None

    @precondition(lambda self: self.model)
    @rule(data=st.data(), ttl=TTLS)
    def touch(self, data: st.DataObject, ttl: float) -> None:
        entry = self.model[data.draw(st.sampled_from(sorted(self.model)))]
        self.engine.touch_expiry(entry, self.now + ttl)
        assert entry.dead_at == self.now + ttl

    @rule(step=STEPS)
    def wait(self, step: float) -> None:
        self.now += step

    @rule(limit=st.one_of(st.none(), st.integers(1, 3)))
    def expire(self, limit: int | None) -> None:
        before = len(self.engine)
        removed = self.engine.expire(self.now, limit)
        assert len(self.engine) == before - removed
        assert limit is None or removed <= limit
        self._forget_purged()
        if limit is None:
            assert all(entry.dead_at > self.now for entry in self.model.values())
            assert sorted(self.engine.keys()) == sorted(self.model)
            assert self.engine.next_expiry > self.now

    @rule()
    def clear(self) -> None:
        self.engine.clear()
        self.model.clear()
        assert self.engine.next_expiry == math.inf

    @invariant()
    def agrees(self) -> None:
        check(self.engine)
        for key, entry in self.model.items():
            if entry.dead_at > self.now:
                assert self.engine.find(key) is entry
        for key in set(self.engine.keys()):
            assert self.engine.find(key) is self.model[key]


class ShardedAgainstDict(EngineAgainstDict):
    """The same laws with several shards, of which some are empty while the cache is full."""

    max_entries = 5
    max_bytes = 60

    def __init__(self) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(engine_module, "_SINGLE", 1)
            patch.setattr(engine_module, "_SHARD", 1)
            super().__init__()
        assert len(self.engine._shards) == 8


TestEngineAgainstDict = EngineAgainstDict.TestCase
TestEngineAgainstDict.settings = settings(max_examples=60, stateful_step_count=40)
TestShardedAgainstDict = ShardedAgainstDict.TestCase
TestShardedAgainstDict.settings = settings(max_examples=30, stateful_step_count=40)


@pytest.mark.parametrize("bounds", [(0, None), (1, 0), (-1, None)])
def test_bounds_must_be_positive(bounds):
    with pytest.raises(ValueError, match="at least 1"):
        Engine(max_entries=bounds[0], max_bytes=bounds[1])


def test_find_of_a_small_engine_is_the_lookup_of_its_one_dictionary():
    engine = Engine(max_entries=10)
    engine.put(make("a"), 0.0)
    assert engine.find == engine._shards[0].table.get
    engine.clear()
    assert engine.find("a") is None


def test_a_large_engine_is_sharded_and_keeps_exactly_as_many_as_it_may():
    engine = Engine(max_entries=70_000)
    assert len(engine._shards) > 1
    entries = [make(f"k{number}") for number in range(70_000)]
    for entry in entries:
        engine.put(entry, 0.0)
    assert len(engine) == 70_000
    assert engine.evictions == 0
    assert all(engine.find(entry.key) is entry for entry in entries)
    for number in range(5_000):
        engine.put(make(f"more{number}"), 0.0)
        assert engine._budget.count == 70_000
    assert engine.evictions == 5_000
    check(engine)


def test_discard_spares_another_object_of_the_same_key():
    engine = Engine(max_entries=10)
    entry = make("a")
    engine.put(entry, 0.0)
    assert engine.discard("a", only=make("a")) is None
    assert engine.find("a") is entry
    assert engine.discard("a", only=entry) is entry


def test_a_shard_with_nothing_to_give_takes_room_from_the_others(monkeypatch):
    monkeypatch.setattr(engine_module, "_SINGLE", 1)
    monkeypatch.setattr(engine_module, "_SHARD", 1)
    engine = Engine(max_entries=8, max_bytes=60)
    by_shard: dict[int, list[str]] = {}
    for number in range(1_000):
        by_shard.setdefault(hash(f"k{number}") & 7, []).append(f"k{number}")
    for key, weight in zip(by_shard[3], (0, 0, 27), strict=False):
        engine.put(make(key, weight=weight), 0.0)
    assert engine.put(make(by_shard[1][0], weight=60), 0.0)
    assert engine.find(by_shard[1][0]) is not None
    check(engine)


def test_evictions_and_expirations_are_counted_apart():
    evicted: list[Entry] = []
    engine = Engine(max_entries=2, on_evict=evicted.append)
    for number in range(3):
        engine.put(make(f"k{number}", dead_at=5.0), 0.0)
    assert engine.expire(5.0) == 2
    assert (engine.evictions, engine.expirations, len(evicted)) == (1, 2, 1)


def test_on_evict_may_use_the_engine():
    def again(entry: Entry) -> None:
        engine.discard(entry.key)
        engine.keys()

    engine = Engine(max_entries=1, on_evict=again)
    engine.put(make("a"), 0.0)
    engine.put(make("b"), 0.0)
    assert engine.keys() == ["b"]


def test_a_guard_that_raises_changes_nothing():
    def guard(current: Entry | None) -> bool:
        raise LookupError

    engine = Engine(max_entries=1)
    entry = make("a")
    engine.put(entry, 0.0)
    with pytest.raises(LookupError):
        engine.put(make("a"), 0.0, guard=guard)
    assert engine.find("a") is entry
    check(engine)


def test_a_replacement_that_grows_evicts_others_and_stays():
    engine = Engine(max_entries=10, max_bytes=10)
    for number in range(5):
        engine.put(make(f"k{number}", weight=2), 0.0)
    assert engine.put(make("k0", weight=9), 0.0)
    assert engine.keys() == ["k0"]
    assert engine.weight == 9
