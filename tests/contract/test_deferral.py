from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import AsyncIterator
from typing import Any

from tests.contract.faces import Face
from tests.contract.stacks import Kit


@contextlib.asynccontextmanager
async def deferred(cache: Face) -> AsyncIterator[None]:
    block: Any = cache.store.deferred_invalidation()
    if cache.awaited:
        async with block:
            yield
    else:
        with block:
            yield


async def test_a_block_sends_what_it_held_back(tagged: Face):
    await tagged.set("a", 1, tags=["t", "u"])
    await tagged.set("b", 1, tags="v")
    async with deferred(tagged):
        await tagged.invalidate_tag("t")
        await tagged.invalidate_tags(["t", "v"])
        assert await tagged.get_many(["a", "b"]) == {"a": 1, "b": 1}
        assert tagged.stats().invalidations == 0
    assert await tagged.get_many(["a", "b"]) == {}
    assert tagged.stats().invalidations == 2


async def test_a_block_that_fails_sends_nothing(tagged: Face):
    await tagged.set("a", 1, tags="t")
    with contextlib.suppress(LookupError):
        async with deferred(tagged):
            await tagged.invalidate_tag("t")
            raise LookupError
    assert await tagged.get("a") == 1
    await tagged.invalidate_tag("t")
    assert await tagged.get("a") is None


async def test_an_inner_block_adds_to_the_outer_one_unless_it_fails(tagged: Face):
    await tagged.set_many({"a": 1, "b": 1}, tags="t")
    await tagged.set("c", 1, tags="u")
    async with deferred(tagged):
        async with deferred(tagged):
            await tagged.invalidate_tag("t")
        with contextlib.suppress(LookupError):
            async with deferred(tagged):
                await tagged.invalidate_tag("u")
                raise LookupError
        assert await tagged.get_many(["a", "b"]) == {"a": 1, "b": 1}
    assert await tagged.get_many(["a", "b", "c"]) == {"c": 1}


async def test_a_delete_is_done_at_once_and_once_more_at_the_end(tagged: Face):
    await tagged.set("a", "old")
    async with deferred(tagged):
        assert await tagged.delete("a") is True
        assert await tagged.get("a") is None
        await tagged.elsewhere(tagged.set("a", "old, read before the commit"))
    assert await tagged.get("a") is None
    with contextlib.suppress(LookupError):
        async with deferred(tagged):
            await tagged.delete_many(["a"])
            await tagged.elsewhere(tagged.set("a", "kept"))
            raise LookupError
    assert await tagged.get("a") == "kept"


async def test_other_caches_are_not_held_back(tagged: Face, kit: Kit):
    other, part = kit.elsewhere(), tagged.namespace("a part")
    for cache in (other, part):
        await cache.set("a", 1, tags="t")
    await tagged.set("a", 1, tags="t")
    async with deferred(tagged):
        for cache in (other, part, tagged):
            await cache.invalidate_tag("t")
        assert [await cache.get("a") for cache in (other, part, tagged)] == [None, None, 1]
    assert await tagged.get("a") is None


async def test_what_outlives_the_block_is_not_held_back(tagged: Face):
    """A task that was begun within a block has its context, and may end later."""
    await tagged.set("a", 1, tags="t")
    async with deferred(tagged):
        within = contextvars.copy_context()

    async def late() -> None:
        await tagged.invalidate_tag("t")

    await asyncio.get_running_loop().create_task(late(), context=within)
    assert await tagged.get("a") is None


async def test_what_outlives_an_inner_block_belongs_to_the_outer_one(tagged: Face):
    await tagged.set("a", 1, tags="t")

    async def late() -> None:
        await tagged.invalidate_tag("t")

    async with deferred(tagged):
        async with deferred(tagged):
            within = contextvars.copy_context()
        await asyncio.get_running_loop().create_task(late(), context=within)
        assert await tagged.get("a") == 1
    assert await tagged.get("a") is None


async def test_what_is_to_be_repeated_is_repeated_after_the_end(tagged: Face, shared: Face):
    await tagged.set("a", 1, tags="t")
    async with deferred(tagged):
        await tagged.invalidate_tag("t", wait=True, again_after=3600)
    assert await tagged.get("a") is None
    await tagged.set("a", 2, tags="t")
    await tagged.close()  # does at once what was to be repeated
    assert await shared.get("a", consistency="strong") is None


async def test_a_block_costs_one_round_trip(tagged: Face, on_redis: Face, kit: Kit):
    await tagged.set("a", 1, tags="t")

    async def block() -> None:
        async with deferred(tagged):
            for number in range(50):
                await tagged.invalidate_tags([f"tag:{number}", "t"])

    assert await kit.fewest("evalsha", block) == 1
    assert await tagged.get("a") is None
