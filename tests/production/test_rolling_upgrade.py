"""Two releases that write different envelopes share one server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from armature_cache import CounterError, envelope, open_cache
from tests.coherence.peers import Peer

pytestmark = pytest.mark.slow

LATER = 2


def become_the_next_release() -> None:
    """In a process of its own: write, and read, nothing but the next version of envelopes."""
    module: Any = envelope
    module.VERSION = LATER


@pytest.fixture(params=["valkey", "redis7", "memcached"])
def place(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(request.param).url
    return url


@pytest.fixture
def later(place: str, namespace: str) -> Iterator[Peer]:
    peer = Peer(place, namespace, prepare=become_the_next_release)
    yield peer
    peer.close()


async def test_each_release_invalidates_what_the_other_stored(
    place: str, namespace: str, later: Peer
) -> None:
    async with open_cache(place, namespace=namespace) as cache:
        await cache.set_with_tags("ours", 1, ["t"], ttl=60)
        later("set_with_tags", "theirs", 2, ["t"], ttl=60)
        assert later("get", "theirs") == 2
        await cache.invalidate_tag("t")
        assert later("get", "theirs", consistency="strong") is None
        await cache.set_with_tags("ours", 1, ["t"], ttl=60)
        assert await cache.get("ours") == 1
        later("invalidate_tag", "t")
        assert await cache.get("ours", consistency="strong") is None
        later("set", "ours", 3, ttl=60)
        assert await cache.get("ours", consistency="strong") is None
        assert await cache.delete("theirs") is False
        assert later("get", "theirs", consistency="strong") is None


async def test_what_a_release_cannot_read_is_a_miss_and_is_not_overwritten_by_a_load(
    place: str, namespace: str, later: Peer
) -> None:
    async with open_cache(place, namespace=namespace) as cache:
        later("set_with_tags", "k", "theirs", ["t"], ttl=60)
        assert await cache.get("k") is None
        assert await cache.get_or_set("k", lambda: "loaded", ttl=60) == "loaded"
        assert await cache.get_or_set_many(["k"], lambda keys: dict.fromkeys(keys, "all")) == {
            "k": "all"
        }
        assert later("get", "k", consistency="strong") == "theirs"
        stats = cache.stats()
        assert stats.tiers[1].undecodable > 0
        assert any(each.code == "AC106" for each in await cache.advise())


async def test_the_later_release_takes_keys_over_and_an_explicit_set_always_counts(
    place: str, namespace: str, later: Peer
) -> None:
    async with open_cache(place, namespace=namespace) as cache:
        await cache.set("k", "ours", ttl=60)
        assert later("get", "k") is None
        later("set", "k", "theirs", ttl=60)
        assert await cache.get("k", consistency="strong") is None
        await cache.set("k", "newest", ttl=60, as_of=None)
        assert later("get", "k", consistency="strong") is None
        assert await cache.get("k", consistency="strong") == "newest"


async def test_a_lock_of_the_other_release_is_held(place: str, namespace: str, later: Peer) -> None:
    async with open_cache(place, namespace=namespace) as cache:
        assert later("add", "lock", "theirs", ttl=60)
        assert not await cache.add("lock", "ours", ttl=60)
        assert later("get", "lock", consistency="strong") == "theirs"
        assert later("delete", "lock")
        assert await cache.add("lock", "ours", ttl=60)
        assert not later("add", "lock", "theirs", ttl=60)
        assert await cache.delete("lock")
        assert later("add", "lock", "theirs", ttl=60)


async def test_a_counter_of_the_other_release_is_not_begun_anew(
    place: str, namespace: str, later: Peer
) -> None:
    async with open_cache(place, namespace=namespace) as cache:
        assert later("increment", "n", 5, ttl=60) == 5
        with pytest.raises(CounterError, match="another release"):
            await cache.increment("n")
        assert later("get", "n", consistency="strong") == 5
        await cache.delete("n")
        assert await cache.increment("n") == 1
        assert await cache.increment("n") == 2


async def test_what_was_cleared_does_not_stand_in_the_way(
    place: str, namespace: str, later: Peer
) -> None:
    async with open_cache(place, namespace=namespace) as cache:
        assert later("add", "lock", "theirs", ttl=60)
        await cache.clear()
        assert await cache.add("lock", "ours", ttl=60)
