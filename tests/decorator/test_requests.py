"""Request scopes: where they begin and end, who is in them, and what they hold."""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from armature_cache import ConfigError, open_cache, request_scope
from armature_cache.decorator import FunctionStats, cache, cache_batch, cache_update
from armature_cache.stores.memory import InMemoryCache
from armature_cache.stores.null import NullCache
from armature_cache.stores.redis import RedisCache
from armature_cache.stores.tagged import TaggedCache
from armature_cache.testing import RedisServer
from tests.contract.faces import Face


class Numbers:
    """A function whose every run gives another number."""

    def __init__(self, face: Face, scope: Any = "request", **options: Any) -> None:
        self.face = face
        self.runs = 0

        async def number(a: int = 0) -> int | None:
            self.runs += 1
            return None if a < 0 else self.runs

        self.function = face.made(cache(using=face.store, scope=scope, **options), number)

    async def __call__(self, a: int = 0) -> Any:
        return await self.face.run(self.function(a))


async def test_scopes_within_scopes(face: Face):
    number = Numbers(face)
    with request_scope():
        assert await number() == 1
        async with request_scope():
            assert await number() == await number() == 2
            await face.run(number.function.invalidate())
            assert await number() == 3
        assert await number() == 4, "an invalidation within counts for those around"
        assert await number() == 4


async def test_a_scope_is_one_block():
    scope = request_scope()
    with scope, pytest.raises(ConfigError, match="one block"), scope:
        pass
    with scope:
        pass
    with pytest.raises(ConfigError, match="max_entries"):
        request_scope(max_entries=0)


async def test_the_oldest_are_dropped(face: Face):
    number = Numbers(face)
    with request_scope(max_entries=3) as scope:
        assert [await number(a) for a in range(4)] == [1, 2, 3, 4]
        assert len(scope) == 3
        assert [await number(3), await number(0)] == [4, 5]


async def test_a_task_that_outlives_its_request_is_outside(store: TaggedCache):
    number = Numbers(Face(store))
    gate = asyncio.Event()

    async def late() -> list[int]:
        within = [await number()]
        await gate.wait()
        return [*within, await number(), await number()]

    with request_scope():
        assert await number() == 1
        task = asyncio.create_task(late())
        await asyncio.sleep(0)
    gate.set()
    assert await task == [1, 2, 3]


async def test_what_outlives_an_inner_request_is_in_the_outer_one(store: TaggedCache):
    number = Numbers(Face(store))
    with request_scope():
        assert await number() == 1
        with request_scope():
            assert await number() == 2
            within = contextvars.copy_context()
        task = asyncio.get_running_loop().create_task(number(), context=within)
        assert await task == 1


def test_threads_that_copy_the_context_are_in_it(store: TaggedCache):
    @cache(using=store.sync(), scope="request")
    def number() -> int:
        return threading.get_ident()

    found: list[int] = []
    with request_scope():
        here = number()
        within, without = contextvars.copy_context(), contextvars.Context()
        for context in (within, without):
            thread = threading.Thread(target=context.run, args=(lambda: found.append(number()),))
            thread.start()
            thread.join()
    assert here == threading.get_ident()
    assert found[0] == here
    assert found[1] != here


async def test_results_that_are_not_kept(face: Face):
    for scope in ("request", "both"):
        number = Numbers(face, scope, cache_none=False, key=f"{scope}:{{a}}")
        with request_scope():
            assert [await number(-1), await number(-1)] == [None, None]
            assert await face.run(number.function.refresh(-1)) is None
        assert number.runs == 3
        odd = Numbers(face, scope, unless=lambda found: found % 2 == 1, key=f"odd:{scope}:{{a}}")
        with request_scope():
            assert [await odd(), await odd(), await odd()] == [1, 2, 2]
            assert await face.run(odd.function.refresh()) == 3
            assert await odd() in {2, 4}, "what is in the store, or another run"


