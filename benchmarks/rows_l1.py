"""Hits in this process: `get`, awaited and not."""

from __future__ import annotations

import asyncio
import datetime
import time
from typing import Any

from benchmarks.bench import KEYS, TTL, Bench, values
from benchmarks.harness import OURS, Case, Figure, Result, Target, percentile, row


async def _nothing() -> None:
    pass


async def floor_pass() -> None:
    """A thousand awaits of a bare coroutine."""
    for _ in range(KEYS):
        await _nothing()


def awaited(get: Any) -> Case:
    """A pass of awaited reads."""
    keys = list(values())

    async def run() -> None:
        for key in keys:
            await get(key)

    return run


def called(get: Any) -> Case:
    """A pass of plain reads."""
    keys = list(values())

    def run() -> None:
        for key in keys:
            get(key)

    return run


@row("l1-get")
async def l1_get(bench: Bench) -> Result:
    async with bench.filled() as store:
        cases: dict[str, Case] = {"bare coroutine": floor_pass, OURS: awaited(store.get)}
        if bench.has("cashews"):
            cases["cashews"] = awaited((await _cashews()).get)
        if bench.has("aiocache"):
            cases["aiocache"] = awaited((await _aiocache()).get)
        figures = await bench.compare(cases, KEYS)
        counted = store.stats().tiers[0].hits
    return Result(
        "l1-get",
        "L1 `await get`, hit, tagged and coherent",
        "ns",
        figures,
        (Target("factor", 0.09, "cashews"), Target("factor", 0.03, "aiocache")),
        "Ours judges tags and the staleness bound of a shared server on each read, and counts it "
        f"({counted:,} hits counted in this run); the peers' memory backends know of no server.",
    )


async def _cashews() -> Any:
    from cashews import Cache

    cache = Cache()
    cache.setup("mem://", size=10_000)
    for key, value in values().items():
        await cache.set(key, value, expire=TTL)
    return cache


async def _aiocache() -> Any:
    from aiocache import SimpleMemoryCache

    cache = SimpleMemoryCache()
    for key, value in values().items():
        await cache.set(key, value, ttl=TTL)
    return cache


@row("sync-get")
async def sync_get(bench: Bench) -> Result:
    async with bench.filled() as store:
        cases: dict[str, Case] = {OURS: called(store.sync().get)}
        plain = dict(values())
        cases["dict"] = called(plain.get)
        if bench.has("cachetools"):
            import cachetools

            timed: Any = cachetools.TTLCache(10_000, TTL)
            timed.update(values())
            cases["cachetools"] = called(timed.get)
        if bench.has("cachebox"):
            import cachebox

            boxed: Any = cachebox.TTLCache(10_000, TTL)
            boxed.update(values())
            cases["cachebox"] = called(boxed.get)
        if bench.has("dogpile"):
            cases["dogpile"] = called(_dogpile().get)
        if bench.has("theine"):
            cases["theine"] = called(_theine().get)
        figures = await bench.compare(cases, KEYS)
    return Result(
        "sync-get",
        "L1 `get` of the sync face, hit, tagged and coherent",
        "ns",
        figures,
        remark="cachetools (not locked: not for threads), cachebox (Rust) and theine are caches of "
        "one process and know no tags.",
    )


def _dogpile() -> Any:
    from dogpile.cache import make_region

    region = make_region().configure("dogpile.cache.memory", expiration_time=TTL)
    for key, value in values().items():
        region.set(key, value)
    return region


def _theine() -> Any:
    from theine import Cache

    cache: Any = Cache(10_000)
    for key, value in values().items():
        cache.set(key, value, datetime.timedelta(seconds=TTL))
    return cache


@row("paced")
async def paced(bench: Bench) -> Result:
    seconds = 1 if bench.quick else 5
    async with bench.filled() as store, bench.client() as client:
        before = store.stats()
        hit = await _paced(store.get, seconds)
        after = store.stats()
        bare = await _paced(client.get, 1)
        floor = await _paced(_ignoring, 1)
    reads = seconds * 1000
    hits = after.tiers[0].hits - before.tiers[0].hits
    return Result(
        "paced",
        f"L1 hits at 1,000 reads a second for {seconds} s, hints on",
        "ns",
        {
            "armature p50": _figure(hit, 0.5),
            "armature p99": _figure(hit, 0.99),
            "armature p99.9": _figure(hit, 0.999),
            "bare coroutine p99": _figure(floor, 0.99),
            "redis-py GET, best": _figure(bare, 0.0),
        },
        (Target("factor", 1.0, "redis-py GET, best"),),
        f"{hits:,} of {reads:,} reads were answered by L1. Trust is renewed meanwhile by the "
        f"background thread: {after.syncs - before.syncs} syncs. The target says that the p99 is "
        "below the fastest round trip.",
        ours="armature p99",
    )


async def _ignoring(_key: str) -> None:
    pass


async def _paced(get: Any, seconds: float) -> list[float]:
    """The times of single reads in ns, sorted; one read a millisecond."""
    keys = list(values())
    spent: list[float] = []
    loop = asyncio.get_running_loop()
    due = loop.time()
    for number in range(int(seconds * 1000)):
        due += 0.001
        if (left := due - loop.time()) > 0:
            await asyncio.sleep(left)
        started = time.perf_counter_ns()
        await get(keys[number % KEYS])
        spent.append(time.perf_counter_ns() - started)
    return sorted(spent)


def _figure(ordered: list[float], part: float) -> Figure:
    return Figure((percentile(ordered, part),))
