"""What an address may get wrong: dead seeds, the wrong kind of server, too few connections."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from armature_cache import BackendError, CacheConfig, RedisCache, StaleTopology, open_cache
from armature_cache.testing import ClusterServers, SentinelServers
from armature_cache.testing.group import ServerGroup
from armature_cache.testing.ports import free_ports
from tests.conftest import StartServer
from tests.topologies.conftest import OpenAt, narrowed

pytestmark = pytest.mark.faults


@pytest.mark.parametrize("face", ["async", "sync"])
async def test_one_seed_is_dead(group: ServerGroup, open_at: OpenAt, face: str) -> None:
    scheme, _, rest = narrowed(group).partition("://")
    cache = open_at(f"{scheme}://127.0.0.1:{next(free_ports())},{rest}", face=face)
    started = time.monotonic()
    await cache.set("k", "v", ttl=60)
    assert await cache.get("k", consistency="strong") == "v"
    assert time.monotonic() - started < 3


async def test_all_seeds_are_dead(group: ServerGroup, open_at: OpenAt) -> None:
    scheme, _, rest = group.url.partition("://")
    service = rest.partition("/")[2]
    cache = open_at(f"{scheme}://127.0.0.1:{next(free_ports())}/{service}")
    with pytest.raises(BackendError, match=r"cannot be reached|check it and the sentinels"):
        await cache.set("k", "v", ttl=60, as_of=None)
    assert await cache.get("k") is None


@pytest.mark.parametrize("face", ["async", "sync"])
async def test_more_callers_than_connections(
    group: ServerGroup, open_at: OpenAt, face: str
) -> None:
    cache = open_at(group.url, face=face, max_connections=2)
    await cache.set("k", "v", ttl=60)
    found = await cache.together([lambda: cache.get("k", consistency="strong")] * 20)
    assert found == ["v"] * 20


async def test_a_cluster_address_of_a_single_server(start_server: StartServer) -> None:
    server = start_server()
    await says(f"redis+cluster://{server.host}:{server.port}", r"not a cluster.*use redis://")


async def test_a_sentinel_address_of_a_data_server(start_server: StartServer) -> None:
    server = start_server()
    url = f"redis+sentinel://{server.host}:{server.port}/mymaster"
    await says(url, r"is no sentinel")


async def test_a_service_that_the_sentinels_do_not_know(watched: SentinelServers) -> None:
    url = watched.url.rpartition("/")[0] + "/nobody"
    await says(url, r"knows no primary.*'nobody'")


async def test_a_plain_address_of_a_clusters_node(ring: ClusterServers) -> None:
    for node in ring.nodes[:2]:
        await says(node.url, r"redis\+cluster://", kind=StaleTopology)


async def test_a_plain_address_of_a_replica(start_server: StartServer) -> None:
    primary = start_server()
    replica = start_server({"replicaof": f"{primary.host} {primary.port}"})
    await says(replica.url, "primary", kind=StaleTopology)


async def test_the_address_of_a_sentinel(watched: SentinelServers) -> None:
    sentinel = watched.sentinels[0]
    await says(f"redis://{sentinel.host}:{sentinel.port}", r"redis\+sentinel://")


async def says(url: str, pattern: str, *, kind: type[BackendError] = BackendError) -> None:
    """Both faces name the mistake and its cure, and reads do without the server."""
    settings: dict[str, Any] = {"operation_timeout": 5.0, "connect_timeout": 5.0}
    store = RedisCache(CacheConfig.redis(url, **settings))
    with pytest.raises(kind, match=pattern):
        await store.get("k")
    with pytest.raises(kind, match=pattern):
        await asyncio.to_thread(lambda: store.sync().get("k"))
    await store.aclose()
    async with open_cache(url, **settings) as cache:
        assert await cache.get_or_set("k", lambda: "loaded") == "loaded"