async def test_errors_are_not_kept(face: Face):
    outcomes: Iterator[Any] = iter([LookupError("first"), "second"])

    async def read() -> Any:
        outcome = next(outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    made = face.made(cache(using=face.store, scope="request"), read)
    with request_scope():
        with pytest.raises(LookupError, match="first"):
            await face.run(made())
        assert [await face.run(made()), await face.run(made())] == ["second", "second"]
    assert made.stats() == FunctionStats(hits=1, misses=2, errors=1)


@pytest.mark.parametrize("scope", ["request", "both"])
async def test_a_function_that_calls_itself(face: Face, scope: Any):
    depth = 0

    async def twice(a: int) -> int:
        nonlocal depth
        depth += 1
        return 1 if depth > 1 else 1 + await face.run(made(a))

    made = face.made(cache(using=face.store, scope=scope), twice)
    with request_scope():
        assert await face.run(made(1)) == 2
        assert await face.run(made(1)) == 2


async def test_two_functions_that_call_one_another(face: Face):
    calls: list[str] = []

    async def first(a: int) -> int:
        calls.append("first")
        return a if len(calls) > 4 else 1 + await face.run(one_more(a))

    async def second(a: int) -> int:
        calls.append("second")
        return a if len(calls) > 4 else 1 + await face.run(made(a))

    made = face.made(cache(using=face.store, scope="request"), first)
    one_more = face.made(cache(using=face.store, scope="request"), second)
    with request_scope():
        assert await face.run(made(0)) > 0


async def test_a_cancelled_reader_leaves_the_others_waiting(store: TaggedCache):
    gate = asyncio.Event()

    @cache(using=store, scope="request")
    async def read() -> int:
        await gate.wait()
        return 1

    with request_scope():
        first, second = asyncio.create_task(read()), asyncio.create_task(read())
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)
        gate.set()
        assert await second == 1
        third = asyncio.create_task(read())
        assert await third == 1
    assert read.stats().misses == 1


async def test_what_is_read_while_it_is_written_is_not_kept(valkey: RedisServer, namespace: str):
    value = "old"
    async with open_cache(valkey.url, namespace=namespace) as store:

        @cache(using=store, scope="both", key="k")
        async def read() -> str:
            return value

        @cache_update(key=read)
        async def update(new: str) -> str:
            return new

        ways: dict[str, Callable[[str], Any]] = {
            "set": lambda new: store.set("k", new, as_of=None),
            "set_many": lambda new: store.set_many({"k": new}, as_of=None),
            "update": update,
            "delete": lambda _: store.delete("k"),
        }
        with request_scope():
            for new, write in ways.items():
                await read()
                value = new
                task = asyncio.ensure_future(write(new))
                for _ in range(3):  # sent by then, and not answered yet
                    await asyncio.sleep(0)
                    await read()
                await task
                assert await read() == new


async def test_functions_that_share_a_key_keep_their_own_results(face: Face):
    async def one() -> str:
        return "one"

    async def other() -> str:
        return "other"

    made = [
        face.made(cache(using=face.store, scope="request", key="k"), each) for each in (one, other)
    ]
    with request_scope():
        for _ in range(2):
            assert [await face.run(each()) for each in made] == ["one", "other"]
        assert await face.run(made[0].invalidate()) is True
        assert await face.run(made[1].invalidate()) is False, "the key is forgotten for all"


async def test_every_reader_has_his_own_copy_where_the_store_isolates():
    store = InMemoryCache(isolate=True)

    @cache(using=store, scope="both")
    async def rows() -> list[int]:
        return [1]

    with request_scope():
        for _ in range(3):
            found = await rows()
            assert found == [1]
            found.append(2)


async def test_a_store_that_keeps_nothing_and_one_without_tags(face: Face):
    null: Any = TaggedCache(NullCache()) if face.awaited else TaggedCache(NullCache()).sync()
    number = Numbers(Face(null), "both", tags="t:{a}")
    with request_scope():
        assert [await number(1), await number(1), await number(2)] == [1, 1, 2]
        await Face(null).invalidate_tag("t:1")
        assert await number(1) == 3
    assert [await number(1), await number(1)] == [4, 5]


