"""Writes to a Cluster take two steps: what others do between the two."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from armature_cache import cache_update
from armature_cache.redisio import scripts
from armature_cache.redisio.port import Command
from armature_cache.testing import ClusterServers
from tests.coherence.ports import Tap, tap
from tests.topologies.conftest import OpenAt

pytestmark = pytest.mark.faults


def alone(ring: ClusterServers, number: int) -> str:
    """An address by one node: caches of different ones know of one another by the servers only."""
    node = ring.nodes[number]
    return f"redis+cluster://{node.host}:{node.port}"


def is_second(commands: Sequence[Command]) -> bool:
    return any(command[:2] == ("EVALSHA", scripts.PLACE.sha) for command in commands)


class Held:
    """Holds a store up before its second steps."""

    def __init__(self, line: Tap) -> None:
        self.reached, self.free = asyncio.Event(), asyncio.Event()
        line.before = self._before

    async def _before(self, commands: Sequence[Command]) -> None:
        if is_second(commands):
            self.reached.set()
            await self.free.wait()


@pytest.mark.parametrize("operation", ["add", "increment"])
async def test_who_comes_too_late_does_not_undo_who_came_first(
    ring: ClusterServers, open_at: OpenAt, operation: str
) -> None:
    """Both have bumped the key before the first stores: the later bump spares his value."""
    first, late, third = (open_at(alone(ring, number)) for number in range(3))
    for cache in (first, late, third):
        await cache.get("warm")
    ahead, behind = (Held(tap(cache.store.store.l2)) for cache in (first, late))
    arguments = ("k", "mine") if operation == "add" else ("k", 5)

    def call(cache):
        async def made() -> object:
            return await getattr(cache, operation)(*arguments)

        return asyncio.create_task(made())

    one = call(first)
    await ahead.reached.wait()
    two = call(late)
    await behind.reached.wait()
    ahead.free.set()
    results = [await one]
    behind.free.set()
    results.append(await two)
    found = await third.get("k", consistency="strong")
    if operation == "add":
        assert results == [True, False]
        assert found == "mine"
        assert not await third.add("k", "theirs")
    else:
        assert results == [5, 10]
        assert found == 10


@pytest.mark.parametrize("overlap", [True, False])
async def test_an_update_between_the_steps_of_another(
    ring: ClusterServers, open_at: OpenAt, overlap: bool
) -> None:
    """The one that committed first stores last: what it has is not what the row is."""
    first, late, third = (open_at(alone(ring, number)) for number in range(3))
    await third.set("k", "old", as_of=None)
    for cache in (first, late, third):  # who has not heard of this set takes his own for overtaken
        await cache.get("warm", consistency="strong")
    begun, commit = asyncio.Event(), asyncio.Event()

    @cache_update(key="k", using=first.store)
    async def write(value: str) -> str:
        return value

    @cache_update(key="k", using=late.store)
    async def rewrite(value: str) -> str:
        begun.set()
        await commit.wait()
        return value

    async def begin_late() -> asyncio.Task[str]:
        task = asyncio.create_task(rewrite("two"))
        await begun.wait()
        return task

    held = Held(tap(first.store.store.l2))
    if overlap:
        two = await begin_late()
    one = asyncio.create_task(write("one"))
    await held.reached.wait()
    if not overlap:
        await late.get("warm", consistency="strong")  # it knows of the first step by now
        two = await begin_late()
    commit.set()
    assert await two == "two"
    expected = "gone" if overlap else "two"
    assert await third.get("k", "gone", consistency="strong") == expected
    held.free.set()
    assert await one == "one"
    for cache in (first, late, third):
        assert await cache.get("k", "gone", consistency="strong") == "gone"
    assert await rewrite("three") == "three"
    assert await third.get("k", consistency="strong") == "three"
