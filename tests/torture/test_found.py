"""What the torture found, or the reading for it: the smallest histories that showed each."""

from __future__ import annotations

import asyncio
import contextvars
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from armature_cache import (
    BackendError,
    CacheConfig,
    InMemoryCache,
    TaggedCache,
    TieredCache,
)
from armature_cache.errors import BackendUnavailable
from armature_cache.redisio.port import Command
from tests.coherence.ports import Tap, apart, is_read, tap
from tests.conftest import StartServer
from tests.contract.faces import DEADLINE, ManualTime


def stack(url: str, namespace: str, time: Callable[[], float] | None = None) -> Any:
    """A cache with a replica of its own, as in another process, and the tap before its port."""
    given: dict[str, Any] = {} if time is None else {"time": time}
    redis = apart(CacheConfig.redis(url, namespace=namespace, hints=False), **given)
    return TaggedCache(TieredCache(InMemoryCache(**given), redis)), tap(redis)


def before_write(line: Tap, meanwhile: Callable[[], Any]) -> None:
    """Do something once, before the next pipeline that does not read a value."""

    async def hook(commands: Sequence[Command]) -> None:
        if not is_read(commands) and any(command[0] == "EVALSHA" for command in commands):
            line.before = None
            await meanwhile()

    line.before = hook


async def test_expire_does_not_revive_what_is_invalidated_meanwhile(
    server_url: str, namespace: str
) -> None:
    (p, line), (q, _) = stack(server_url, namespace), stack(server_url, namespace)
    async with p, q:
        await q.set("k", "old", ttl=60, tags="t")
        assert await p.get("k") == "old"
        before_write(line, lambda: q.invalidate_tag("t"))
        await p.expire("k", 60)
        assert await q.get("k", consistency="strong") is None
        assert await p.get("k", consistency="strong") is None


async def test_increment_does_not_revive_what_is_invalidated_meanwhile(
    server_url: str, namespace: str
) -> None:
    (p, line), (q, _) = stack(server_url, namespace), stack(server_url, namespace)
    async with p, q:
        await q.set("k", 5, ttl=60, tags="t")
        assert await p.get("k") == 5
        writes = iter(range(10))

        async def hook(commands: Sequence[Command]) -> None:
            if not is_read(commands) and next(writes) == 1:
                await q.invalidate_tag("t")

        line.before = hook
        assert await p.increment("k") == 1
        assert await q.get("k", consistency="strong") == 1


async def test_expire_does_not_lose_what_others_count_meanwhile(
    server_url: str, namespace: str
) -> None:
    (p, line), (q, _) = stack(server_url, namespace), stack(server_url, namespace)
    async with p, q:
        await q.increment("n", 5)
        assert await p.get("n") == 5

        async def count() -> None:
            assert await q.increment("n", 2) == 7

        before_write(line, count)
        assert await p.expire("n", 60)
        assert await q.get("n", consistency="strong") == 7
        assert 50 < (await q.ttl("n", consistency="strong") or 0) <= 60
        assert await p.increment("n") == 8


async def test_a_counter_survives_that_its_creator_got_no_reply(
    server_url: str, namespace: str
) -> None:
    (p, line), (q, _) = stack(server_url, namespace), stack(server_url, namespace)
    async with p, q:
        await p.get("warm")
        await p.increment("warm")
        writes = iter(range(10))

        async def lose(commands: Sequence[Command]) -> None:
            if not is_read(commands) and next(writes) == 1:
                line.after = None
                raise BackendUnavailable("the reply was lost")

        line.after = lose
        with pytest.raises(BackendError):
            await p.increment("n")
        assert await q.increment("n") == 2
        await p.get("anything", consistency="strong")
        assert await q.increment("n") == 3


async def test_no_old_load_is_joined_while_the_server_is_away(
    server_url: str, namespace: str
) -> None:
    time = ManualTime()
    (p, line), (q, _) = stack(server_url, namespace, time), stack(server_url, namespace)
    reading, done = asyncio.Event(), asyncio.Event()

    async def slow() -> str:
        reading.set()
        await done.wait()
        return "old"

    async with p, q:
        leader = asyncio.create_task(p.get_or_set("k", slow, tags=["t"]))
        await reading.wait()
        await q.invalidate_tag("t")
        time.now += 1
        line.failing = True
        late = asyncio.create_task(p.get_or_set("k", lambda: "new", tags=["t"]))
        for _ in range(20):
            await asyncio.sleep(0)
        done.set()
        assert (await leader, await late) == ("old", "new")
        line.failing = False


