"""Building entries, replaying accesses, and checking what must hold inside an engine."""

from __future__ import annotations

import math
from collections.abc import Iterable

from armature_cache.engine import Engine
from armature_cache.engine.chains import Chains
from armature_cache.engine.expiry import HEADS
from armature_cache.engine.policy import MAIN, WINDOW
from armature_cache.engine.shards import Shard
from armature_cache.entry import Entry


def make(key: str, dead_at: float = math.inf, weight: int = 1) -> Entry:
    return Entry(key, None, asof=0, epoch=0, fresh_until=dead_at, weight=weight)


def replay(engine: Engine, keys: Iterable[str]) -> float:
    """The share of hits, when what is missing is put and what is found is counted as visited."""
    hits = count = 0
    for key in keys:
        count += 1
        entry = engine.find(key)
        if entry is None:
            engine.put(make(key), 0.0)
        else:
            hits += 1
            entry.visits += 1
    return hits / count


def _members(chains: Chains, heads: Iterable[int]) -> list[int]:
    return [slot for head in heads for slot in chains.members(head)]


def _check_shard(shard: Shard) -> None:
    entries, policy, wheel = shard._entries, shard._policy, shard._wheel
    resident = {slot: entry for slot, entry in enumerate(entries) if entry is not None}
    assert {entry.key: entry for entry in resident.values()} == shard.table
    assert all(entry.place == slot for slot, entry in resident.items())
    free = shard._free
    assert sorted(free + list(resident)) == list(range(HEADS, len(entries)))
    queued = _members(policy._chains, (WINDOW, MAIN))
    assert sorted(queued) == sorted(resident)
    assert len(policy) == len(resident)
    mortal = {slot for slot, entry in resident.items() if entry.dead_at != math.inf}
    timed = _members(wheel._chains, range(HEADS))
    assert len(timed) == len(set(timed))
    assert set(timed) | {slot for _, slot in wheel._due} >= mortal
    assert set(timed) <= mortal
    assert wheel._scheduled == len(mortal)
    assert len(wheel._due) <= 65 + 2 * len(mortal)
    assert shard.next_expiry <= min((e.dead_at for e in resident.values()), default=math.inf)


def check(engine: Engine) -> None:
    """Assert that tables, queues, wheel, counters and bounds agree; nobody else may be at work."""
    for shard in engine._shards:
        _check_shard(shard)
    entries = [entry for shard in engine._shards for entry in shard.table.values()]
    budget = engine._budget
    assert len(engine) == len(entries) == budget.count <= budget.max_entries
    assert engine.weight == sum(entry.weight for entry in entries)
    assert budget.max_bytes is None or engine.weight <= budget.max_bytes
    assert engine.next_expiry <= min((entry.dead_at for entry in entries), default=math.inf)
