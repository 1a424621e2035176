"""The children's side of what needs a process of its own: memory, and a million entries."""

from __future__ import annotations

import gc
import importlib
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.bench import TTL
from benchmarks.harness import percentile

Put = Callable[[str, object], object]
Get = Callable[[str], object]


def stores(kind: str, size: int) -> tuple[Put, Get]:
    """How to put into and get from an empty cache of this kind and size."""
    table: Any
    if kind == "dict":
        table = {}
        return table.__setitem__, table.get
    if kind == "engine":
        return _engine(size)
    if kind.startswith("armature"):
        from armature_cache.sync import InMemoryCache

        cache = InMemoryCache(max_entries=size)

        def load(key: str, value: object) -> None:
            cache.get_or_set(key, lambda: value, ttl=TTL)

        def put(key: str, value: object) -> None:
            cache.set(key, value, ttl=TTL)

        return (load if kind == "armature" else put), cache.get
    module = importlib.import_module(kind)
    table = module.TTLCache(size, TTL)
    return table.__setitem__, table.get


def _engine(size: int) -> tuple[Put, Get]:
    from armature_cache._time import boottime
    from armature_cache.engine import Engine
    from armature_cache.entry import Entry

    engine = Engine(max_entries=size)

    def put(key: str, value: object) -> None:
        now = boottime()
        engine.put(Entry(key, value, asof=1, epoch=1, fresh_until=now + TTL), now)

    def get(key: str) -> object:
        entry = engine.find(key)
        if entry is not None:
            entry.visits += 1
        return entry

    return put, get


def memory(kind: str, count: str) -> None:
    """Print the bytes that one entry adds to the process: a short key, a small int, a lifetime."""
    number = int(count)
    put, get = stores(kind, number)
    put("warm", 0)
    gc.collect()
    before = _resident()
    for each in range(number):
        put(f"user:{each:07}", each)
    gc.collect()
    after = _resident()
    assert get(f"user:{number - 1:07}") is not None
    print(json.dumps((after - before) / number))


def _resident() -> float:
    """Resident bytes; where the system does not tell, the most that there were."""
    pages = Path("/proc/self/statm")
    if pages.exists():
        return float(pages.read_text("ascii").split()[1]) * resource.getpagesize()
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(most if sys.platform == "darwin" else most * 1024)


def million(kind: str, count: str) -> None:
    """Print percentiles in ns of single puts and gets with the collector off."""
    number = int(count)
    put, get = stores(kind, number)
    keys = [f"user:{each:07}" for each in range(number)]
    gc.collect()
    gc.disable()
    clock = time.perf_counter_ns
    puts, gets = [0] * number, [0] * number
    for at, key in enumerate(keys):
        started = clock()
        put(key, at)
        puts[at] = clock() - started
    for at, key in enumerate(keys):
        started = clock()
        get(key)
        gets[at] = clock() - started
    print(json.dumps({"put": _summary(puts), "get": _summary(gets)}))


def _summary(spent: list[int]) -> dict[str, float]:
    spent.sort()
    parts = {"p50": 0.5, "p99": 0.99, "p99.99": 0.9999, "max": 1.0}
    return {name: percentile(spent, part) for name, part in parts.items()}


def pauses(kind: str, count: str) -> None:
    """Print the longest pause of the collector in ns while filling, and that of a full one."""
    number = int(count)
    put, _ = stores(kind, number)
    longest = started = 0

    def note(phase: str, _info: dict[str, int]) -> None:
        nonlocal longest, started
        if phase == "start":
            started = time.perf_counter_ns()
        else:
            longest = max(longest, time.perf_counter_ns() - started)

    gc.callbacks.append(note)
    for each in range(number):
        put(f"user:{each:07}", each)
    filling, longest = longest, 0
    gc.collect()
    print(json.dumps({"filling": filling, "full": longest}))
