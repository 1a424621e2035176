"""Memcached servers that die, forget, hang and come back: what may still be served, and when."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from unittest import mock

import pytest

import armature_cache
import armature_cache.sync
from armature_cache import (
    BackendError,
    BackendTimeout,
    CacheConfig,
    InvalidationError,
    TieredCacheConfig,
)
from armature_cache.clocks.nonces import ROOT, NonceReplica
from armature_cache.memcachedio import connect
from armature_cache.testing import MemcachedServer
from tests.coherence.peers import Peer
from tests.conftest import StartMemcached, joined
from tests.contract.faces import Face, ManualTime, eventually

pytestmark = pytest.mark.faults

BOUND = 0.1
RESTED = 1.5
"""Seconds after which a server that failed is tried again."""
Open = Callable[..., Face]


@pytest.fixture(params=["async", "sync"])
async def open_at(request: pytest.FixtureRequest, namespace: str) -> AsyncIterator[Open]:
    """Opens tiered caches of one namespace, without hints, each as in a process of its own."""
    opened: list[Face] = []
    library: Any = armature_cache if request.param == "async" else armature_cache.sync

    def start(
        *servers: MemcachedServer, time: ManualTime, patience: float = 2.0, **tiers: Any
    ) -> Face:
        config = CacheConfig.memcached(
            joined(servers),
            namespace=namespace,
            hints=False,
            staleness_bound=BOUND,
            operation_timeout=patience,
            connect_timeout=patience,
        )
        alone = mock.patch(
            "armature_cache.stores.memcached.nonce_replica_of", return_value=NonceReplica()
        )
        with alone:
            far = library.MemcachedCache(config, time=time)
        near = library.InMemoryCache(time=time)
        face = Face(library.TaggedCache(library.TieredCache(near, far, TieredCacheConfig(**tiers))))
        opened.append(face)
        return face

    yield start
    for face in opened:
        with contextlib.suppress(BackendError):  # a test that left a debt has said so
            await face.close()


@pytest.fixture
def time() -> ManualTime:
    return ManualTime()


async def test_l1_is_trusted_for_the_bound_and_no_longer(
    open_at: Open, start_memcached: StartMemcached, time: ManualTime
):
    server = start_memcached()
    cache = open_at(server, time=time)
    await cache.set("k", "v", ttl=60)
    server.kill()
    time.now += BOUND * 0.9
    assert await cache.get("k") == "v"
    time.now += BOUND * 0.2
    assert await cache.get("k") is None

    async def load() -> str:
        return "loaded"

    assert await cache.get_or_set("k", cache.loader(load)) == "loaded"


async def test_what_the_policy_serves_while_the_server_is_down(
    open_at: Open, start_memcached: StartMemcached, time: ManualTime
):
    server = start_memcached()
    serving = open_at(server, time=time, on_l2_down="serve_stale", serve_stale_for=5.0)
    raising = open_at(server, time=time, on_l2_down="raise")
    for cache in (serving, raising):
        await cache.set("k", "v", ttl=60)
        assert await cache.get("k") == "v"
    server.kill()
    time.now += 1.0
    assert await serving.get("k") == "v"
    with pytest.raises(BackendError):
        await raising.get("k")
    time.now += 5.0
    assert await serving.get("k") is None


async def test_a_restart_forgets_everything_and_revives_nothing(
    open_at: Open, start_memcached: StartMemcached, time: ManualTime
):
    """The invalidation itself is lost with the server."""
    server = start_memcached()
    p, q = open_at(server, time=time), open_at(server, time=time)
    await p.set("k", "old", ttl=60, tags="t")
    assert await q.get("k") == "old"
    await p.invalidate_tag("t")
    server.kill()
    server.start()
    time.now += RESTED
    assert await q.get("k") is None
    assert await p.get("k") is None
    await p.set("k", "new", ttl=60, tags="t")
    assert await q.get("k", consistency="strong") == "new"
    time.now += 2 * BOUND
    hits = q.stats().tiers[0].hits
    assert await q.get("k") == "new"
    assert q.stats().tiers[0].hits == hits + 1, "it is cacheable again"


async def test_a_load_that_outlives_its_server_is_returned_and_not_kept(
    open_at: Open, start_memcached: StartMemcached, time: ManualTime
):
    """Nobody can say what else was lost with the server while the loader ran."""
    server = start_memcached()
    p, q = open_at(server, time=time), open_at(server, time=time)

    async def load() -> str:
        await q.invalidate_tag("t")
        server.kill()
        server.start()
        time.now += RESTED
        return "old"

    assert await p.get_or_set("k", p.loader(load), tags="t") == "old"
    for cache in (p, q):
        assert await cache.get("k", consistency="strong") is None


async def test_one_server_of_several_is_lost_with_its_keys_alone(
    open_at: Open, start_memcached: StartMemcached, time: ManualTime, namespace: str
):
    servers = [start_memcached() for _ in range(3)]
    names = connect.names_of(CacheConfig.memcached(joined(servers), namespace=namespace))
    cache, keys = open_at(*servers, time=time, enable_l1=False), [f"k{n}" for n in range(60)]
    for key in keys:
        await cache.set(key, "old", ttl=60, tags="t")
    lost = (names.home + 1) % 3
    mine = sorted(key for key in keys if names.value(key).node == lost)
    assert 5 < len(mine) < 55
    at(servers, lost).kill()
    time.now += 2 * BOUND
    assert sorted(await cache.get_many(keys)) == sorted(set(keys) - set(mine))
    await cache.invalidate_tag("t")
    assert await cache.get_many(keys) == {}
    at(servers, lost).start()
    time.now += RESTED
    assert await cache.get_many(keys) == {}
    await cache.set(mine[0], "new", ttl=60, tags="t")
    assert await cache.get_many(keys) == {mine[0]: "new"}


async def test_without_the_server_of_the_clock_nothing_is_valid_and_loads_go_on(
    open_at: Open, start_memcached: StartMemcached, time: ManualTime, namespace: str
):
    servers = [start_memcached() for _ in range(3)]
    names = connect.names_of(CacheConfig.memcached(joined(servers), namespace=namespace))
    cache, keys = open_at(*servers, time=time), [f"k{n}" for n in range(30)]
    for key in keys:
        await cache.set(key, "old", ttl=60, tags="t")
    at(servers, names.home).kill()
    time.now += 2 * BOUND
    assert await cache.get_many(keys) == {}

    async def load() -> str:
        return "loaded"

    assert await cache.get_or_set("k1", cache.loader(load), tags="t") == "loaded"
    with pytest.raises(InvalidationError):
        await cache.invalidate_tag("t")
    at(servers, names.home).start()
    time.now += RESTED
    assert await cache.get_many(keys) == {}, "the nonces are lost, and so is what went by them"
    await cache.set("k1", "new", ttl=60, tags="t")
    assert await cache.get_many(keys) == {"k1": "new"}


async def test_a_failed_invalidation_is_dead_here_and_sent_again(
    open_at: Open, start_memcached: StartMemcached, time: ManualTime
):
    server = start_memcached()
    p, q = open_at(server, time=time, patience=0.3), open_at(server, time=time)
    await p.set("k", "old", ttl=60, tags="t")
    await p.set("l", "old", ttl=60)
    assert await q.get_many(["k", "l"]) == {"k": "old", "l": "old"}
    server.pause()
    try:
        for call in (lambda: p.invalidate_tag("t"), lambda: p.delete("l")):
            with pytest.raises(InvalidationError):
                await call()
        assert p.stats().pending_invalidations == 2
        assert await p.get_many(["k", "l"]) == {}, "dead here at once"
    finally:
        server.resume()
    time.now += RESTED
    assert await p.get("none") is None, "which sends it again"
    assert p.stats().pending_invalidations == 0
    assert await q.get_many(["k", "l"], consistency="strong") == {}


async def test_closing_sends_what_is_owed_or_raises(
    open_at: Open, start_memcached: StartMemcached, time: ManualTime
):
    server = start_memcached()
    p, q = open_at(server, time=time), open_at(server, time=time)
    await p.set("k", "old", ttl=60, tags="t")
    server.kill()
    for cache in (p, q):
        with pytest.raises(InvalidationError):
            await cache.invalidate_tag("t")
    time.now += RESTED
    with pytest.raises(InvalidationError, match="closed") as caught:
        await q.close()
    assert caught.value.tags == ("t",)
    server.start()
    time.now += RESTED
    await p.close()


async def test_a_server_that_hangs_holds_nobody_up_for_longer_than_the_timeout(
    open_at: Open, start_memcached: StartMemcached, time: ManualTime
):
    server = start_memcached()
    cache = open_at(server, time=time, patience=0.2, on_l2_down="raise")
    await cache.set("k", "v", ttl=60)
    time.now += 2 * BOUND
    server.pause()
    try:
        began = asyncio.get_running_loop().time()
        with pytest.raises(BackendTimeout):
            await cache.get("k")
        assert asyncio.get_running_loop().time() - began < 2.0
    finally:
        server.resume()
    time.now += RESTED
    assert await cache.get("k") == "v", "late bytes are nobody's answer"


@pytest.mark.parametrize("lost", ["change", "root", "tag"])
async def test_any_lost_item_of_the_clock_costs_misses_and_no_more(
    open_at: Open, start_memcached: StartMemcached, time: ManualTime, namespace: str, lost: str
):
    server = start_memcached()
    names = connect.names_of(CacheConfig.memcached(joined([server]), namespace=namespace))
    p, q = open_at(server, time=time), open_at(server, time=time)
    await p.set("k", "old", ttl=60, tags="t")
    assert await q.get("k") == "old"
    await p.invalidate_tag("t")
    place = {"change": names.change, "root": names.tag(ROOT), "tag": names.tag("t")}[lost]
    server.command(b"md " + place.name)
    for cache in (p, q):
        assert await cache.get("k", consistency="strong") is None
    for value in ("new", "newer"):
        await p.set("k", value, ttl=60, tags="t")
        assert await q.get("k", consistency="strong") == value


@pytest.fixture
def peer(start_memcached: StartMemcached, namespace: str) -> Iterator[tuple[MemcachedServer, Peer]]:
    server = start_memcached()
    process = Peer(server.url, namespace)
    yield server, process
    process.close()


async def test_another_process_stops_serving_what_died_with_the_server(
    peer: tuple[MemcachedServer, Peer], namespace: str
):
    """With the listener's thread at work in both, over kills and restarts."""
    server, other = peer
    async with armature_cache.open_cache(server.url, namespace=namespace) as cache:
        for turn in range(3):
            old, new = f"old {turn}", f"new {turn}"
            await cache.set("k", old, ttl=60, tags="t", as_of=None)
            await until_it_gives(other, old)
            server.kill()
            server.start()
            await until_it_gives(other, None)
            await until_it_is_set(cache, new)
            await until_it_gives(other, new)


