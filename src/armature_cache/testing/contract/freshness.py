"""Lifetimes of loads: stale values, renewals, sliding, jitter, negative results, timeouts."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

import pytest

from armature_cache.errors import LoadFailed, LoadTimeout
from armature_cache.load_context import load_context
from armature_cache.testing.contract.faces import Face, eventually
from armature_cache.testing.contract.kit import Kit
from armature_cache.testing.contract.loading import Count

TTL = 0.05
LONG = 60.0


class Source:
    """A source whose value the test changes, and which fails when told to."""

    def __init__(self, face: Face) -> None:
        self.value = 1
        self.calls = 0
        self.fails = False
        self.gate = face.gate()
        self.gate.open()
        self.cancelled = 0
        self._face = face

    async def _load(self) -> int:
        self.calls += 1
        seen = self.value
        try:
            await self.gate.passed()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.fails:
            raise ConnectionError("the source is down")
        return seen

    @property
    def loader(self) -> Callable[..., Any]:
        return self._face.loader(self._load)

    def close(self) -> None:
        self.gate = self._face.gate()


async def _stale(kit: Kit, cache: Face, source: Source, **policy: object) -> None:
    """Store a value and let its lifetime end; then the source has another one."""
    assert await cache.get_or_set("k", source.loader, ttl=TTL, **policy) == 1
    await kit.expired(cache, "k", TTL)
    source.value = 2


async def test_a_stale_value_is_returned_while_it_is_loaded_again(kit: Kit, cache: Face) -> None:
    source = Source(cache)
    policy = {"stale_while_revalidate": LONG}
    await _stale(kit, cache, source, **policy)
    assert await cache.get("k") is None
    source.close()
    for _ in range(3):
        assert await cache.get_or_set("k", source.loader, ttl=LONG, **policy) == 1
    source.gate.open()

    async def renewed() -> bool:
        value: int = await cache.get_or_set("k", source.loader, ttl=LONG, **policy)
        return value == 2

    await eventually(renewed, "a renewal")
    assert source.calls == 2
    assert cache.stats().renewals >= 1
    assert cache.stats().stale_served >= 3


async def test_without_the_policy_a_stale_value_is_a_miss(kit: Kit, cache: Face) -> None:
    source = Source(cache)
    await _stale(kit, cache, source, stale_for=LONG, stale_while_revalidate=LONG)
    assert await cache.exists("k") is False
    assert await cache.ttl("k") is None
    assert await cache.get_many(["k"]) == {}
    assert await cache.get_or_set("k", source.loader, ttl=LONG) == 2


async def test_a_stale_value_stands_in_for_a_failed_load(kit: Kit, cache: Face) -> None:
    source = Source(cache)
    policy = {"stale_for": LONG, "retry_after": LONG}
    await _stale(kit, cache, source, **policy)
    source.fails = True
    for _ in range(3):
        assert await cache.get_or_set("k", source.loader, **policy) == 1
    assert source.calls == 2
    with pytest.raises(ConnectionError):
        await cache.get_or_set("k", source.loader)
    source.fails = False
    assert await cache.get_or_set("k", source.loader, ttl=LONG) == 2
    assert await cache.get_or_set("k", source.loader, **policy) == 2


async def test_only_errors_that_count_are_forgiven(kit: Kit, cache: Face) -> None:
    source = Source(cache)
    policy = {"stale_for": LONG, "retry_after": 0}
    await _stale(kit, cache, source, **policy)
    source.fails = True
    with pytest.raises(ConnectionError):
        await cache.get_or_set("k", source.loader, stale_on=KeyError, **policy)
    with pytest.raises(ConnectionError):
        await cache.get_or_set(
            "k", source.loader, stale_on=lambda error: "up" in str(error), **policy
        )
    assert await cache.get_or_set("k", source.loader, stale_on=OSError, **policy) == 1
    assert await cache.get_or_set("none", source.loader, fallback=7, **policy) == 7
    assert await cache.exists("none") is False


async def test_a_value_stays_no_longer_than_it_may(kit: Kit, cache: Face) -> None:
    source = Source(cache)
    await _stale(kit, cache, source, stale_for=TTL)
    source.fails = True

    async def gone() -> bool:
        try:
            await cache.get_or_set("k", source.loader, stale_for=TTL, retry_after=0)
        except ConnectionError:
            return True
        return False

    if not kit.shared:
        kit.time.advance(TTL)
        assert await gone()
    await eventually(gone, "the end of a stale value")


async def test_a_slow_load_is_not_waited_for(kit: Kit, cache: Face) -> None:
    source = Source(cache)
    policy = {"stale_for": LONG, "soft_timeout": 0.02, "hard_timeout": 0.03}
    await _stale(kit, cache, source, stale_for=LONG)
    source.close()
    assert await cache.get_or_set("k", source.loader, ttl=LONG, **policy) == 1
    with pytest.raises(LoadTimeout) as caught:
        await cache.get_or_set("other", source.loader, ttl=LONG, **policy)
    assert caught.value.seconds == 0.03
    assert await cache.get_or_set("other", source.loader, fallback=9, **policy) == 9
    source.gate.open()

    async def stored() -> bool:
        return bool(await cache.get_many(["k", "other"]) == {"k": 2, "other": 2})

    await eventually(stored, "loads that go on in the background")
    assert source.calls == 3
    assert cache.stats().timeouts >= 3


async def test_a_value_is_renewed_ahead_of_its_end(kit: Kit, cache: Face) -> None:
    source = Source(cache)
    policy = {"refresh_after": 0.01}
    assert await cache.get_or_set("k", source.loader, ttl=2, **policy) == 1
    source.value = 2
    if not kit.shared:
        kit.time.advance(0.03)

    async def renewed() -> bool:
        value: int = await cache.get_or_set("k", source.loader, ttl=LONG, **policy)
        return value == 2

    await eventually(renewed, "a renewal")
    assert await cache.ttl("k") > 2
    assert source.calls == 2


async def test_a_failed_renewal_rests(kit: Kit, cache: Face) -> None:
    source = Source(cache)
    policy = {"refresh_after": 0.01, "retry_after": LONG}
    assert await cache.get_or_set("k", source.loader, ttl=LONG, **policy) == 1
    source.fails = True
    if not kit.shared:
        kit.time.advance(1)

    async def tried() -> bool:
        assert await cache.get_or_set("k", source.loader, ttl=LONG, **policy) == 1
        return source.calls == 2 and cache.stats().load_errors == 1

    await eventually(tried, "a renewal")
    for _ in range(5):
        assert await cache.get_or_set("k", source.loader, ttl=LONG, **policy) == 1
    assert source.calls == 2


async def test_early_refresh_is_the_earlier_the_longer_loads_take(kit: Kit, cache: Face) -> None:
    class Slow(Count):
        def __call__(self) -> int:
            if kit.shared:
                threading.Event().wait(0.02)
            else:
                kit.time.advance(0.02)
            return super().__call__()

    early, late = Slow(), Slow()
    assert await cache.get_or_set("early", early, ttl=1000, early_refresh=1e9) == 1
    assert await cache.get_or_set("late", late, ttl=1000, early_refresh=1e-9) == 1

    async def renewed() -> bool:
        assert await cache.get_or_set("late", late, ttl=1000, early_refresh=1e-9) == 1
        return int(await cache.get_or_set("early", early, ttl=1000, early_refresh=1e9)) > 1

    await eventually(renewed, "an early refresh")
    assert late.calls == 1


async def test_jitter_spreads_lifetimes(cache: Face) -> None:
    for number in range(20):
        await cache.get_or_set(f"k{number}", lambda: 1, ttl=100, jitter=0.5)
    left = [await cache.ttl(f"k{number}") for number in range(20)]
    assert all(49 < seconds <= 100 for seconds in left)
    assert max(left) - min(left) > 1


async def test_none_has_a_lifetime_of_its_own(cache: Face) -> None:
    assert await cache.get_or_set("none", lambda: None, ttl=100, negative_ttl=10) is None
    assert await cache.get_or_set("some", lambda: 1, ttl=100, negative_ttl=10) == 1
    assert await cache.ttl("none") <= 10
    assert await cache.ttl("some") > 10


async def test_a_sliding_lifetime_begins_anew_at_each_read(kit: Kit, cache: Face) -> None:
    ttl = 0.4
    read_at = monotonic()
    assert await cache.get_or_set("k", lambda: 1, ttl=ttl, sliding=True) == 1
    assert await cache.get_or_set("fixed", lambda: 1, ttl=ttl) == 1

    async def later() -> bool:
        nonlocal read_at
        if not kit.shared:
            kit.time.advance(ttl / 4)
        before, read_at = read_at, monotonic()
        if await cache.get("k") is None:
            assert monotonic() - before >= ttl  # what a stalled machine did not read in time
            await cache.get_or_set("k", lambda: 1, ttl=ttl, sliding=True)
        assert (await cache.ttl("k") or ttl) <= ttl
        return await cache.get("fixed") is None

    await eventually(later, "the end of a fixed lifetime")
    assert await cache.get("k") == 1 or monotonic() - read_at >= ttl
    await kit.expired_unread(cache, "k", ttl)
    assert await cache.get("k") is None


async def test_a_loader_says_how_its_value_is_kept(cache: Face) -> None:
    def load() -> str:
        context = load_context()
        assert context.key.endswith("k")
        assert not context.has_stale_value
        context.ttl = 10
        return "value"

    assert await cache.get_or_set("k", load, ttl=100) == "value"
    assert 0 < await cache.ttl("k") <= 10

    def skip() -> str:
        load_context().skip()
        return "skipped"

    assert await cache.get_or_set("skip", skip) == "skipped"
    assert await cache.exists("skip") is False

    def fail() -> None:
        load_context().fail("no such thing")

    with pytest.raises(LoadFailed, match="no such thing"):
        await cache.get_or_set("fail", fail)
    assert await cache.get_or_set("fail", fail, fallback=0) == 0
    context = load_context()
    assert context.key == ""
    context.ttl = 5
    assert load_context().ttl is not context.ttl


async def test_a_loader_that_finds_nothing_new_keeps_the_value(kit: Kit, cache: Face) -> None:
    seen = []

    def load() -> object:
        context = load_context()
        if context.etag == "v1":
            seen.append(context.stale_value)
            return context.not_modified()
        context.etag = "v1"
        return "value"

    assert await cache.get_or_set("k", load, ttl=TTL, stale_for=LONG) == "value"
    await kit.expired(cache, "k", TTL)
    assert await cache.get_or_set("k", load, ttl=LONG, stale_for=LONG) == "value"
    assert seen == ["value"]
    assert await cache.ttl("k") > 1
    assert await cache.refresh("k", load, ttl=LONG) == "value"
    assert seen == ["value", "value"]

    def nothing_to_keep() -> object:
        return load_context().not_modified()

    with pytest.raises(LoadFailed):
        await cache.get_or_set("new", nothing_to_keep)


async def test_many_who_find_a_stale_value_renew_it_once(kit: Kit, cache: Face) -> None:
    source = Source(cache)
    policy = {"stale_while_revalidate": LONG}
    await _stale(kit, cache, source, **policy)
    source.close()

    async def read() -> object:
        return await cache.get_or_set("k", source.loader, ttl=LONG, **policy)

    assert await cache.together([read] * 20) == [1] * 20
    source.gate.open()

    async def renewed() -> bool:
        return bool(await cache.get("k") == 2)

    await eventually(renewed, "a renewal")
    assert source.calls == 2


async def test_a_policy_of_the_store_is_the_default(kit: Kit, cache: Face) -> None:
    source = Source(cache)
    policed = Face(cache.store.with_policy(stale_while_revalidate=LONG, lock_timeout=0))
    await _stale(kit, policed, source)
    assert await policed.get_or_set("k", source.loader, ttl=LONG) == 1

    async def renewed() -> bool:
        return bool(await cache.get_or_set("k", source.loader, ttl=LONG) == 2)

    await eventually(renewed, "a renewal")


async def test_closing_leaves_no_load_behind(cache: Face) -> None:
    source = Source(cache)
    if not cache.awaited:
        return
    await cache.get_or_set("k", source.loader, ttl=TTL, stale_while_revalidate=LONG)
    source.close()
    with pytest.raises(LoadTimeout):
        await cache.get_or_set("slow", source.loader, hard_timeout=0.01)

    async def started() -> bool:
        return source.calls == 2

    await eventually(started, "a load in the background")
    assert source.cancelled == 0
    await cache.close()

    async def ended() -> bool:
        return source.cancelled == 1

    await eventually(ended, "the end of a load in the background")
