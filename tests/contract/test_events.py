"""Events: whoever listens is told, whoever does not pays nothing."""

from __future__ import annotations

from typing import Any

import pytest

from armature_cache import events
from tests.contract.faces import Face, eventually
from tests.contract.stacks import Kit


class Ear:
    def __init__(self, cache: Face) -> None:
        self.heard: list[events.Event] = []
        self.end = cache.store.subscribe(self.heard.append)

    def take(self, *kinds: type[events.Event]) -> list[Any]:
        found = [event for event in self.heard if isinstance(event, kinds)]
        self.heard.clear()
        return found


async def test_reads_and_loads_are_told(cache: Face):
    ear = Ear(cache)
    await cache.get("k")
    assert [event.key.rpartition("\0")[2] for event in ear.take(events.Miss)] == ["k"]
    await cache.get_or_set("k", lambda: 1)
    heard = ear.take(events.Loaded, events.Stored, events.LockTaken)
    assert {type(event) for event in heard} == {events.Loaded, events.Stored, events.LockTaken}
    assert not next(event for event in heard if isinstance(event, events.Loaded)).background
    for _ in range(2):
        assert await cache.get("k") == 1
        assert await cache.get_many(["k"]) == {"k": 1}
        assert len(ear.take(events.Hit)) == 2
    await cache.set("k", 2)
    assert ear.take(events.Stored)
    await cache.delete("k")
    assert ear.take(events.Deleted)
    ear.end()
    await cache.set("k", 1)
    await cache.get("k")
    assert ear.heard == []


async def test_hits_are_told_whoever_was_there_first(cache: Face):
    other = Face(cache.store.with_policy(jitter=0.1))
    await cache.set("k", 1)
    assert await other.get("k") == await cache.get("k") == 1
    ear = Ear(cache)
    for reader in (other, cache):
        assert await reader.get("k") == 1
        assert len(ear.take(events.Hit)) == 1
    ear.end()


async def test_failures_are_told(kit: Kit, cache: Face):
    ear = Ear(cache)

    def fail() -> int:
        raise ConnectionError("down")

    with pytest.raises(ConnectionError):
        await cache.get_or_set("k", fail)
    (error,) = ear.take(events.LoadError)
    assert isinstance(error.error, ConnectionError)
    await cache.get_or_set("k", lambda: 1, ttl=0.03, stale_for=60)
    await kit.expired(cache, "k", 0.03)
    ear.heard.clear()
    assert await cache.get_or_set("k", fail, stale_for=60) == 1
    assert await cache.get_or_set("k", fail, stale_for=60) == 1
    assert [event.reason for event in ear.take(events.StaleServed)] == ["error", "waiting"]
    ear.end()


async def test_invalidations_are_told(tagged: Face):
    ear = Ear(tagged)
    await tagged.invalidate_tags(["a", "b"])
    await tagged.invalidate_tag("c", soft=True)
    told = [(event.tags, event.soft) for event in ear.take(events.Invalidated)]
    assert told == [(("a", "b"), False), (("c",), True)]
    await tagged.clear()
    assert ear.take(events.Cleared)
    ear.end()


async def test_a_failing_listener_harms_nobody(cache: Face, caplog: pytest.LogCaptureFixture):
    def fail(event: events.Event) -> None:
        raise RuntimeError("listener")

    end, ear = cache.store.subscribe(fail), Ear(cache)
    await cache.set("k", 1)
    assert await cache.get("k") == 1
    assert ear.take(events.Stored)
    assert "a listener of cache events failed" in caplog.text
    end()
    ear.end()


async def test_a_renewal_is_told(kit: Kit, cache: Face):
    await cache.get_or_set("k", lambda: 1, ttl=0.03, stale_while_revalidate=60)
    await kit.expired(cache, "k", 0.03)
    ear = Ear(cache)
    assert await cache.get_or_set("k", lambda: 2, ttl=60, stale_while_revalidate=60) == 1

    async def told() -> bool:
        return any(isinstance(event, events.Loaded) and event.background for event in ear.heard)

    await eventually(told, "a renewal")
    ear.end()
