"""Functions of many keys: kinds of callables, windows, and what is refused."""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses
import inspect
import os
import pickle
import signal
import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from armature_cache import CacheConfig, RedisCache
from armature_cache.decorator import (
    AsyncBatchFunction,
    BatchFunction,
    FunctionStats,
    cache,
    cache_batch,
    cache_update,
)
from armature_cache.decorator.returns import value_type
from armature_cache.errors import CacheKeyError, ConfigError, InvalidTag, NotLoaded
from armature_cache.stores.memory import InMemoryCache
from armature_cache.stores.tagged import TaggedCache
from armature_cache.testing import RedisServer
from tests.contract.faces import DEADLINE, Face

HERE = "tests.decorator.test_batches"
LONG = 60.0


@cache_batch()
def doubled(numbers: list[int]) -> dict[int, int]:
    """Twice as much."""
    return {number: 2 * number for number in numbers}


class Service:
    def __init__(self, tenant: str = "t") -> None:
        self.tenant = tenant
        self.runs: list[list[int]] = []

    def __cache_key__(self) -> str:
        return self.tenant

    @cache_batch(tags="row:{number}")
    async def rows(self, numbers: list[int]) -> dict[int, str]:
        """Rows of a tenant."""
        self.runs.append(sorted(numbers))
        return {number: f"{self.tenant} {number}" for number in numbers}

    @cache_batch()
    @classmethod
    async def above_class(cls, names: list[str]) -> dict[str, str]:
        return {name: f"{cls.__name__} {name}" for name in names}

    @classmethod
    @cache_batch()
    def below_class(cls, names: list[str]) -> dict[str, str]:
        return {name: f"{cls.__name__} {name}" for name in names}

    @cache_batch()
    @staticmethod
    def above_static(names: list[str]) -> dict[str, str]:
        return dict(zip(names, names, strict=True))

    @staticmethod
    @cache_batch()
    async def below_static(names: list[str]) -> dict[str, str]:
        return dict(zip(names, names, strict=True))


async def test_methods_are_gathered_by_what_they_are_called_on():
    red, blue = Service("red"), Service("blue")
    calls = (red.rows(1), blue.rows(1), Service.rows(red, 2), blue.rows(1))
    assert [*await asyncio.gather(*calls)] == ["red 1", "blue 1", "red 2", "blue 1"]
    assert (red.runs, blue.runs) == ([[1, 2]], [[1]])
    assert await red.rows.many([1, 2, 3]) == {1: "red 1", 2: "red 2", 3: "red 3"}
    assert await Service.rows.many(red, [3]) == {3: "red 3"}
    assert red.rows.key_for(1) == f"{HERE}:Service.rows[{HERE}:Service<'red'>](number=1)"
    assert Service.rows.key_for(red, 1) == red.rows.key_for(1)
    assert red.rows.tags_for(1) == ("row:1",)
    assert await red.rows.invalidate(1) is True
    assert await Service.rows.invalidate_many(blue, [1, 2]) == 1
    assert await red.rows.refresh(2) == "red 2"


async def test_classmethods_and_staticmethods():
    for target in (Service, Service()):
        assert await target.above_class("a") == "Service a"
        assert await target.above_class.many(["a", "b"]) == {"a": "Service a", "b": "Service b"}
        assert target.below_class("a") == "Service a"
        assert target.above_static("a") == "a"
        assert target.above_static.many("ab") == {"a": "a", "b": "b"}
        assert await target.below_static("a") == "a"
    assert Service.below_class.invalidate("a") is True
    assert Service.below_class.many(["a"]) == {"a": "Service a"}
    function: Any = vars(Service)["below_class"].__func__
    assert function.many(["a"]) == {"a": "Service a"}, "as asked from Python 3.13 on"
    assert function.invalidate_many(["a"]) == 1


