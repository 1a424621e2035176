"""Requests: what one has read it reads again, until it ends or invalidates that itself."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from armature_cache import request_scope
from armature_cache.decorator import cache, cache_invalidate, cache_update
from tests.contract.faces import Face, drive
from tests.contract.stacks import Kit

SCOPES = ["request", "both"]
each_scope = pytest.mark.parametrize("scope", SCOPES)


class Reader:
    """A function that reads a row, and one that reads another; every row is a new one."""

    def __init__(self, face: Face, scope: str) -> None:
        self.runs: list[int] = []
        self.face = face
        tagged = face.store.supports_tags
        tags: dict[str, Any] = {"tags": ["rows", "row:{number}"]} if tagged else {}

        async def read(number: int) -> str:
            self.runs.append(number)
            return f"{number} at {len(self.runs)}"

        options: dict[str, Any] = {"scope": scope, "key": "row:{number}", **tags}
        self.function = face.made(cache(using=face.store, **options), read)

    async def __call__(self, number: int) -> Any:
        return await self.face.run(self.function(number))


async def side_by_side(face: Face, works: Sequence[Callable[[], Awaitable[Any]]]) -> list[Any]:
    """All at the same time in this context: tasks, or threads that copy it."""
    if face.awaited:
        return list(await asyncio.gather(*(work() for work in works)))
    contexts = [contextvars.copy_context() for _ in works]

    def run(place: int) -> Any:
        return contexts[place].run(drive, works[place]())

    with ThreadPoolExecutor(len(works)) as pool:
        return list(await asyncio.to_thread(lambda: list(pool.map(run, range(len(works))))))


@each_scope
async def test_reads_are_repeatable(cache: Face, scope: str):
    read = Reader(cache, scope)
    with request_scope():
        assert [await read(1), await read(2), await read(1)] == ["1 at 1", "2 at 2", "1 at 1"]
        await cache.elsewhere(cache.clear())
        assert [await read(1), await read(2)] == ["1 at 1", "2 at 2"]
        assert read.function.stats().hits == 3
    assert await read(1) == "1 at 3"


async def test_a_request_is_over_when_its_block_is(cache: Face):
    read = Reader(cache, "request")
    assert [await read(1), await read(1)] == ["1 at 1", "1 at 2"]
    for turn in (3, 4):
        with request_scope() as scope:
            assert [await read(1), await read(1)] == [f"1 at {turn}", f"1 at {turn}"]
            assert len(scope) == 1
        assert len(scope) == 0
    assert await cache.get("row:1") is None, "nothing is stored"


@each_scope
async def test_one_run_for_all_of_a_request(cache: Face, scope: str):
    read = Reader(cache, scope)
    with request_scope():
        found = await side_by_side(cache, [lambda: read(1)] * 8)
    assert found == ["1 at 1"] * 8
    assert read.runs == [1]
    assert read.function.stats().hits == 7


@each_scope
async def test_requests_do_not_see_one_another(cache: Face, scope: str):
    read = Reader(cache, scope)

    async def request() -> list[Any]:
        with request_scope():
            return [await read(1), await read(1)]

    found = await cache.together([request, request])
    assert all(first == second for first, second in found)
    assert (found[0] == found[1]) is (scope == "both")


@each_scope
async def test_what_the_request_writes_it_reads_anew(cache: Face, scope: str):
    read = Reader(cache, scope)
    changes: tuple[Callable[[], Awaitable[Any]], ...] = (
        lambda: cache.delete("row:1"),
        lambda: cache.delete_many(["row:1"]),
        lambda: cache.run(read.function.invalidate(1)),
    )
    with request_scope():
        for turn, change in enumerate(changes, 2):
            assert await read(2) == await read(2)
            before = await read(1)
            await change()
            after = await read(1)
            assert before != after == await read(1)
            assert len(read.runs) == turn + 1
        await cache.clear()
        assert (await read(2)).startswith("2 at 6")


async def test_what_the_request_stores_it_reads(cache: Face):
    read = Reader(cache, "both")
    with request_scope():
        await read(1)
        await cache.set("row:1", "set", as_of=None)
        assert await read(1) == await read(1) == "set"
        await cache.set_many({"row:1": "set again"}, as_of=None)
        assert await read(1) == "set again"
        await cache.delete("row:1")
        assert await cache.add("row:1", "added") is True
        assert await read(1) == "added"


@each_scope
async def test_refresh_is_read_from_then_on(cache: Face, scope: str):
    read = Reader(cache, scope)
    with request_scope():
        assert await read(1) == "1 at 1"
        assert await cache.run(read.function.refresh(1)) == "1 at 2"
        assert await read(1) == "1 at 2"


@each_scope
async def test_tags_that_the_request_invalidates(tagged: Face, scope: str):
    read = Reader(tagged, scope)
    with request_scope():
        await read(1)
        await tagged.invalidate_tag("row:1")
        assert await read(1) == "1 at 2"
        await tagged.invalidate_tags(["row:1", "nothing"], soft=True)
        assert await read(1) == "1 at 3"
        await tagged.elsewhere(tagged.invalidate_tag("row:1"))
        assert await read(1) == "1 at 3"


async def test_tags_of_others_leave_a_request_alone(tagged: Face):
    read = Reader(tagged, "request")
    with request_scope():
        await read(1)
        await tagged.invalidate_tag("row:2")
        assert await read(1) == "1 at 1"
        await tagged.namespace("a part").invalidate_tag("row:1")
        assert await read(1) == "1 at 1"
        await tagged.invalidate_tag("rows")
        assert await read(1) == "1 at 2"


@each_scope
async def test_writing_functions_of_the_request(tagged: Face, scope: str):
    read = Reader(tagged, scope)

    async def change(number: int) -> str:
        return f"{number} changed"

    drop = tagged.made(cache_invalidate(keys=read.function, using=tagged.store), change)
    untag = tagged.made(cache_invalidate(tags="row:{number}", using=tagged.store), change)
    with request_scope():
        await read(1)
        await tagged.run(drop(1))
        assert await read(1) == "1 at 2"
        await tagged.run(untag(1))
        assert await read(1) == "1 at 3"
        if scope == "both":
            await tagged.run(tagged.made(cache_update(key=read.function), change)(1))
            assert await read(1) == "1 changed"


@each_scope
async def test_an_invalidation_that_waits_for_a_block(tagged: Face, scope: str):
    read = Reader(tagged, scope)

    async def block() -> None:
        await tagged.invalidate_tag("row:1")
        assert await read(1) == "1 at 1"

    with request_scope():
        await read(1)
        deferred = tagged.store.deferred_invalidation()
        if tagged.awaited:
            async with deferred:
                await block()
        else:
            with deferred:
                await block()
        assert await read(1) == "1 at 2"


@each_scope
async def test_a_block_forgets_what_was_read_within_it(tagged: Face, scope: str):
    """What a request reads before the commit is the old row, whatever it has forgotten by then."""
    rows = {1: "old"}

    async def read(number: int) -> str:
        return rows[number]

    async def change(number: int) -> None: ...

    options: dict[str, Any] = {"scope": scope, "key": "row:{number}", "using": tagged.store}
    function = tagged.made(cache(**options), read)
    write = tagged.made(cache_invalidate(keys=function, using=tagged.store), change)

    async def block(how: str) -> None:
        if how == "decorated":
            await tagged.run(write(1))
        else:
            await tagged.run(function.invalidate(1))
        assert await tagged.run(function(1)) == rows[1]

    with request_scope():
        for how in ("decorated", "by hand"):
            assert await tagged.run(function(1)) == rows[1]
            deferred = tagged.store.deferred_invalidation()
            if tagged.awaited:
                async with deferred:
                    await block(how)
                    rows[1] = f"new, {how}"
            else:
                with deferred:
                    await block(how)
                    rows[1] = f"new, {how}"
            assert await tagged.run(function(1)) == rows[1]


async def test_a_read_under_way_is_not_kept_if_it_is_invalidated(cache: Face):
    began, gate = cache.gate(), cache.gate()
    rows = {1: "old"}

    async def read(number: int) -> str:
        row = rows[number]
        if row == "old":
            began.open()
            await gate.passed()
        return row

    function = cache.made(_scoped(cache), read)

    async def first() -> object:
        return await cache.run(function(1))

    async def second() -> object:
        await began.passed()
        rows[1] = "new"
        await cache.delete("k:1")
        found = await cache.run(function(1))
        gate.open()
        return found

    with request_scope():
        assert await side_by_side(cache, [first, second]) == ["old", "new"]
        assert await cache.run(function(1)) == "new"


def _scoped(face: Face) -> Any:
    return cache(using=face.store, scope="both", key="k:{number}", lock_timeout=0)


async def test_strong_reads_are_repeatable(shared: Face, kit: Kit):
    far = kit.open(far=True)
    await far.set("row:1", "first", as_of=None)
    read: Any = shared.made(
        cache(using=shared.store, scope="both", key="row:{number}", consistency="strong"), _nothing
    )
    with request_scope():
        assert await shared.run(read(1)) == "first"
        await far.set("row:1", "second", as_of=None)
        assert await shared.run(read(1)) == "first"
    assert await shared.run(read(1)) == "second"


async def test_a_strong_function_reads_no_stale_copy(shared: Face, kit: Kit):
    far = kit.open(far=True)
    strong: Any = shared.made(
        cache(using=shared.store, key="row:{number}", consistency="strong"), _nothing
    )
    for turn in range(5):
        await far.set("row:1", turn, as_of=None)
        assert await shared.run(strong(1)) == turn


async def _nothing(number: int) -> Any:
    raise AssertionError(number)
