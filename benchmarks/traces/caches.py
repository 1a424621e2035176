"""Caches in use, replayed: our engine, and those peers that are installed."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Sequence

from armature_cache.engine import Engine
from armature_cache.entry import Entry

Replay = Callable[[Sequence[str], int], int]


def armature(keys: Sequence[str], capacity: int) -> int:
    engine = Engine(max_entries=capacity)
    find, put = engine.find, engine.put
    hits = 0
    for key in keys:
        entry = find(key)
        if entry is None:
            put(Entry(key, None, asof=0, epoch=0), 0.0)
        else:
            entry.visits += 1
            hits += 1
    return hits


def _theine(keys: Sequence[str], capacity: int) -> int:
    cache = importlib.import_module("theine").Cache(capacity)
    hits = 0
    for key in keys:
        if cache.get(key)[1]:
            hits += 1
        else:
            cache.set(key, key)
    cache.close()
    return hits


def _cachetools(keys: Sequence[str], capacity: int) -> int:
    cache = importlib.import_module("cachetools").LFUCache(capacity)
    hits = 0
    for key in keys:
        if key in cache:
            hits += 1
            cache[key]
        else:
            cache[key] = key
    return hits


_PEERS: dict[str, tuple[str, Replay]] = {
    "theine (W-TinyLFU)": ("theine", _theine),
    "cachetools LFU": ("cachetools", _cachetools),
}


def peers() -> dict[str, Replay]:
    return {
        name: replay
        for name, (module, replay) in _PEERS.items()
        if importlib.util.find_spec(module) is not None
    }