async def test_a_young_load_is_joined_while_the_server_is_away(
    server_url: str, namespace: str
) -> None:
    time = ManualTime()
    p, line = stack(server_url, namespace, time)
    reading, done = asyncio.Event(), asyncio.Event()

    async def slow() -> str:
        reading.set()
        await done.wait()
        return "v"

    async with p:
        await p.get("warm")
        time.now += 1
        line.failing = True
        leader = asyncio.create_task(p.get_or_set("k", slow, tags=["t"]))
        await reading.wait()
        late = asyncio.create_task(p.get_or_set("k", lambda: "second", tags=["t"]))
        for _ in range(20):
            await asyncio.sleep(0)
        done.set()
        assert (await leader, await late) == ("v", "v")
        line.failing = False


async def test_a_read_does_not_trust_a_sync_that_was_sent_too_long_before_it(
    server_url: str, namespace: str
) -> None:
    time = ManualTime()
    (p, line), (q, _) = stack(server_url, namespace, time), stack(server_url, namespace)
    answered, let_go = asyncio.Event(), asyncio.Event()

    async def hold(_: Sequence[Command]) -> None:
        line.after = None
        answered.set()
        await let_go.wait()

    async with p, q:
        await p.set("k", "old", ttl=60)
        assert await p.get("k") == "old"
        time.now += 1
        line.after = hold
        early = asyncio.create_task(p.get("k"))
        await answered.wait()
        await q.set("k", "new", ttl=60, as_of=None)
        time.now += 1
        late = asyncio.create_task(p.get("k"))
        for _ in range(20):
            await asyncio.sleep(0)
        let_go.set()
        assert await early == "old"
        assert await late == "new"


def test_a_strong_caller_does_not_join_a_read_that_was_judged_before(
    server_url: str, namespace: str
) -> None:
    async_face, _ = stack(server_url, namespace)
    writer = async_face.sync()
    reader = stack(server_url, namespace)[0].sync()
    judged, let_go = threading.Event(), threading.Event()
    inner = reader._core.store._near
    promote = inner.promote

    def hold_up(entry: object) -> object:
        inner.promote = promote
        judged.set()
        assert let_go.wait(DEADLINE)
        return promote(entry)

    with writer, reader:
        writer.set("k", "old", ttl=60, tags=["t"])
        inner.promote = hold_up
        leader = threading.Thread(
            target=contextvars.Context().run, args=(reader.get_or_set, "k", lambda: "unused")
        )
        leader.start()
        assert judged.wait(DEADLINE)
        writer.invalidate_tag("t")
        found: list[str] = []
        late = threading.Thread(
            target=lambda: found.append(
                reader.get_or_set("k", lambda: "new", consistency="strong", tags=["t"])
            )
        )
        late.start()
        late.join(0.3)
        let_go.set()
        late.join(DEADLINE)
        leader.join(DEADLINE)
        assert found == ["new"]


_FORK = """
import os, sys, threading
from armature_cache import CacheConfig
from armature_cache.sync import InMemoryCache, RedisCache, TaggedCache, TieredCache
cache = TaggedCache(TieredCache(InMemoryCache(),
    RedisCache(CacheConfig.redis(sys.argv[1], namespace="forked"))))
cache.get("warm")
loading, done = threading.Event(), threading.Event()
def load():
    loading.set()
    done.wait()
    return "parent"
thread = threading.Thread(target=cache.get_or_set, args=("k", load))
thread.start()
loading.wait()
pid = os.fork()
if pid == 0:
    import faulthandler
    faulthandler.dump_traceback_later(10, exit=True)
    os._exit(0 if cache.get_or_set("k", lambda: "child") == "child" else 3)
code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
done.set()
thread.join()
cache.close()
sys.exit(code)
"""


@pytest.mark.faults
@pytest.mark.skipif(sys.platform == "win32", reason="this system has no fork")
def test_a_forked_child_waits_for_no_load_of_its_parent(start_server: StartServer) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _FORK, start_server().url],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


async def test_a_stale_read_of_a_sliding_entry_does_not_make_it_fresh(
    server_url: str, namespace: str
) -> None:
    (p, _), (q, _) = stack(server_url, namespace), stack(server_url, namespace)

    def fail() -> str:
        raise OSError("the source is away")

    async with p, q:
        assert await p.get_or_set("k", lambda: "old", tags=["t"], ttl=60, sliding=True) == "old"
        await p.invalidate_tag("t", soft=True)
        assert await q.get_or_set("k", fail, tags=["t"], stale_for=60) == "old"
        assert await q.get("k", consistency="strong") is None
        assert await p.get("k", consistency="strong") is None
