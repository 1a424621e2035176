"""A process that starts beside a clock of a million tags, and the bounds of what it keeps."""

from __future__ import annotations

import time
import tracemalloc
from typing import Any

import pytest

from armature_cache import open_cache
from armature_cache.clocks.replica import MAX_TAGS
from tests.coherence.peers import Peer
from tests.coherence.ports import tap
from tests.conftest import StartServer

TAGS = 990_000
"""Just below the bound of a clock, 1,000,000: above it what is older than the oldest is dead."""
_CALLS = 10_000


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_million_tags_do_not_slow_a_start(
    start_server: StartServer, namespace: str
) -> None:
    server = start_server()
    writer = Peer(server.url, namespace, hints=False)
    try:
        writer("set_with_tags", "dead", 1, ["gone"], ttl=3600)
        writer("set_with_tags", "alive", 2, ["untouched", "other"], ttl=3600)
        writer("set", "bare", 3, ttl=3600)
        writer("invalidate_tag", "gone")
        for at in range(0, TAGS, _CALLS):
            writer("invalidate_tags", [f"t{n}" for n in range(at, at + _CALLS)])
        writer("set_with_tags", "late", 4, ["t989999"], ttl=3600)
        known = server.command("ZCARD", f"{{{namespace}}}:c")
        assert TAGS < known < TAGS + 20
        tracemalloc.start()
        cache = open_cache(server.url, namespace=namespace, hints=False)
        inside: Any = cache.store
        line, replica = tap(inside.l2), inside.l2._replica
        began = time.monotonic()
        found = await cache.get_many(["dead", "alive", "bare", "late"])
        took = time.monotonic() - began
        assert found == {"alive": 2, "bare": 3, "late": 4}
        assert line.sent <= 4  # SYNC, newest tags, values, ZMSCORE of what is unknown
        assert len(replica.tags) <= MAX_TAGS
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
        assert took < 5, took
        sent = line.sent
        assert await cache.get_many(["alive", "bare", "late"], consistency="bounded") == found
        assert line.sent <= sent + 1
        await cache.invalidate_tag("untouched")
        assert await cache.get("alive") is None
        writer("invalidate_tag", "t989999")
        assert await cache.get("late", consistency="strong") is None
        await cache.aclose()
    finally:
        tracemalloc.stop()
        writer.close()
