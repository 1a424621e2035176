"""Processes that are frozen between requests: `hints=False`, and nothing in the background."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from armature_cache import open_cache
from tests.coherence.peers import Peer
from tests.conftest import StartServer
from tests.contract.faces import Face

each_face = pytest.mark.parametrize("face", ["async", "sync"])
LONGER_THAN_THE_BOUND = 0.15


@pytest.fixture
def frozen(server_url: str, namespace: str) -> Iterator[Peer]:
    peer = Peer(server_url, namespace, hints=False)
    yield peer
    peer.close()


async def test_what_was_invalidated_during_a_freeze_is_not_served_after_it(
    server_url: str, namespace: str, frozen: Peer
) -> None:
    async with open_cache(server_url, namespace=namespace) as cache:
        for n in range(50):
            await cache.set_with_tags(f"k{n}", "old", [f"t{n}"], ttl=60)
            assert frozen("get", f"k{n}") == "old"
        frozen.freeze()
        for n in range(0, 50, 2):
            await cache.invalidate_tag(f"t{n}")
        await cache.set("k49", "new", ttl=60, as_of=None)
        await asyncio.sleep(LONGER_THAN_THE_BOUND)
        frozen.thaw()
        for n in range(49):
            assert frozen("get", f"k{n}") == (None if n % 2 == 0 else "old")
        assert frozen("get", "k49") == "new"


async def test_connections_that_ended_during_a_freeze_are_made_anew(
    start_server: StartServer, namespace: str
) -> None:
    server = start_server()
    frozen = Peer(server.url, namespace, hints=False)
    try:
        frozen("set_with_tags", "k", "v", ["t"], ttl=60)
        assert frozen("get", "k") == "v"
        frozen.freeze()
        server.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await asyncio.sleep(LONGER_THAN_THE_BOUND)
        frozen.thaw()
        assert frozen("get", "k") == "v"
        frozen("invalidate_tag", "t")
        assert frozen("get", "k") is None
    finally:
        frozen.close()


async def test_a_load_that_was_frozen_does_not_bring_back_what_was_invalidated(
    server_url: str, namespace: str
) -> None:
    """The loader read the database, the process was frozen, and stores long after."""
    async with (
        open_cache(server_url, namespace=namespace, hints=False) as cache,
        open_cache(server_url.replace("127.0.0.1", "localhost"), namespace=namespace) as other,
    ):
        read, thawed = asyncio.Event(), asyncio.Event()

        async def loader() -> str:
            read.set()
            await thawed.wait()
            return "old row"

        loading = asyncio.create_task(cache.get_or_set("k", loader, tags=["t"], ttl=60))
        await read.wait()
        await other.invalidate_tag("t")
        thawed.set()
        assert await loading == "old row"
        assert await other.get("k", consistency="strong") is None
        assert await cache.get("k", consistency="strong") is None


@each_face
async def test_there_is_no_thread_and_no_subscription(
    start_server: StartServer, namespace: str, face: str
) -> None:
    server = start_server()
    before = set(threading.enumerate())
    cache: Any = open_cache(server.url, namespace=namespace, hints=False)
    used = Face(cache if face == "async" else cache.sync())
    await used.set_with_tags("k", 1, ["t"], ttl=60)
    assert await used.get("k") == 1
    await used.invalidate_tag("t")
    assert await used.get_or_set("k", lambda: 2, ttl=60) == 2
    assert not {each.name for each in set(threading.enumerate()) - before}
    assert b"psub" not in server.command("CLIENT", "LIST", "TYPE", "pubsub")
    await used.close()
