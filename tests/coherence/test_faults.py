"""Servers that die, forget, and come back: what this process may still serve."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from collections.abc import Sequence
from typing import Any

import pytest

from armature_cache import (
    BackendError,
    CacheConfig,
    InMemoryCache,
    InvalidationError,
    RedisCache,
    TaggedCache,
    TieredCache,
    TieredCacheConfig,
)
from armature_cache.redisio.port import Command
from tests.coherence.peers import build
from tests.coherence.ports import tap
from tests.conftest import StartServer

pytestmark = pytest.mark.faults


class Time:
    """A time source that stands still until it is told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def stack(
    url: str, time: Any = None, patience: float = 3.0, **tiers: Any
) -> tuple[TaggedCache, RedisCache]:
    """A tiered cache without hints, and its second tier."""
    config = CacheConfig.redis(
        url, namespace="faults", hints=False, operation_timeout=patience, connect_timeout=patience
    )
    redis = RedisCache(config, **({"time": time} if time else {}))
    l1 = InMemoryCache(**({"time": time} if time else {}))
    return TaggedCache(TieredCache(l1, redis, TieredCacheConfig(**tiers))), redis


async def test_l1_is_not_trusted_beyond_the_bound_without_the_server(
    start_server: StartServer,
) -> None:
    server, time = start_server(), Time()
    cache, _ = stack(server.url, time)
    async with cache:
        await cache.set("k", "v", ttl=60)
        server.kill()
        time.now += 0.09
        assert await cache.get("k") == "v"
        time.now += 0.02
        assert await cache.get("k") is None
        assert await cache.get_or_set("k", lambda: "loaded") == "loaded"


async def test_on_l2_down_raise(start_server: StartServer) -> None:
    server, time = start_server(), Time()
    cache, _ = stack(server.url, time, on_l2_down="raise")
    async with cache:
        await cache.set("k", "v", ttl=60)
        server.kill()
        time.now += 1
        with pytest.raises(BackendError, match="cannot be reached"):
            await cache.get("k")


async def test_on_l2_down_serve_stale_for_a_limited_time(start_server: StartServer) -> None:
    server, time = start_server(), Time()
    cache, _ = stack(server.url, time, on_l2_down="serve_stale", serve_stale_for=5.0)
    async with cache:
        await cache.set("k", "v", ttl=60)
        server.kill()
        time.now += 5
        assert await cache.get("k") == "v"
        assert cache.stats().stale_served == 1
        assert await cache.get("k", consistency="strong") is None
        time.now += 0.2
        assert await cache.get("k") is None


async def test_a_paused_server_does_not_hold_up_readers_for_ever(
    start_server: StartServer,
) -> None:
    server, time = start_server(), Time()
    cache, _ = stack(server.url, time, 0.3)
    async with cache:
        await cache.set("k", "v", ttl=60)
        server.pause()
        time.now += 1
        try:
            async with asyncio.timeout(5):
                assert await cache.get("k") is None
        finally:
            server.resume()


@pytest.mark.parametrize("fault", ["flushall", "delete clock", "delete key clock", "restart"])
async def test_nothing_old_is_served_when_the_server_forgets(
    start_server: StartServer, fault: str
) -> None:
    """P holds an entry in L1; its invalidation, or the whole clock, is lost on the server."""
    server = start_server()
    p, _ = stack(server.url)
    q, q_redis = stack(server.url)
    async with p, q:
        await p.set_with_tags("k", "old", ["t"], ttl=60)
        assert await q.get("k") == "old"
        await p.delete("k")
        if fault == "restart":
            server.kill()
            server.restart()
        else:
            command: dict[str, Command] = {
                "flushall": ("FLUSHALL",),
                "delete clock": ("DEL", "{faults}:c"),
                "delete key clock": ("DEL", "{faults}:k"),
            }
            await q_redis._port.send([command[fault]])
        for reader in (q, p):
            assert await reader.get("k", consistency="strong") is None
        await p.set_with_tags("k", "new", ["t"], ttl=60)
        assert await q.get("k", consistency="strong") == "new"


async def test_a_restart_from_an_old_snapshot_revives_nothing(start_server: StartServer) -> None:
    server = start_server({"save": "", "dbfilename": "old.rdb"})
    cache, redis = stack(server.url)
    async with cache:
        await cache.set_with_tags("k", "old", ["t"], ttl=60)
        await redis._port.send([("SAVE",)])
        await cache.invalidate_tag("t")
        server.kill()
        server.restart()
        assert await cache.get("k", consistency="strong") is None
        other, _ = stack(server.url)
        async with other:
            assert await other.get("k") is None


async def test_a_failed_invalidation_is_dead_here_and_sent_again(
    start_server: StartServer,
) -> None:
    server, time = start_server(), Time()
    cache, redis = stack(server.url, time)
    other, _ = stack(server.url)
    line = tap(redis)
    async with cache, other:
        await cache.set_with_tags("k", "old", ["t"], ttl=60)
        assert await other.get("k") == "old"
        line.failing = True
        with pytest.raises(InvalidationError) as caught:
            await cache.invalidate_tag("t")
        assert caught.value.tags == ("t",)
        assert await cache.get("k") is None
        line.failing = False
        time.now += 2
        await cache.get("anything", consistency="strong")
        assert await other.get("k", consistency="strong") is None
        assert await cache.get_or_set("k", lambda: "new", tags=["t"]) == "new"
        assert await cache.get("k") == "new"


