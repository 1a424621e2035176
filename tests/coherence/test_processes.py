"""Two processes over one store: what one invalidates, the other stops serving in time."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.coherence.peers import BOUND, Peer, build

pytestmark = pytest.mark.slow


@pytest.fixture(params=[True, False], ids=["hints", "no hints"])
def peer(request: pytest.FixtureRequest, any_url: str, namespace: str) -> Iterator[Peer]:
    """A second process, with hints and without."""
    process = Peer(any_url, namespace, hints=request.param)
    yield process
    process.close()


async def _old_reads_after_ack(any_url: str, namespace: str, peer: Peer, how: str) -> list[float]:
    """How long after the acknowledgement each read began that still gave the old value."""
    async with build(any_url, namespace) as cache:
        await cache.set_with_tags("k", "old", ["t"], ttl=60)
        assert peer("get", "k") == "old"
        assert peer("get", "k") == "old"
        assert peer("stats").tiers[0].hits >= 1
        watching = peer.watch("k", "old", 4 * BOUND)
        next(watching)
        if how == "invalidate":
            await cache.invalidate_tag("t")
        elif how == "delete":
            await cache.delete("k")
        elif how == "set":
            await cache.set("k", "new", as_of=None)
        else:
            await cache.clear()
        acknowledged = time.monotonic()
        return [began - acknowledged for began in next(watching) if began > acknowledged]


@pytest.mark.parametrize("how", ["invalidate", "delete", "set", "clear"])
async def test_no_process_serves_the_old_value_beyond_the_bound(
    any_url: str, namespace: str, peer: Peer, how: str
) -> None:
    late = await _old_reads_after_ack(any_url, namespace, peer, how)
    assert max(late, default=0.0) <= BOUND
    assert peer("get", "k") == ("new" if how == "set" else None)


async def test_a_late_fill_of_another_process_is_never_served(
    any_url: str, namespace: str, peer: Peer
) -> None:
    async with build(any_url, namespace) as cache:

        async def load() -> str:
            peer("invalidate_tag", "t")
            return "old"

        assert await cache.get_or_set("k", load, tags=["t"]) == "old"
        assert await cache.get("k", consistency="strong") is None
        assert peer("get", "k", consistency="strong") is None


@pytest.mark.parametrize("how", ["delete", "clear", "set"])
async def test_what_another_process_does_during_a_load_wins(
    any_url: str, namespace: str, peer: Peer, how: str
) -> None:
    arguments = {"delete": ("k",), "clear": (), "set": ("k", "new")}[how]
    async with build(any_url, namespace) as cache:

        async def load() -> str:
            peer(how, *arguments)
            return "old"

        await cache.get_or_set("k", load, tags=["t"])
        expected = "new" if how == "set" else None
        assert await cache.get("k", consistency="strong") == expected
        assert peer("get", "k", consistency="strong") == expected
