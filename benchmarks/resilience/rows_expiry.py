"""A hot key whose lifetime ends under load: what its readers feel."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from armature_cache import CacheConfig, InMemoryCache, RedisCache, TieredCache
from benchmarks.bench import Bench
from benchmarks.harness import OURS, Figure, Result, percentile, row

_TASKS = 50
_TTL = 1.0
_LOAD = 0.05
_SECONDS = 8.0
_AROUND = 0.15
"""Seconds before and after the start of a load that count as around the end of a lifetime."""

Read = Callable[[], Awaitable[object]]


class _Source:
    """A source of which a load takes 50 ms."""

    def __init__(self) -> None:
        self.began: list[float] = []

    async def load(self) -> str:
        self.began.append(time.perf_counter())
        await asyncio.sleep(_LOAD)
        return "v" * 500


async def _feel(read: Read, source: _Source, seconds: float) -> tuple[float, float, float, int]:
    """p99 far from any load, p99 and worst around one, in ns; and the loads."""
    taken: list[tuple[float, float]] = []
    await read()
    source.began.clear()
    end = time.perf_counter() + seconds

    async def task() -> None:
        while (began := time.perf_counter()) < end:
            await read()
            taken.append((began, time.perf_counter() - began))
            await asyncio.sleep(0.001)

    await asyncio.gather(*(task() for _ in range(_TASKS)))
    near: list[float] = []
    far: list[float] = []
    for began, spent in taken:
        close = any(abs(began - load) < _AROUND for load in source.began)
        (near if close else far).append(spent * 1e9)
    near.sort()
    far.sort()
    calm = percentile(far, 0.99) if far else 0.0
    return calm, percentile(near or [0.0], 0.99), near[-1] if near else 0.0, len(source.began)


def _ours(bench: Bench, source: _Source, **policy: Any) -> tuple[Any, Read]:
    config = CacheConfig.redis(bench.url, namespace="expiry")
    cache = TieredCache(InMemoryCache(), RedisCache(config)).with_policy(**policy)
    return cache, lambda: cache.get_or_set("hot", source.load, ttl=_TTL)


async def _cashews(bench: Bench, source: _Source, *, early: bool) -> tuple[Any, Read]:
    from cashews import Cache

    cache = Cache()
    cache.setup(bench.url, client_side=True)
    decorate = cache.early(ttl=_TTL, early_ttl=_TTL / 2, key="hot") if early else cache(
        ttl=_TTL, key="hot", lock=True
    )  # fmt: skip

    @decorate
    async def read() -> str:
        return await source.load()

    return cache, read


async def _aiocache(bench: Bench, source: _Source) -> tuple[Any, Read]:
    from aiocache import Cache, cached_stampede
    from aiocache.serializers import JsonSerializer

    host, _, port = bench.url.removeprefix("redis://").partition("/")[0].partition(":")

    @cached_stampede(
        ttl=int(_TTL), lease=2, key="hot", cache=Cache.REDIS, endpoint=host, port=int(port),
        namespace="aio", serializer=JsonSerializer(),
    )  # fmt: skip
    async def read() -> str:
        return await source.load()

    return None, read


@row("expiry")
async def expiry(bench: Bench) -> list[Result]:
    seconds = 3.0 if bench.quick else _SECONDS
    calm: dict[str, Figure] = {}
    around: dict[str, Figure] = {}
    worst: dict[str, Figure] = {}
    loads: dict[str, Figure] = {}

    async def measure(name: str, made: tuple[Any, Read], source: _Source) -> None:
        cache, read = made
        felt = await _feel(read, source, seconds)
        for figures, value in zip((calm, around, worst, loads), felt, strict=True):
            figures[name] = Figure((float(value),))
        closing = getattr(cache, "aclose", None) or getattr(cache, "close", None)
        if closing is not None:
            await closing()

    for name, policy in (
        (f"{OURS}, early refresh", {"early_refresh": 3.0}),
        (f"{OURS}, stale while renewing", {"stale_while_revalidate": 10.0}),
        (f"{OURS}, neither", {}),
    ):
        bench.flush()
        source = _Source()
        await measure(name, _ours(bench, source, **policy), source)
    if bench.has("cashews"):
        for name, early in (("cashews early", True), ("cashews lock", False)):
            bench.flush()
            source = _Source()
            await measure(name, await _cashews(bench, source, early=early), source)
    if bench.has("aiocache"):
        bench.flush()
        source = _Source()
        await measure("aiocache cached_stampede", await _aiocache(bench, source), source)
    remark = (
        f"{_TASKS} tasks read one key of {_TTL:.0f} s lifetime whose load takes "
        f"{_LOAD * 1000:.0f} ms, for {seconds:.0f} s; around: within {_AROUND * 1000:.0f} ms of "
        "the start of a load."
    )
    return [
        Result(name, title, unit, figures, remark=remark, ours="")
        for name, title, unit, figures in (
            ("expiry-around", "p99 of reads around the end of a hot key's lifetime", "ns", around),
            ("expiry-calm", "p99 of the other reads", "ns", calm),
            ("expiry-worst", "slowest read around the end", "ns", worst),
            ("expiry-loads", "loads", "count", loads),
        )
    ]
