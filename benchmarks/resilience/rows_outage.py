"""L2 in trouble: what callers see, for how long, and what is left afterwards."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from armature_cache import (
    CacheConfig,
    InMemoryCache,
    RedisCache,
    TaggedCache,
    TieredCache,
    TieredCacheConfig,
)
from armature_cache.testing import RedisServer
from benchmarks.bench import Bench
from benchmarks.harness import OURS, Figure, Result, percentile, row
from benchmarks.resilience.troubles import Trouble, TroubledProxy

_TASKS = 20
_KEYS = 200
_SECONDS = 10.0
_CALM = 2.0
_BOUND = 0.1


class _Felt(NamedTuple):
    errors: int
    reads: int
    p99: float
    worst: float
    recovered: float
    stale: int
    left: int


class _Clients:
    """Readers and a writer of versions, in one process; another process's cache invalidates."""

    def __init__(self, url: str, direct: str) -> None:
        self._cache = _opened(url)
        self._other = _opened(direct)
        self.versions = [0] * _KEYS
        self._acknowledged: list[list[tuple[float, int]]] = [[] for _ in range(_KEYS)]
        self.reads: list[tuple[float, float, bool, bool]] = []

    async def read(self, key: int) -> None:
        began = time.monotonic()
        least = max(
            (version for at, version in self._acknowledged[key] if at < began - _BOUND), default=0
        )
        failed, version = False, 0
        try:
            version = await self._cache.get_or_set(
                f"k:{key}", lambda: self._load(key), tags=f"k:{key}", ttl=60, stale_for=600
            )
        except Exception:  # noqa: BLE001 - what is counted
            failed = True
        spent = time.monotonic() - began
        self.reads.append((began, spent, failed, not failed and version < least))

    async def _load(self, key: int) -> int:
        await asyncio.sleep(0.002)
        return self.versions[key]

    async def update(self, key: int) -> None:
        self.versions[key] += 1
        version = self.versions[key]
        try:
            await self._other.invalidate_tag(f"k:{key}")
        except Exception:  # noqa: BLE001 - not acknowledged: nothing is promised
            return
        self._acknowledged[key].append((time.monotonic(), version))

    async def traffic(self, end: float) -> None:
        async def reader(number: int) -> None:
            at = number
            while time.monotonic() < end:
                at = (at * 7 + 13) % _KEYS
                await self.read(at)
                await asyncio.sleep(0.005)

        async def writer() -> None:
            at = 0
            while time.monotonic() < end:
                at = (at + 1) % _KEYS
                await self.update(at)
                await asyncio.sleep(0.05)

        await asyncio.gather(writer(), *map(reader, range(_TASKS)))

    def hits(self) -> int:
        """Hits of both tiers: neither answers without the server's clock."""
        return self._cache.stats().hits

    async def close(self) -> None:
        for cache in (self._cache, self._other):
            await cache.aclose()


def _opened(url: str) -> TaggedCache:
    config = CacheConfig.redis(url, namespace="outage", operation_timeout=0.5, connect_timeout=0.5)
    tiers = TieredCacheConfig(l2_hard_timeout=0.25)
    return TaggedCache(TieredCache(InMemoryCache(), RedisCache(config), tiers))


@contextmanager
def _killed(server: RedisServer) -> Iterator[None]:
    server.kill()
    yield
    server.start()


@contextmanager
def _restarted(server: RedisServer) -> Iterator[None]:
    server.restart()
    yield


async def _felt(server: RedisServer, trouble: Any, seconds: float) -> _Felt:
    before = len(asyncio.all_tasks())
    proxy = TroubledProxy("127.0.0.1", server.port)
    port = await proxy.start()
    clients = _Clients(f"redis://127.0.0.1:{port}/0", server.url)
    began = time.monotonic()
    running = asyncio.create_task(clients.traffic(began + 2 * _CALM + seconds))
    await asyncio.sleep(_CALM)
    if isinstance(trouble, Trouble):
        proxy.begin(trouble)
        await asyncio.sleep(seconds)
        proxy.begin(Trouble.NONE)
    else:
        with trouble(server):
            await asyncio.sleep(seconds)
    mended = time.monotonic()
    hits = clients.hits()
    recovered = 0.0
    while not recovered and not running.done():
        await asyncio.sleep(0.005)
        if clients.hits() > hits:
            recovered = time.monotonic() - mended
    await running
    await clients.close()
    await proxy.stop()
    left = len(asyncio.all_tasks()) - before
    during = [read for read in clients.reads if began + _CALM <= read[0] < mended]
    spent = sorted(read[1] for read in during)
    return _Felt(
        errors=sum(read[2] for read in during),
        reads=len(during),
        p99=percentile(spent, 0.99),
        worst=spent[-1],
        recovered=recovered,
        stale=sum(read[3] for read in clients.reads),
        left=left,
    )


@row("outage")
async def outage(bench: Bench) -> list[Result]:
    seconds = 2.0 if bench.quick else _SECONDS
    troubles: dict[str, Any] = {
        trouble.value: trouble for trouble in Trouble if trouble is not Trouble.NONE
    }
    troubles |= {"killed": _killed, "restarted": _restarted}
    felt: dict[str, _Felt] = {}
    for name, trouble in troubles.items():
        with RedisServer() as server:
            felt[f"{OURS}, L2 {name}"] = await _felt(server, trouble, seconds)
    least = min(each.reads for each in felt.values())
    remark = (
        f"{_TASKS} tasks read {_KEYS} keys, whose loads take 2 ms, through a proxy; the trouble "
        f"lasts {seconds:.0f} s, in which at least {least:,} reads were made. Another cache "
        "invalidates a key every 50 ms. `l2_hard_timeout` is 250 ms, the bound 100 ms."
    )
    rows = (
        ("outage-errors", "errors seen by callers", "count", lambda each: each.errors),
        ("outage-stale", "reads older than the bound allows", "count", lambda each: each.stale),
        ("outage-left", "tasks left over", "count", lambda each: each.left),
        ("outage-p99", "p99 of reads during the trouble", "ns", lambda each: each.p99 * 1e9),
        ("outage-worst", "slowest read during the trouble", "ns", lambda each: each.worst * 1e9),
        ("outage-back", "from its end to the first hit", "ns", lambda e: e.recovered * 1e9),
    )
    return [
        Result(
            name,
            title,
            unit,  # type: ignore[arg-type]
            {key: Figure((float(of(each)),)) for key, each in felt.items()},
            remark=remark,
            ours="",
        )
        for name, title, unit, of in rows
    ]
