"""Sealed payloads on every kind of deployment, and through `open_cache`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import redis
import redis.asyncio

from armature_cache import ConfigError, RedisCache, SealedCodec, cache, open_cache, sync
from armature_cache.testing import ClusterServers, RedisServer, SentinelServers
from tests.sealing.vault import GONE, KEYS, TEXT

CODEC = SealedCodec(compress="zstd", encrypt=KEYS)
OTHER = SealedCodec(compress="zstd", sign=KEYS)


async def use(url: str, namespace: str) -> None:
    """What both faces store and read, each what the other one stored."""
    async with open_cache(url, namespace=namespace, codec=CODEC, hints=False) as store:
        plain = open_cache(url, namespace=namespace, codec=CODEC, hints=False).sync()
        keys = [str(number) for number in range(20)]
        await store.set_many({key: [key, TEXT] for key in keys}, tags="all")
        assert plain.get_many(keys) == {key: [key, TEXT] for key in keys}
        assert plain.increment("n", 2) == 2
        assert await store.increment("n", 3) == 5
        assert plain.add("n", 1) is False
        assert await store.expire("0", 50) is True
        assert await store.get("0", consistency="strong") == ["0", TEXT]
        await store.invalidate_tag("all")
        assert plain.get_many(keys, consistency="strong") == {}
        assert (await store.get("m"), plain.get("m")) == (None, None)
        await store.set("m", TEXT)
        plain.set("m", TEXT)
        assert await store.get("m", consistency="strong") == TEXT
        async with open_cache(url, namespace=namespace, codec=OTHER, hints=False) as other:
            assert await other.get("m", GONE) == GONE
        assert store.stats().undecodable == plain.stats().undecodable == 0
        plain.close()


async def test_one_server(server: RedisServer, namespace: str):
    await use(server.url, namespace)


@pytest.mark.slow
async def test_a_cluster(cluster: ClusterServers, namespace: str):
    await use(cluster.url, namespace)


@pytest.mark.slow
async def test_sentinels(sentinel: SentinelServers, namespace: str):
    await use(sentinel.url, namespace)


async def test_a_client_of_the_users_own(server_url: str, namespace: str):
    config = open_cache(server_url, namespace=namespace, hints=False).store.l2.config  # type: ignore[attr-defined]
    client = redis.asyncio.Redis.from_url(server_url, protocol=2)
    async with RedisCache.from_client(client, config=config, codec=CODEC) as store:
        await store.set("k", TEXT)
        plain_client = redis.Redis.from_url(server_url, protocol=2)
        with sync.RedisCache.from_client(plain_client, config=config, codec=CODEC) as plain:
            assert plain.get("k") == TEXT
        plain_client.close()
    await client.aclose()


async def test_a_decorated_function(server_url: str, namespace: str):
    async with open_cache(server_url, namespace=namespace, codec=CODEC, hints=False) as store:

        @cache(using=store, ttl=60)
        async def load(number: int) -> tuple[int, str]:
            return number, TEXT

        assert await load(1) == await load(1) == (1, TEXT)
        assert load.stats().hits == 1


@pytest.mark.parametrize("make", [open_cache, lambda url, **more: open_cache(url, **more).sync()])
def test_memory_takes_no_codec(make: Callable[..., Awaitable[Any]]):
    with pytest.raises(ConfigError) as caught:
        make("memory://", codec=CODEC)
    assert caught.value.field == "codec"
