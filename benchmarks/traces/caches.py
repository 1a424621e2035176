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


_JUDGED = ("LRU", "Sieve", "S3FIFO", "ARC", "LIRS", "TwoQ", "WTinyLFU", "Belady")
"""The policies of libcachesim that are replayed; the last one knows the future."""


def _libcachesim(policy: str) -> Replay:
    """A policy as the simulator of the S3-FIFO and SIEVE papers implements it."""

    def replay(keys: Sequence[str], capacity: int) -> int:
        library = importlib.import_module("libcachesim")
        cache = getattr(library, policy)(cache_size=capacity)
        numbers: dict[str, int] = {}
        ids = [numbers.setdefault(key, len(numbers)) for key in keys]
        following = _next_uses(ids) if policy == "Belady" else [-2] * len(ids)
        request = library.Request(obj_size=1)
        hits = 0
        for number, use in zip(ids, following, strict=True):
            request.obj_id, request.next_access_vtime = number, use
            hits += cache.get(request)
        return hits

    return replay


def _next_uses(ids: Sequence[int]) -> list[int]:
    """When each access's key is wanted next; far in the future if never."""
    later: dict[int, int] = {}
    found = [0] * len(ids)
    for at in range(len(ids) - 1, -1, -1):
        found[at] = later.get(ids[at], 2**62)
        later[ids[at]] = at
    return found


_PEERS: dict[str, tuple[str, Replay]] = {
    "theine (W-TinyLFU)": ("theine", _theine),
    "cachetools LFU": ("cachetools", _cachetools),
}
_JUDGES = {f"libcachesim {name}": ("libcachesim", _libcachesim(name)) for name in _JUDGED}


def peers() -> dict[str, Replay]:
    """The caches and simulated policies of which the library is installed."""
    return {
        name: replay
        for name, (module, replay) in (_PEERS | _JUDGES).items()
        if importlib.util.find_spec(module) is not None
    }
