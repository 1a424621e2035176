"""Keys under a tag, and tags in the clock."""

from __future__ import annotations

import itertools
import statistics
import time

import redis

from armature_cache import TaggedCache
from benchmarks.bench import TTL, Bench
from benchmarks.pinger import Pinger
from benchmarks.scale.curves import Curve, sweep

_KEYS = (10, 100, 1_000, 10_000, 100_000, 1_000_000)
_CLOCK = (10, 1_000, 10_000, 50_000)
_CHUNK = 1000
_ROUNDS = 5


@sweep("keys")
async def keys(bench: Bench) -> Curve:
    """The time of `invalidate_tag`, and what another client feels."""
    series: dict[str, dict[float, float]] = {
        name: {} for name in ("armature, invalidate_tag", "armature, stall of another client")
    }
    calls, stalls = series.values()
    quiet: dict[float, float] = {}
    with Pinger(bench.url) as pinger:
        for count in dict.fromkeys(map(bench.size, _KEYS)):
            bench.flush()
            async with bench.store(l1=False) as store:
                await _fill(store, count)
                pinger.longest()
                spent, felt = [], []
                for _ in range(_ROUNDS):
                    started = time.perf_counter_ns()
                    await store.invalidate_tag("all")
                    spent.append(time.perf_counter_ns() - started)
                    felt.append(pinger.longest())
                    await _fill(store, min(count, _CHUNK))
                    pinger.longest()
                calls[count] = statistics.median(spent)
                stalls[count] = statistics.median(felt)
                await store.ping()
                quiet[count] = pinger.longest()
    series["a ping of the same client"] = quiet
    bench.flush()
    return Curve(
        "keys",
        "`invalidate_tag`, by the keys under the tag",
        "keys under the tag",
        "ns",
        series,
        "One number on the server moves, whatever carries the tag. The stall is the longest round "
        "trip of a client that pings every 0.2 ms, beside its longest while we send one ping.",
    )


async def _fill(store: TaggedCache, count: int) -> None:
    for first in range(0, count, _CHUNK):
        names = [f"k{number}" for number in range(first, min(first + _CHUNK, count))]
        mark = await store.mark()
        await store.set_many(dict.fromkeys(names, "v"), ttl=TTL, tags=["all"], as_of=mark)


@sweep("clock")
async def clock(bench: Bench) -> list[Curve]:
    """Many invalidated tags are remembered by the server, and by each process that needs them."""
    names = ("L2 hit", "get_or_set, cold", "invalidate_tag", "first read of a new process")
    series: dict[str, dict[float, float]] = {f"armature, {name}": {} for name in names}
    memory: dict[float, float] = {}
    fresh = itertools.count()
    for count in dict.fromkeys(map(bench.size, _CLOCK)):
        bench.flush()
        before = _used(bench)
        async with bench.store(l1=False) as store:
            tags = [f"tag:{number}" for number in range(count)]
            for first in range(0, count, _CHUNK):
                await store.invalidate_tags(tags[first : first + _CHUNK])
            memory[count] = max(_used(bench) - before, 1)
            await store.set("k", "v", tags=["tag:1"], ttl=TTL)
            times = {
                names[0]: await _median(lambda store=store: store.get("k")),
                names[1]: await _median(
                    lambda store=store: store.get_or_set(
                        f"new{next(fresh)}", lambda: 1, tags=["tag:2"]
                    )
                ),
                names[2]: await _median(lambda store=store: store.invalidate_tag("tag:3")),
            }
        times[names[3]] = statistics.median([await _first_read(bench) for _ in range(_ROUNDS)])
        for name, spent in times.items():
            series[f"armature, {name}"][count] = spent
    return [
        Curve(
            "clock",
            "calls, by the tags that the server's clock remembers",
            "tags in the clock",
            "ns",
            series,
            "A process fetches what changed since it looked last, not the clock.",
        ),
        Curve(
            "clock-memory",
            "the server's memory for the clock",
            "tags in the clock",
            "B",
            {"armature": memory},
        ),
    ]


async def _median(call: object, count: int = 200) -> float:
    spent = []
    for _ in range(count):
        started = time.perf_counter_ns()
        await call()
        spent.append(time.perf_counter_ns() - started)
    return statistics.median(spent)


async def _first_read(bench: Bench) -> float:
    async with bench.store(l1=False) as store:
        started = time.perf_counter_ns()
        await store.get("k")
        return time.perf_counter_ns() - started


def _used(bench: Bench) -> int:
    with redis.Redis.from_url(bench.url) as client:
        return int(client.info("memory")["used_memory"])