async def until_it_gives(other: Peer, value: str | None) -> None:
    async def gives() -> bool:
        return bool(other("get", "k") == value)

    await eventually(gives, f"the other process gives {value}")


async def until_it_is_set(cache: Any, value: str) -> None:
    async def stores() -> bool:
        with contextlib.suppress(BackendError):
            await cache.set("k", value, ttl=60, tags="t", as_of=None)
            return True
        return False

    await eventually(stores, "the server is found again")


def test_a_forked_child_starts_cold_and_harms_no_one(
    start_memcached: StartMemcached, namespace: str
):
    with armature_cache.open_cache(start_memcached().url, namespace=namespace).sync() as cache:
        cache.set("k", "old", ttl=60, tags="t")
        assert cache.get("k") == "old"
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            answer = b"?"
            try:
                answer = str(cache.get("k")).encode()
                cache.invalidate_tag("t")
                answer += str(cache.get("k")).encode()
            finally:
                os.write(writing, answer)
                os._exit(0)
        os.waitpid(child, 0)
        assert os.read(reading, 100) == b"oldNone"
        os.close(reading)
        os.close(writing)
        assert cache.get("k", consistency="strong") is None
        found: list[object] = []
        threads = [threading.Thread(target=lambda: found.append(cache.get("k"))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert found == [None] * 4


def at(servers: list[MemcachedServer], node: int) -> MemcachedServer:
    """The server in a place of the ring."""
    hosts = CacheConfig.memcached(joined(servers)).address.hosts
    return next(server for server in servers if server.port == hosts[node][1])