async def test_a_failed_delete_is_sent_again(start_server: StartServer) -> None:
    server, time = start_server(), Time()
    cache, redis = stack(server.url, time)
    other, _ = stack(server.url)
    line = tap(redis)
    async with cache, other:
        await cache.set("k", "old", ttl=60)
        line.failing = True
        with pytest.raises(InvalidationError):
            await cache.delete("k")
        assert await cache.get("k") is None
        line.failing = False
        time.now += 2
        await cache.get("anything", consistency="strong")
        assert await other.get("k", consistency="strong") is None


async def test_closing_flushes_what_was_not_acknowledged_or_raises(
    start_server: StartServer,
) -> None:
    server = start_server()
    cache, redis = stack(server.url)
    line = tap(redis)
    await cache.set_with_tags("k", "v", ["t"], ttl=60)
    line.failing = True
    with pytest.raises(InvalidationError):
        await cache.invalidate_tag("t")
    with pytest.raises(InvalidationError):
        await cache.aclose()
    again, _ = stack(server.url)
    async with again:
        assert await again.get("k", consistency="strong") is None


async def test_a_cancelled_invalidation_is_dead_here_and_sent_again(
    start_server: StartServer,
) -> None:
    server, time = start_server(), Time()
    cache, redis = stack(server.url, time)
    other, _ = stack(server.url)
    line = tap(redis)
    sending = asyncio.Event()

    async def hang(commands: Sequence[Command]) -> None:
        sending.set()
        await asyncio.Event().wait()

    async with cache, other:
        await cache.set_with_tags("k", "old", ["t"], ttl=60)
        assert await other.get("k") == "old"
        line.before = hang
        task = asyncio.create_task(cache.invalidate_tag("t"))
        await sending.wait()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        line.before = None
        assert await cache.get("k") is None
        assert await other.get("k", consistency="strong") is None


async def test_a_cancelled_read_leaves_no_reply_for_the_next(start_server: StartServer) -> None:
    server = start_server()
    cache, _ = stack(server.url)
    async with cache:
        await cache.set_many({f"k{n}": n for n in range(50)}, ttl=60)
        for n in range(50):
            task = asyncio.create_task(cache.get(f"k{n}", consistency="strong"))
            for _ in range(n % 7):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
        for n in range(50):
            assert await cache.get(f"k{n}", consistency="strong") == n


async def test_a_demoted_server_is_not_trusted(start_server: StartServer) -> None:
    primary, replica = start_server(), start_server()
    cache, redis = stack(replica.url)
    await cache.set("k", "v", ttl=60)
    await redis._port.send([("REPLICAOF", "127.0.0.1", str(primary.port))])
    assert await cache.get("k", consistency="strong") is None
    with pytest.raises(BackendError, match="primary"):
        await cache.set("k", "w", ttl=60, as_of=None)
    with pytest.raises(InvalidationError) as caught:
        await cache.aclose()
    assert caught.value.keys == ("k",)


async def test_hints_come_back_after_a_restart(start_server: StartServer) -> None:
    server = start_server()
    async with build(server.url, "again") as p, build(server.url, "again") as q:
        await p.set_with_tags("k", "old", ["t"], ttl=60)
        server.kill()
        server.restart()
        async with asyncio.timeout(20):
            while True:
                await p.set_with_tags("k", "new", ["t"], ttl=60, as_of=None)
                if await q.get("k") == "new":
                    break
        await p.invalidate_tag("t")
        assert await q.get("k", consistency="strong") is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_starts_cold_and_harms_no_one(start_server: StartServer) -> None:
    server = start_server()
    program = f"""
import os
from armature_cache import CacheConfig, TieredCacheConfig
from armature_cache.sync import InMemoryCache, RedisCache, TaggedCache, TieredCache
cache = TaggedCache(TieredCache(InMemoryCache(),
    RedisCache(CacheConfig.redis({server.url!r}, namespace="fork"))))
cache.set_with_tags("k", "v", ["t"], ttl=60)
assert cache.get("k") == "v"
pids = []
for n in range(4):
    pid = os.fork()
    if pid == 0:
        ok = cache.get("k") == "v" and cache.get("k") == "v"
        cache.set(f"child{{n}}", n, ttl=60)
        os._exit(0 if ok and cache.get(f"child{{n}}") == n else 1)
    pids.append(pid)
assert cache.get("k") == "v"
assert all(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0 for pid in pids)
assert cache.get_many([f"child{{n}}" for n in range(4)]) == {{f"child{{n}}": n for n in range(4)}}
cache.invalidate_tag("t")
assert cache.get("k") is None
cache.close()
"""
    import sys

    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
