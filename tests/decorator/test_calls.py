"""What a decorated call does, over both faces."""

from __future__ import annotations

import functools
import inspect
from typing import Any

import pytest

from armature_cache import sync
from armature_cache.decorator import FunctionStats, cache, cached
from armature_cache.errors import CacheKeyError, InvalidTTL, TagsNotSupported
from armature_cache.stores.memory import InMemoryCache
from armature_cache.stores.tagged import TaggedCache


@pytest.fixture
def store():
    return TaggedCache(InMemoryCache())


@pytest.fixture(params=["sync", "async"])
def face(request, store):
    return Face(request.param, store)


def note(ran, what: Any = 1) -> Any:
    ran.append(what)


class Face:
    """Decorates a plain function over one face and calls what comes of it."""

    def __init__(self, name, store):
        self.name = name
        self.core = store
        self.store = store if name == "async" else store.sync()

    def cached(self, function, **options):
        if self.name == "sync":
            return cache(using=self.store, **options)(function)

        @functools.wraps(function)
        async def awaited(*args, **kwargs):
            return function(*args, **kwargs)

        return cache(using=self.store, **options)(awaited)

    async def run(self, result):
        return await result if inspect.isawaitable(result) else result


async def test_a_result_is_computed_once(face):
    ran: list[Any] = []
    double = face.cached(lambda x: note(ran, x) or 2 * x)
    assert [await face.run(double(x)) for x in (1, 1, 2, 1)] == [2, 2, 4, 2]
    assert ran == [1, 2]
    assert double.stats() == FunctionStats(hits=2, misses=2, errors=0)


async def test_spellings_of_one_call_share_an_entry(face):
    ran: list[Any] = []

    def pair(a, b=2, *, c=3):
        ran.append(1)
        return a, b, c

    decorated = face.cached(pair)
    await face.run(decorated(1))
    await face.run(decorated(1, 2))
    await face.run(decorated(a=1, b=2, c=3))
    assert ran == [1]


async def test_arguments_of_other_types_do_not(face):
    kind = face.cached(lambda x: type(x).__name__)
    for x in (1, True, 1.0, "1", b"1", None, "", 0, False, 0.0):
        for _ in range(2):
            assert await face.run(kind(x)) == type(x).__name__


async def test_none_is_a_value(face):
    ran: list[Any] = []
    nothing = face.cached(lambda: note(ran))
    assert await face.run(nothing()) is await face.run(nothing()) is None
    assert ran == [1]


async def test_none_is_not_stored_when_told_so(face):
    ran: list[Any] = []
    nothing = face.cached(lambda: note(ran), cache_none=False)
    assert await face.run(nothing()) is await face.run(nothing()) is None
    assert ran == [1, 1]
    assert nothing.stats() == FunctionStats(0, 2, 0)


async def test_an_exception_is_never_cached(face):
    outcomes = iter([ValueError("first"), "second"])

    def flaky():
        outcome = next(outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    decorated = face.cached(flaky)
    with pytest.raises(ValueError, match="first"):
        await face.run(decorated())
    assert await face.run(decorated()) == "second"
    assert decorated.stats() == FunctionStats(hits=0, misses=2, errors=1)


async def test_invalidate_deletes_exactly_one_call(face):
    ran: list[Any] = []
    decorated = face.cached(lambda x: note(ran, x))
    for x in (1, 2):
        await face.run(decorated(x))
    assert await face.run(decorated.invalidate(1)) is True
    assert await face.run(decorated.invalidate(1)) is False
    assert await face.run(decorated.invalidate(x=2)) is True
    await face.run(decorated(1))
    assert ran == [1, 2, 1]


async def test_refresh_runs_whatever_is_cached(face):
    numbers = iter(range(9))
    decorated = face.cached(lambda: abs(next(numbers)))
    assert await face.run(decorated()) == 0
    assert await face.run(decorated.refresh()) == 1
    assert await face.run(decorated()) == 1
    assert decorated.stats() == FunctionStats(hits=1, misses=2, errors=0)


async def test_keys_and_tags_of_a_call(face):
    def profile(user_id, lang="en"):
        return user_id, lang

    decorated = face.cached(
        profile, key="user:{user_id}:{lang}", tag="users", tags=["user:{user_id}", "users"]
    )
    assert decorated.key_for(7) == "user:7:en"
    assert decorated.tags_for(lang="de", user_id=7) == ("users", "user:7")
    await face.run(decorated(7))
    assert await face.core.get("user:7:en") == (7, "en")
    assert await face.core.get_tags_for_key("user:7:en") == ["user:7", "users"]


async def test_a_tag_invalidates_decorated_calls(face):
    ran: list[Any] = []
    decorated = face.cached(lambda x: note(ran, x), tags="t:{x}")
    for x in (1, 2):
        await face.run(decorated(x))
    await face.run(face.store.invalidate_tag("t:1"))
    for x in (1, 2):
        await face.run(decorated(x))
    assert ran == [1, 2, 1]


async def test_a_ttl_is_kept(face):
    decorated = face.cached(lambda: 1, ttl=60)
    await face.run(decorated())
    assert 59 < await face.core.ttl(decorated.key_for()) <= 60


async def test_an_argument_that_makes_no_key(face):
    decorated = face.cached(lambda session: session)
    for _ in range(2):
        with pytest.raises(CacheKeyError, match=r'ignore=\("session",\)'):
            await face.run(decorated(object()))
    ignoring = face.cached(lambda session: len([session]), ignore="session")
    assert await face.run(ignoring(object())) == await face.run(ignoring(object())) == 1
    assert ignoring.stats().hits == 1


async def test_wrong_arguments_raise_the_type_error_of_the_call(face):
    decorated = face.cached(lambda a: a)
    for args in ((), (1, 2)):
        with pytest.raises(TypeError, match="argument"):
            await face.run(decorated(*args))


async def test_tags_over_a_store_without_tags():
    @cache(using=InMemoryCache(), tags="t")
    async def tagged():
        return 1

    with pytest.raises(TagsNotSupported):
        await tagged()


async def test_both_faces_see_the_same_entries(store):
    @cache(using=store, key="k:{x}")
    async def one(x):
        return x

    @cache(using=store.sync(), key="k:{x}")
    def other(x):
        raise AssertionError

    assert await one(1) == other(1) == 1
    assert other.invalidate(1)
    assert not await one.invalidate(1)


def test_cached_is_cache_with_a_store(store):
    @cached(store.sync(), key="k")
    def one():
        return 1

    @store.sync().cached(key="k")
    def other():
        raise AssertionError

    assert one() == other() == 1


def test_a_lifetime_is_checked_when_decorating():
    ttl: Any
    for ttl in (0, -1, float("nan"), "60"):
        with pytest.raises(InvalidTTL):
            cache(ttl=ttl)


def test_the_sync_classes_serve_too():
    @cache(using=sync.TaggedCache(sync.InMemoryCache()), tags="t")
    def one():
        return 1

    assert one() == one() == 1
