"""Failovers under traffic: nothing old is served, and everything is cacheable again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from armature_cache.redisio.names import Names
from armature_cache.testing import ClusterServers, RedisServer, SentinelServers
from tests.contract.faces import eventually
from tests.topologies.conftest import OpenAt, narrowed
from tests.topologies.traffic import KEYS, Traffic

pytestmark = pytest.mark.faults


def clock_master(ring: ClusterServers, namespace: str) -> RedisServer:
    return ring.owner_of(Names(namespace, clustered=True).clock)


def other_master(ring: ClusterServers, namespace: str) -> RedisServer:
    clock, names = clock_master(ring, namespace), Names(namespace, clustered=True)
    owners = (ring.owner_of(names.value(key)) for key in KEYS)
    return next(owner for owner in owners if owner is not clock)


async def stacks(open_at: OpenAt, url: str, narrow: str) -> Traffic:
    """Three caches that know of one another only through the servers, of both faces."""
    common: dict[str, Any] = {"operation_timeout": 1.0, "connect_timeout": 1.0}
    return Traffic(
        [
            open_at(url, **common),
            open_at(narrow, **common),
            open_at(narrow, face="sync", hints=False, **common),
        ]
    )


@pytest.mark.parametrize("whose", [clock_master, other_master], ids=["clock's", "another"])
@pytest.mark.parametrize("how", ["killed", "frozen", "changed in order"])
async def test_a_master_of_a_cluster_is_replaced(
    ring: ClusterServers, open_at: OpenAt, namespace: str, whose, how: str
) -> None:
    traffic = await stacks(open_at, ring.url, narrowed(ring))
    async with traffic.running():
        old = whose(ring, namespace)
        if how == "frozen":
            await asyncio.to_thread(ring.pause_master, old)
        else:
            await asyncio.to_thread(ring.failover, old, kill=how == "killed")
        await traffic.flows()
    await traffic.settled()


@pytest.mark.parametrize("how", ["killed", "frozen", "changed in order"])
async def test_the_primary_behind_sentinels_is_replaced(
    watched: SentinelServers, open_at: OpenAt, how: str
) -> None:
    traffic = await stacks(open_at, watched.url, narrowed(watched))
    async with traffic.running():
        old = watched.primary()
        if how == "frozen":
            await asyncio.to_thread(watched.pause_primary)
        else:
            await asyncio.to_thread(watched.failover, kill=how == "killed")
        await traffic.flows()
        if how == "killed":
            await asyncio.to_thread(watched.rejoin, old)
            assert old in watched.replicas()
            await traffic.flows()
    await traffic.settled()


async def test_a_whole_cluster_restarts(ring: ClusterServers, open_at: OpenAt) -> None:
    traffic = await stacks(open_at, ring.url, narrowed(ring))
    async with traffic.running():
        for server in ring.servers:
            server.kill()
        await asyncio.sleep(0.3)
        for server in ring.servers:
            await asyncio.to_thread(server.start)
        await asyncio.to_thread(ring.wait_ready)
        await traffic.flows()
    await traffic.settled()


@pytest.mark.parametrize("whose", [clock_master, other_master], ids=["clock's", "another"])
async def test_hints_arrive_after_a_failover(
    ring: ClusterServers, open_at: OpenAt, namespace: str, whose
) -> None:
    writer = open_at(ring.url, hints=False)
    reader = open_at(narrowed(ring), staleness_bound=60)
    await writer.set("warm", 1, ttl=600)
    assert await reader.get("warm") == 1
    await asyncio.to_thread(ring.failover, whose(ring, namespace))
    await hears(writer, reader)


async def test_hints_arrive_after_the_primary_was_replaced(
    watched: SentinelServers, open_at: OpenAt
) -> None:
    writer = open_at(watched.url, hints=False)
    reader = open_at(narrowed(watched), staleness_bound=60)
    await writer.set("warm", 1, ttl=600)
    assert await reader.get("warm") == 1
    await asyncio.to_thread(watched.failover)
    await hears(writer, reader)


async def hears(writer, reader) -> None:
    """An invalidation reaches a reader whose own syncs are a minute apart."""

    async def heard() -> bool:
        await writer.set_with_tags("k", "old", ["t"], ttl=600, as_of=None)
        if await reader.get("k", consistency="strong") != "old":
            return False
        await writer.invalidate_tag("t")
        for _ in range(100):
            if await reader.get("k") is None:
                return True
            await asyncio.sleep(0.005)
        return False

    await eventually(heard, "a hint")


@pytest.mark.parametrize("change", ["invalidate_tag", "delete", "set"])
@pytest.mark.parametrize("whose", ["clock", "value"])
@pytest.mark.parametrize("stored_by", ["set", "add"])
async def test_a_stale_replica_that_is_promoted_revives_nothing(  # noqa: PLR0917 - pytest fills in
    ring: ClusterServers, open_at: OpenAt, namespace: str, whose: str, change: str, stored_by: str
) -> None:
    names = Names(namespace, clustered=True)
    writer, reader = open_at(ring.url), open_at(narrowed(ring))
    key = next(
        key for key in KEYS if ring.owner_of(names.value(key)) is not clock_master(ring, namespace)
    )
    await getattr(writer, stored_by)(key, "old", tags=["t"], ttl=600)
    assert await reader.get(key) == "old"
    master = ring.owner_of(names.clock if whose == "clock" else names.value(key))
    replicas = ring.replicas_of(master)
    await lose_tail(master, replicas[0], writer, change, key)
    await asyncio.to_thread(ring._wait_failover, master, replicas)
    for cache in (writer, reader):
        assert await cache.get(key, consistency="strong") != "old"
        assert await cache.get(key) != "old"
    await writer.set_with_tags(key, "again", ["t"], ttl=600, as_of=None)
    assert await reader.get(key, consistency="strong") == "again"


async def lose_tail(
    master: RedisServer, replica: RedisServer, writer, change: str, key: str
) -> None:
    """Change a key on a master whose replica does not hear of it any more.

    What is on the wire when a replica is frozen still reaches it, so its connection goes, too.
    """
    master.command("WAIT", 1, 5000, timeout=6)
    replica.pause()
    master.command("CLIENT", "KILL", "TYPE", "replica")
    arguments = {"invalidate_tag": ("t",), "delete": (key,), "set": (key, "new")}[change]
    await getattr(writer, change)(*arguments)
    master.kill()
    replica.resume()


@pytest.mark.parametrize("change", ["invalidate_tag", "delete", "set"])
async def test_a_stale_replica_behind_sentinels_revives_nothing(
    watched: SentinelServers, open_at: OpenAt, change: str
) -> None:
    writer, reader = open_at(watched.url), open_at(narrowed(watched))
    await writer.set_with_tags("k", "old", ["t"], ttl=600)
    assert await reader.get("k") == "old"
    primary = watched.primary()
    await lose_tail(primary, watched.replicas()[0], writer, change, "k")
    await asyncio.to_thread(watched._wait_failover, primary)
    for cache in (writer, reader):
        assert await cache.get("k", consistency="strong") != "old"
        assert await cache.get("k") != "old"
    await writer.set_with_tags("k", "again", ["t"], ttl=600, as_of=None)
    assert await reader.get("k", consistency="strong") == "again"
