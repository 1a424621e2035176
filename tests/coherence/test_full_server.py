"""A server without memory: nothing new is stored, and what is invalidated is invalid."""

from __future__ import annotations

import pytest
import redis

from armature_cache import BackendError, CacheConfig, RedisCache, TaggedCache
from tests.conftest import StartServer


@pytest.mark.faults
async def test_invalidations_reach_a_server_that_is_full(
    start_server: StartServer, namespace: str
) -> None:
    server = start_server()
    config = CacheConfig.redis(server.url, namespace=namespace)
    async with TaggedCache(RedisCache(config)) as cache:
        for number in range(4):
            await cache.set(f"k{number}", "v", ttl=600, tags=[f"t{number}"])
        with redis.Redis.from_url(server.url) as client:
            client.config_set("maxmemory-policy", "noeviction")
            client.config_set("maxmemory", "1")
        with pytest.raises(BackendError):
            await cache.set("new", "v", ttl=600)
        await cache.invalidate_tag("t0")
        await cache.delete("k1")
        await cache.invalidate_tag("t2", soft=True)
        found = await cache.get_many(["k0", "k1", "k2", "k3"], consistency="strong")
        assert found == {"k3": "v"}
        assert cache.stats().pending_invalidations == 0