def test_others_see_a_function_of_one_key():
    functions: tuple[Any, ...] = (Service.rows, Service().rows)
    assert isinstance(doubled, BatchFunction)
    for function in functions:
        assert isinstance(function, AsyncBatchFunction)
    assert (doubled.__name__, doubled.__doc__) == ("doubled", "Twice as much.")
    assert str(inspect.signature(doubled)) == "(number, /)"
    assert str(inspect.signature(Service().rows)) == "(number, /)"
    assert inspect.iscoroutinefunction(Service().rows)
    assert not inspect.iscoroutinefunction(doubled)
    assert doubled.key_for(1) == f"{HERE}:doubled(number=1)"
    assert pickle.loads(pickle.dumps(doubled)) is doubled  # noqa: S301
    assert "doubled" in repr(doubled)


def test_keys_are_typed_and_named_like_the_parameter():
    @cache_batch(key="user:{user_id}", tags=["users", "user:{}"])
    def users(user_ids: Iterable[int]) -> Mapping[int, int]:
        return {user_id: user_id for user_id in user_ids}

    @cache_batch(key="{batch}")
    def plain(batch: list[int]) -> dict[int, int]:
        return {each: each for each in batch}

    assert users.key_for(1) == "user:1"
    assert users.tags_for(1) == ("users", "user:1")
    assert plain.key_for(7) == "7"
    assert doubled.key_for(1) != doubled.key_for("1")  # type: ignore[arg-type]


def test_keys_that_are_objects(store: TaggedCache):
    @dataclasses.dataclass(frozen=True)
    class Point:
        x: int
        y: int

    @cache_batch(using=store.sync(), key="point:{point.x}:{point.y}")
    def heights(points: list[Point]) -> dict[Point, int]:
        return {point: point.x + point.y for point in points}

    assert heights(Point(1, 2)) == 3
    assert heights.many([Point(1, 2), Point(2, 2)]) == {Point(1, 2): 3, Point(2, 2): 4}


def test_the_type_of_the_values():
    def errors(ids: list[int]) -> dict[int, str | Exception | LookupError]: ...  # type: ignore[empty-body]

    def unknown(ids: list[int]) -> dict[int, Any]: ...  # type: ignore[empty-body]

    def pair(ids: list[int]) -> Mapping[str, list[int]]: ...  # type: ignore[empty-body]

    def bare(ids: list[int]) -> dict: ...  # type: ignore[empty-body,type-arg]

    def wrong(ids: list[int]) -> list[int]: ...  # type: ignore[empty-body]

    def failing(ids: list[int]) -> dict[int, LookupError]: ...  # type: ignore[empty-body]

    from armature_cache._missing import UNSET

    assert value_type(errors, UNSET) is str
    assert value_type(errors, None) == str | None
    assert value_type(pair, UNSET) == list[int]
    for function in (unknown, bare, wrong, failing):
        assert value_type(function, UNSET) is None


async def test_values_are_restored_as_their_annotation_says(valkey: RedisServer, namespace: str):
    async with TaggedCache(
        RedisCache(CacheConfig.redis(valkey.url, namespace=namespace, hints=False))
    ) as store:

        @cache_batch(using=store, absent=None)
        async def points(ids: list[int]) -> dict[int, Shape | Exception]:
            return {each: Shape(each) for each in ids if each < 100}

        for _ in range(2):
            assert [*await asyncio.gather(points(1), points(200))] == [Shape(1), None]
        assert points.stats() == FunctionStats(hits=2, misses=2, errors=0)


@dataclasses.dataclass
class Shape:
    corners: int


# -- windows ----------------------------------------------------------------------------------


async def test_counts(store: TaggedCache):
    @cache_batch(using=store)
    async def rows(numbers: list[int]) -> dict[int, int]:
        if 13 in numbers:
            raise LookupError
        return {number: number for number in numbers}

    await asyncio.gather(rows(1), rows(2), rows(1))
    await asyncio.gather(rows(1), rows(3))
    await rows.many([1, 2, 4])
    assert rows.stats() == FunctionStats(hits=3, misses=4, errors=0)
    with pytest.raises(LookupError):
        await rows(13)
    assert rows.stats() == FunctionStats(hits=3, misses=5, errors=1)


