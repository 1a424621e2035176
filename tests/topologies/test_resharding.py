"""Slots that move while caches go on: ASK, MOVED and TRYAGAIN are followed."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator

import pytest

from armature_cache.redisio.cluster import ClusterPort
from armature_cache.redisio.names import Names
from armature_cache.testing import ClusterServers, RedisServer, slot_of
from tests.conftest import StartCluster
from tests.contract.faces import Face, eventually
from tests.topologies.conftest import OpenAt, narrowed
from tests.topologies.test_failover import hears, stacks
from tests.topologies.traffic import KEYS

pytestmark = pytest.mark.faults


@dataclasses.dataclass
class Moving:
    """A Cluster, and the slots of a namespace in it."""

    ring: ClusterServers
    names: Names

    def slot(self, key: str | None) -> int:
        """The slot of a key's value, or of the clock."""
        return slot_of(self.names.clock if key is None else self.names.value(key))

    def target(self, slot: int) -> RedisServer:
        source = self.ring.owner_of_slot(slot)
        return next(node for node in self.ring.masters() if node is not source)


@pytest.fixture
async def moving(ring: ClusterServers, namespace: str) -> AsyncIterator[Moving]:
    """What moved in the test moves back after it."""
    moving = Moving(ring, Names(namespace, clustered=True))
    slots = {moving.slot(key) for key in (None, *KEYS)}
    owners = {slot: ring.owner_of_slot(slot) for slot in slots}
    yield moving
    for slot, owner in owners.items():
        if ring.owner_of_slot(slot) is not owner:
            await asyncio.to_thread(ring.move_slot, slot, owner)


@pytest.mark.parametrize("what", ["values", "clock"])
async def test_slots_move_under_traffic(moving: Moving, open_at: OpenAt, what: str) -> None:
    ring = moving.ring
    traffic = await stacks(open_at, ring.url, narrowed(ring))
    slots = {moving.slot(None)} if what == "clock" else {moving.slot(key) for key in KEYS[:4]}
    async with traffic.running():
        for slot in slots:
            move = await asyncio.to_thread(ring.start_move, slot, moving.target(slot))
            await asyncio.to_thread(move.target.command, "SCRIPT", "FLUSH")
            for _ in range(3):
                await asyncio.sleep(0.05)
                await asyncio.to_thread(move.migrate_keys, 1)
            await asyncio.sleep(0.1)
            await asyncio.to_thread(move.migrate_keys)
            await asyncio.to_thread(move.finish)
        await asyncio.to_thread(ring.wait_ready)
        await traffic.flows()
    await traffic.settled()


async def test_every_operation_works_on_a_slot_under_way(moving: Moving, open_at: OpenAt) -> None:
    """All keys have left, new ones are made at the target, and it lacks the scripts at first."""
    ring, key = moving.ring, KEYS[0]
    cache, other = open_at(ring.url), open_at(narrowed(ring), face="sync")
    await cache.set_with_tags(key, "before", ["t"], ttl=60)
    slot = moving.slot(key)
    move = await asyncio.to_thread(ring.start_move, slot, moving.target(slot))
    await asyncio.to_thread(move.migrate_keys)
    move.target.command("SCRIPT", "FLUSH")
    for far in (cache, other):
        assert await far.get(key, consistency="strong") == "before"
    await _use(other, key)
    await _use(cache, key)
    await asyncio.to_thread(move.migrate_keys)
    await asyncio.to_thread(move.finish)
    for far in (cache, other):
        assert await far.get(key, consistency="strong") == 7
        await _use(far, key)


async def _use(cache: Face, key: str) -> None:
    await cache.set(key, "current", ttl=60, as_of=None)
    assert await cache.get(key, consistency="strong") == "current"
    assert await cache.expire(key, 30)
    assert await cache.delete(key)
    assert await cache.add(key, 5, ttl=60)
    assert await cache.increment(key, 2) == 7
    assert await cache.get_many([key, *KEYS[1:9]], consistency="strong") == {key: 7}


async def test_what_is_split_between_two_nodes_waits_for_the_rest(
    moving: Moving, open_at: OpenAt
) -> None:
    """TRYAGAIN: the value has left, its index has not."""
    ring, key = moving.ring, KEYS[0]
    cache = open_at(ring.url)
    await cache.set_with_tags(key, "before", ["a", "b", "c"], ttl=60)
    slot = moving.slot(key)
    move = await asyncio.to_thread(ring.start_move, slot, moving.target(slot))
    await asyncio.to_thread(move.migrate_keys, 2)
    setting = asyncio.ensure_future(
        cache.store.set(key, "after", tags=["a", "b", "c"], ttl=60, as_of=None)
    )
    await asyncio.sleep(0.2)
    assert not setting.done()
    await asyncio.to_thread(move.migrate_keys)
    await asyncio.wait_for(setting, 5)
    await asyncio.to_thread(move.finish)
    assert await cache.get(key, consistency="strong") == "after"
    assert await cache.get_keys_by_tag("b") == [key]


async def test_hints_follow_the_clock_to_another_node(moving: Moving, open_at: OpenAt) -> None:
    ring = moving.ring
    writer = open_at(ring.url, hints=False)
    reader = open_at(narrowed(ring), staleness_bound=60)
    await writer.set("warm", 1, ttl=600)
    assert await reader.get("warm") == 1
    await hears(writer, reader)
    slot = moving.slot(None)
    await asyncio.to_thread(ring.move_slot, slot, moving.target(slot))
    await hears(writer, reader)


async def test_the_map_is_asked_for_when_slots_have_moved(moving: Moving, open_at: OpenAt) -> None:
    """After a move each command goes straight to the owner again."""
    ring, key = moving.ring, KEYS[0]
    cache, writer = open_at(ring.url), open_at(narrowed(ring))
    assert await cache.get(key) is None
    await writer.set(key, "v", ttl=60, as_of=None)
    slot = moving.slot(key)
    target = moving.target(slot)
    await asyncio.to_thread(ring.move_slot, slot, target)
    assert await cache.get(key, consistency="strong") == "v"
    cluster = cache.store.store.l2._port
    assert isinstance(cluster, ClusterPort)
    assert cluster._owner(slot) == (target.host, target.port)


async def test_a_cluster_without_all_its_slots_says_so(
    start_cluster: StartCluster, open_at: OpenAt
) -> None:
    cluster = start_cluster(masters=3, replicas=0)
    cache = open_at(cluster.url, operation_timeout=2.0, connect_timeout=2.0)
    await cache.set("k", "v", ttl=60)
    cluster.masters()[0].kill()

    async def reported() -> bool:
        return await cache.get("k", consistency="strong") is None

    await eventually(reported, "a miss")
