"""Clocks that may not grow: floors, compaction, and processes that know only a part."""

from __future__ import annotations

import pytest

from armature_cache import CacheConfig, InMemoryCache, RedisCache, TaggedCache, TieredCache
from armature_cache.clocks import redis_commands, redis_sync
from armature_cache.clocks import replica as replicas
from armature_cache.redisio.port import Command
from tests.coherence.ports import Tap, apart, tap

UNTIDY = 200
"""By how many members a clock may exceed its limit: one write in eight, on average, cleans up."""


def stack(url: str, namespace: str) -> tuple[TaggedCache, RedisCache, Tap]:
    """A tiered cache without hints, its second tier, and the tap before its port."""
    redis = RedisCache(CacheConfig.redis(url, namespace=namespace, hints=False))
    return TaggedCache(TieredCache(InMemoryCache(), redis)), redis, tap(redis)


def stranger(url: str, namespace: str) -> tuple[TaggedCache, RedisCache, Tap]:
    """A cache with a replica of its own, as in another process: it starts cold."""
    redis = apart(CacheConfig.redis(url, namespace=namespace, hints=False))
    return TaggedCache(TieredCache(InMemoryCache(), redis)), redis, tap(redis)


async def count(redis: RedisCache, name: str) -> int:
    (size,) = (await redis._port.send([("ZCARD", name)])).replies
    return int(size)


async def test_the_servers_tag_clock_is_bounded_and_nothing_old_survives(
    server_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_commands, "MAX_SHARED_TAGS", 100)
    cache, redis, _ = stack(server_url, namespace)
    other, _, _ = stranger(server_url, namespace)
    async with cache, other:
        await cache.set_with_tags("k", "old", ["t"], ttl=60)
        assert await other.get("k") == "old"
        await cache.invalidate_tag("t")
        for n in range(600):
            await cache.invalidate_tag(f"other:{n}")
        assert await count(redis, f"{{{namespace}}}:c") <= 100 + UNTIDY
        assert await other.get("k", consistency="strong") is None
        await cache.set_with_tags("k", "new", ["t"], ttl=60)
        assert await other.get("k", consistency="strong") == "new"


async def test_the_servers_key_clock_is_bounded_and_nothing_old_survives(
    server_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_commands, "MAX_SHARED_KEYS", 50)
    cache, redis, _ = stack(server_url, namespace)
    other, _, _ = stranger(server_url, namespace)
    async with cache, other:
        await cache.set("k", "old", ttl=60)
        assert await other.get("k") == "old"
        await cache.set("k", "new", ttl=60)
        for n in range(600):
            await cache.set(f"other:{n}", n, ttl=60)
        assert await count(redis, f"{{{namespace}}}:k") <= 50 + UNTIDY
        assert await other.get("k", consistency="strong") == "new"


async def test_a_process_that_keeps_few_tags_asks_for_the_others(
    server_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replicas, "MAX_TAGS", 20)
    cache, _, _ = stack(server_url, namespace)
    other, _, line = stranger(server_url, namespace)
    async with cache, other:
        await other.get("warm")
        await cache.set_with_tags("alive", "v", ["a"], ttl=60)
        await cache.set_with_tags("dead", "v", ["d"], ttl=60)
        await cache.invalidate_tag("d")
        for n in range(100):
            await cache.invalidate_tag(f"other:{n}")
            if n % 10 == 0:
                await other.get("warm", consistency="strong")
        replica = other.clock.replica
        assert len(replica.tags) <= 20
        before = line.sent
        assert await other.get("alive", consistency="strong") == "v"
        assert line.sent == before + 2
        assert await other.get("dead", consistency="strong") is None


async def test_a_cold_start_beside_a_large_clock(
    server_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_sync, "BACKFILL", 10)
    cache, _, _ = stack(server_url, namespace)
    async with cache:
        await cache.set_with_tags("alive", "v", ["a"], ttl=60)
        await cache.set_with_tags("dead", "v", ["d"], ttl=60)
        await cache.invalidate_tag("d")
        await cache.invalidate_tags([f"other:{n}" for n in range(50)])
        for n in range(50):
            await cache.invalidate_tag(f"more:{n}")
        cold, _, _ = stranger(server_url, namespace)
        async with cold:
            assert await cold.get("alive") == "v"
            assert await cold.get("dead") is None
            assert await cold.get_many(["alive", "dead"], consistency="strong") == {"alive": "v"}


async def test_a_process_far_behind_starts_from_the_newest(
    server_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, _, _ = stack(server_url, namespace)
    other, _, _ = stranger(server_url, namespace)
    async with cache, other:
        await cache.set_with_tags("k", "old", ["t"], ttl=60)
        await cache.set_with_tags("alive", "v", ["a"], ttl=60)
        assert await other.get("k") == "old"
        assert await other.get("alive") == "v"
        await cache.invalidate_tag("t")
        await cache.invalidate_tags([f"other:{n}" for n in range(25_000)])
        assert await other.get("k", consistency="strong") is None
        assert await other.get("alive", consistency="strong") == "v"


async def test_after_silence_no_index_registry_or_value_is_left(
    server_url: str, namespace: str
) -> None:
    cache, redis, _ = stack(server_url, namespace)
    async with cache:
        for n in range(20):
            await cache.set_with_tags(f"k{n}", n, ["users", f"user:{n}"], ttl=0.05)
        for _ in range(2000):
            scan: Command = ("SCAN", "0", "MATCH", f"*{namespace}*", "COUNT", 100_000)
            ((_, names),) = (await redis._port.send([scan])).replies
            left = {name.decode() for name in names}
            if left <= {f"{{{namespace}}}:c", f"{{{namespace}}}:k"}:
                break
        assert left <= {f"{{{namespace}}}:c", f"{{{namespace}}}:k"}
