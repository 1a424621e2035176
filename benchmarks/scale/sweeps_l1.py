"""How L1 behaves as it fills, and as entries carry more tags."""

from __future__ import annotations

import gc
import importlib
import random
import time
from collections.abc import Callable

from armature_cache import sync
from benchmarks.bench import TTL, Bench
from benchmarks.harness import OURS
from benchmarks.scale.curves import Curve, sweep

_ENTRIES = (1_000, 10_000, 100_000, 1_000_000)
_TAGS = (1, 2, 5, 10, 20, 50)
_READS = 200_000
_PEERS = ("cachetools", "cachebox")


def _each(call: Callable[[str], object], keys: list[str]) -> float:
    """Nanoseconds per call, the loop's own included."""
    gc.collect()
    gc.disable()
    try:
        started = time.perf_counter_ns()
        for key in keys:
            call(key)
        return (time.perf_counter_ns() - started) / len(keys)
    finally:
        gc.enable()


@sweep("entries")
def entries(bench: Bench) -> list[Curve]:
    reads: dict[str, dict[float, float]] = {}
    writes: dict[str, dict[float, float]] = {}
    for count in map(bench.size, _ENTRIES):
        draw = random.Random(1)
        keys = [f"user:{number:07}" for number in range(count)]
        wanted = [draw.choice(keys) for _ in range(bench.size(_READS))]
        fresh = [f"new:{number:07}" for number in range(bench.size(_READS // 4))]
        for name, (get, put, fill) in _caches(bench, count).items():
            fill(keys)
            reads.setdefault(name, {})[count] = min(_each(get, wanted) for _ in range(3))
            writes.setdefault(name, {})[count] = _each(put, fresh)
    remark = "Keys in random order: from some 10,000 entries on, the processor's caches miss."
    return [
        Curve("entries-get", "L1 hit, sync face", "entries in L1", "ns", reads, remark),
        Curve(
            "entries-set",
            "`set` into a full L1: one entry in, one evicted",
            "entries in L1",
            "ns",
            writes,
            "With room left, the engine only appends; full, its policy chooses a victim.",
        ),
    ]


Calls = tuple[Callable[[str], object], Callable[[str], object], Callable[[list[str]], object]]


def _caches(bench: Bench, count: int) -> dict[str, Calls]:
    cache = sync.InMemoryCache(max_entries=count)

    def put(key: str) -> None:
        cache.set(key, 1, ttl=TTL)

    found: dict[str, Calls] = {OURS: (cache.get, put, lambda keys: [put(key) for key in keys])}
    for name in _PEERS:
        if bench.has(name):
            table = importlib.import_module(name).TTLCache(count, TTL)
            found[name] = (
                table.get,
                lambda key, table=table: table.__setitem__(key, 1),
                lambda keys, table=table: table.update(dict.fromkeys(keys, 1)),
            )
    return found


@sweep("tags")
async def tags(bench: Bench) -> list[Curve]:
    """Entries with more and more tags, in both tiers."""
    hits: dict[str, dict[float, float]] = {"armature, L1 hit": {}}
    trips: dict[str, dict[float, float]] = {"armature, L2 hit": {}, "armature, set": {}}
    count = 200
    keys = [f"k{number}" for number in range(count)]
    for number in _TAGS:
        bench.flush()
        carried = [f"tag:{each}" for each in range(number)]
        async with bench.store() as near, bench.store(l1=False) as far:

            async def write(near: object = near, carried: list[str] = carried) -> None:
                for key in keys:
                    await near.set(key, "v" * 500, tags=carried, ttl=TTL)

            async def read(store: object) -> None:
                for key in keys:
                    await store.get(key)

            figures = await bench.compare(
                {
                    "set": write,
                    "near": lambda near=near: read(near),
                    "far": lambda far=far: read(far),
                },
                count,
                seconds=0.1,
                rounds=5,
            )
        hits["armature, L1 hit"][number] = figures["near"].best
        trips["armature, L2 hit"][number] = figures["far"].median
        trips["armature, set"][number] = figures["set"].median
    return [
        Curve(
            "tags-l1",
            "L1 hit, `await get`, by the entry's tags",
            "tags of an entry",
            "ns",
            hits,
            "While the clock has not moved, an entry is judged by one comparison, whatever it "
            "carries.",
        ),
        Curve(
            "tags-l2",
            "round trips, by the entry's tags",
            "tags of an entry",
            "ns",
            trips,
            "A `set` sends every tag and the server compares each with its clock.",
        ),
    ]