async def test_a_window_of_an_event_loop_waits_no_longer_than_it_is_told(store: TaggedCache):
    runs: list[list[int]] = []

    @cache_batch(using=store, window=LONG, max_size=2)
    async def rows(numbers: list[int]) -> dict[int, int]:
        runs.append(sorted(numbers))
        return {number: number for number in numbers}

    first = asyncio.create_task(rows(1))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not first.done()
    assert await rows(2) == 2
    assert await first == 1

    @cache_batch(using=store, window=0.01)
    async def soon(numbers: list[int]) -> dict[int, int]:
        runs.append(sorted(numbers))
        return {number: number for number in numbers}

    late = asyncio.create_task(soon(1))
    await asyncio.sleep(0)
    assert [*await asyncio.gather(soon(2), late)] == [2, 1]
    assert runs == [[1, 2], [1, 2]]


def test_threads_that_wait_are_one_run(store: TaggedCache):
    runs: list[list[int]] = []

    @cache_batch(using=store.sync(), window=LONG, max_size=8)
    def rows(numbers: list[int]) -> dict[int, int]:
        runs.append(sorted(numbers))
        return {number: number for number in numbers}

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(rows, range(8))) == [*range(8)]
    assert runs == [[*range(8)]]
    assert rows.stats() == FunctionStats(hits=0, misses=8, errors=0)


def test_a_lone_thread_does_not_wait_for_long(store: TaggedCache):
    @cache_batch(using=store.sync())
    def rows(numbers: list[int]) -> dict[int, int]:
        return {number: number for number in numbers}

    assert [rows(number) for number in (1, 2, 1)] == [1, 2, 1]
    assert rows.func.batching._options.window == 0.002


async def test_callers_that_leave(store: TaggedCache):
    gate, runs = asyncio.Event(), []

    @cache_batch(using=store)
    async def rows(numbers: list[int]) -> dict[int, int]:
        runs.append(sorted(numbers))
        await gate.wait()
        return {number: number for number in numbers}

    first, second = asyncio.create_task(rows(1)), asyncio.create_task(rows(2))
    for _ in range(9):
        await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    gate.set()
    assert await second == 2
    assert runs == [[1, 2]]

    gate.clear()
    early = asyncio.create_task(rows(3))
    await asyncio.sleep(0)
    early.cancel()  # before its window is over
    with pytest.raises(asyncio.CancelledError):
        await early
    gate.set()
    assert await rows(3) == 3


async def test_a_function_that_asks_for_its_own_keys(face: Face):
    async def read(numbers: list[int]) -> dict[int, int]:
        return {
            number: 0 if not number else 1 + await face.run(depth(number - 1))
            for number in numbers
        }  # fmt: skip

    depth = face.made(cache_batch(using=face.store), read)
    assert await face.run(depth(5)) == 5
    assert await face.run(depth.many([7])) == {7: 7}


async def test_a_load_that_waits_for_a_batch_that_waits_for_it(store: TaggedCache):
    """Found although the batch was begun by somebody else."""
    deep = 0

    @cache(using=store)
    async def one(number: int) -> int:
        nonlocal deep
        deep += 1
        return 0 if deep > 1 else 1 + await rows(number)

    @cache_batch(using=store)
    async def rows(numbers: list[int]) -> dict[int, int]:
        return {number: 10 + await one(7) for number in numbers}

    async with asyncio.timeout(DEADLINE):
        loads = asyncio.create_task(one(7), context=contextvars.Context())
        other = asyncio.create_task(rows(8), context=contextvars.Context())
        assert await other == 10
        assert await loads == 11


