"""Event loops come and go over one cache."""

from __future__ import annotations

import asyncio
import socket
import stat
from pathlib import Path

from armature_cache import TaggedCache, open_cache


def sockets() -> int:
    """How many sockets this process holds open."""
    found = 0
    for each in Path("/dev/fd").iterdir():
        try:
            found += stat.S_ISSOCK(each.stat().st_mode)
        except FileNotFoundError:
            continue  # the descriptor of the listing itself
    return found


async def work(cache: TaggedCache) -> None:
    await asyncio.gather(*(cache.get_or_set(f"k{each}", lambda: 1, tags="t") for each in range(3)))
    await cache.invalidate_tag("t")


def test_a_loop_that_ended_leaves_no_connections(any_url: str):
    cache = open_cache(any_url, namespace="loops", hints=False)
    asyncio.run(work(cache))
    before = sockets()
    for _ in range(5):
        asyncio.run(work(cache))
    assert sockets() == before
    asyncio.run(cache.aclose())
    assert sockets() <= before


def test_sockets_are_counted():
    before = sockets()
    with socket.socket():
        assert sockets() == before + 1