async def test_nothing_is_sent_to_a_store_for_what_only_the_request_holds(face: Face):
    """The server of this store does not exist."""
    from armature_cache import CacheConfig

    core = TaggedCache(RedisCache(CacheConfig.redis("redis://127.0.0.1:1/0", hints=False)))
    number = Numbers(Face(core if face.awaited else core.sync()), tags="t")
    with request_scope():
        assert [await number(), await number()] == [1, 1]
        assert await number.face.run(number.function.invalidate()) is True
        assert await number.face.run(number.function.refresh()) == 2
        assert await number() == 2


async def test_a_batch_is_of_one_request(store: TaggedCache):
    runs: list[list[int]] = []

    @cache_batch(using=store, scope="request")
    async def rows(numbers: list[int]) -> dict[int, int]:
        runs.append(sorted(numbers))
        return {number: len(runs) for number in numbers if number < 100}

    async def request() -> Any:
        async with request_scope():
            found = await asyncio.gather(rows(1), rows(2))
            return found, await rows(1), await rows.many([1, 2, 3, 100]), await rows(3)

    first, second = await asyncio.gather(request(), request())
    assert runs[:2] == [[1, 2], [1, 2]]
    assert {first[0][0], second[0][0]} == {1, 2}, "no request gets what another has read"
    for found, again, several, third in (first, second):
        assert again == found[0]
        assert several == {1: found[0], 2: found[1], 3: third}
    assert await rows(1) == 5


async def test_a_batch_is_read_once_in_a_request(face: Face):
    runs: list[list[int]] = []

    async def read(numbers: list[int]) -> dict[int, int]:
        runs.append(sorted(numbers))
        return {number: len(runs) for number in numbers}

    rows = face.made(cache_batch(using=face.store, scope="both", key="n:{number}"), read)
    with request_scope():
        assert await face.run(rows.many([1, 2])) == {1: 1, 2: 1}
        await face.elsewhere(face.clear())
        assert await face.run(rows.many([3, 2, 1])) == {3: 2, 2: 1, 1: 1}
        assert await face.run(rows(2)) == 1
        assert await face.run(rows.invalidate_many([2])) in {0, 1}
        assert await face.run(rows.many([2, 1])) == {2: 3, 1: 1}
    assert runs == [[1, 2], [3], [2]]


# -- frameworks -------------------------------------------------------------------------------


async def test_an_asgi_middleware(store: TaggedCache):
    number = Numbers(Face(store))

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        await send([await number(), await number()])

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async with request_scope():
            await inner(scope, receive, send)

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    for _ in range(2):
        await app({}, None, send)
    assert sent == [[1, 1], [2, 2]]


def test_a_wsgi_middleware_whose_body_is_sent_piece_by_piece(store: TaggedCache):
    runs: list[int] = []

    @cache(using=store.sync(), scope="request")
    def number() -> bytes:
        runs.append(1)
        return str(len(runs)).encode()

    def inner(environ: Any, start_response: Callable[..., Any]) -> Iterable[bytes]:
        for _ in range(3):
            yield number()

    def app(environ: Any, start_response: Callable[..., Any]) -> Iterable[bytes]:
        with request_scope():
            yield from inner(environ, start_response)

    for _ in range(2):
        list(app({}, lambda *_: None))
    assert len(runs) == 2
    assert number() == b"3"


def test_a_child_goes_on_with_its_request(store: TaggedCache):
    @cache(using=store.sync(), scope="request")
    def here(_: int) -> int:
        return os.getpid()

    with request_scope():
        parent = here(1)
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            os.write(writing, f"{here(1)} {here(2)} {os.getpid()}".encode())
            os._exit(0)
        os.close(writing)
        known, read, own = map(int, os.read(reading, 100).split())
        os.close(reading)
        os.waitpid(child, 0)
    assert (known, read) == (parent, own)
