"""`wait=True`: how long an invalidation waits, and for whom."""

from __future__ import annotations

from typing import Any

import pytest
from redis.asyncio import Redis

from armature_cache import (
    CacheConfig,
    InMemoryCache,
    TaggedCache,
    TieredCache,
    TieredCacheConfig,
)
from tests.coherence.ports import apart
from tests.contract.faces import ManualTime


def stack(url: str, namespace: str, bound: float) -> tuple[TaggedCache, ManualTime]:
    """A cache with a replica and a time of its own, as in another process."""
    time = ManualTime()
    config = CacheConfig.redis(url, namespace=namespace, hints=False, staleness_bound=bound)
    redis = apart(config, time=time)
    tiers = TieredCacheConfig(staleness_bound=bound)
    return TaggedCache(TieredCache(InMemoryCache(time=time), redis, tiers)), time


@pytest.fixture
def waited() -> list[float]:
    """How long a cache that is watched has waited, instead of waiting."""
    return []


def watch(cache: Any, waited: list[float]) -> None:
    clock = cache.clock

    class Runtime:
        def __getattr__(self, name: str) -> object:
            return getattr(runtime, name)

        async def sleep(self, seconds: float) -> None:
            waited.append(seconds)

    runtime, clock._runtime = clock._runtime, Runtime()


async def test_it_waits_for_a_process_that_came_after_the_last_sync(
    server_url: str, namespace: str, waited: list[float]
) -> None:
    (p, _), (q, _) = stack(server_url, namespace, 0.1), stack(server_url, namespace, 7)
    async with p, q:
        await p.get("warm")
        watch(p, waited)
        await q.set("k", "old", tags=["t"], ttl=60)
        assert await q.get("k") == "old"
        await p.invalidate_tag("t", wait=True)
        assert waited == [7]


async def test_it_waits_for_a_process_whose_bound_the_server_has_lost(
    server_url: str, namespace: str, waited: list[float]
) -> None:
    (p, _), (q, time) = stack(server_url, namespace, 0.1), stack(server_url, namespace, 7)
    async with p, q:
        await q.set("k", "old", tags=["t"], ttl=60)
        await p.get("warm")
        watch(p, waited)
        async with Redis.from_url(server_url) as admin:
            await admin.delete(f"{{{namespace}}}:c")
        await p.invalidate_tag("t", wait=True)
        assert await q.get("k") == "old"  # it trusts what it knew for its bound
        assert waited == [7]
        r, _ = stack(server_url, namespace, 0.2)
        async with r:
            await r.get("warm")
            watch(r, waited)
            await r.invalidate_tag("t", wait=True)
            assert waited == [7, 7]  # who knew the bound has declared it again
        time.now += 7
        assert await q.get("k") is None