async def test_a_bad_key_is_the_affair_of_its_caller(store: TaggedCache):
    @cache_batch(using=store, tags="{name}")
    async def rows(names: list[str]) -> dict[str, str]:
        return {name: name for name in names}

    outcomes: Any = await asyncio.gather(
        rows("a"),
        rows(""),
        rows(object()),  # type: ignore[arg-type]
        rows(["no", "hash"]),  # type: ignore[arg-type]
        return_exceptions=True,
    )
    assert outcomes[0] == "a"
    assert isinstance(outcomes[1], InvalidTag)
    assert isinstance(outcomes[2], CacheKeyError)
    assert isinstance(outcomes[3], CacheKeyError)
    assert "it has no hash" in str(outcomes[3])


@pytest.mark.slow
def test_a_child_has_windows_of_its_own(store: TaggedCache):
    @cache_batch(using=store.sync(), window=0.3)
    def rows(numbers: list[int]) -> dict[int, int]:
        return {number: number for number in numbers}

    thread = threading.Thread(target=rows, args=(1,))
    thread.start()
    inside: Any = rows
    while not inside.func.batching._open:
        pass
    child = os.fork()
    if not child:
        signal.alarm(int(DEADLINE))
        os._exit(rows(2))
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2


# -- what is refused --------------------------------------------------------------------------


async def test_what_the_function_must_not_return(face: Face):
    answers: list[Any] = [[1], None, {1: 1, 7: 7}, {8: 1}]

    async def read(numbers: list[int]) -> Any:
        return answers[0]

    rows = face.made(cache_batch(using=face.store), read)
    for message in ("a mapping of keys", "a mapping of keys", "not asked for", "not asked for"):
        for call in (rows, rows.refresh, lambda number: rows.many([number])):
            with pytest.raises(ConfigError, match=message):
                await face.run(call(1))
        answers.pop(0)


async def test_refresh_of_what_has_no_value(face: Face):
    async def read(numbers: list[int]) -> dict[int, Any]:
        return {number: LookupError("bad") for number in numbers if number < 100}

    rows = face.made(cache_batch(using=face.store), read)
    with pytest.raises(LookupError, match="bad"):
        await face.run(rows.refresh(1))
    with pytest.raises(NotLoaded, match="absent=None"):
        await face.run(rows.refresh(200))
    rows = face.made(cache_batch(using=face.store, absent=0, key="k:{}"), read)
    assert await face.run(rows.refresh(200)) == await face.run(rows(200)) == 0


def test_what_cannot_be_batched():
    def nothing() -> dict[int, int]: ...  # type: ignore[empty-body]

    def two(ids: list[int], lang: str) -> dict[int, int]: ...  # type: ignore[empty-body]

    def stars(*ids: int) -> dict[int, int]: ...  # type: ignore[empty-body]

    def named(*, ids: list[int]) -> dict[int, int]: ...  # type: ignore[empty-body]

    def generator(ids: list[int]) -> Any:
        yield ids

    function: Any
    for function in (nothing, two, stars, named):
        with pytest.raises(ConfigError, match="one parameter, the list of keys"):
            cache_batch()(function)
    for function, message in (
        (doubled, "cached already"),
        (generator, "return a list"),
        (3, "decorate a function"),
    ):
        with pytest.raises(ConfigError, match=message):
            cache_batch()(function)
    for options, field in (
        ({"window": 0}, "window"),
        ({"max_size": 0}, "max_size"),
        ({"scope": "request", "ttl": 3}, "ttl"),
        ({"key": "{ids}"}, "key"),
        ({"using": TaggedCache(InMemoryCache())}, "using"),
    ):
        with pytest.raises(ConfigError) as caught:

            @cache_batch(**options)
            def function_of(ids: list[int]) -> dict[int, int]: ...  # type: ignore[empty-body]

        assert caught.value.field == field


def test_an_update_by_a_batch_needs_its_parameter():
    with pytest.raises(ConfigError, match="no parameter number"):

        @cache_update(key=doubled)
        def write(other: int) -> int:
            return other
