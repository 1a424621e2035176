"""Disabled caches: every loader runs, nothing is kept of it, and nothing stale is left."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator

import pytest

from armature_cache import (
    CacheConfig,
    ConfigError,
    InMemoryCache,
    LoadPolicy,
    RedisCache,
    TaggedCache,
    TieredCache,
    TieredCacheConfig,
    cache,
    set_default_cache,
    sync,
)
from armature_cache.testing import RedisServer, disabled
from armature_cache.testing.contract.loading import Count
from tests.contract.faces import Face


def _store(kind: str, url: str, namespace: str) -> TaggedCache:
    if kind == "memory":
        return TaggedCache(InMemoryCache(policy=LoadPolicy(stale_for=60)))
    l2 = RedisCache(CacheConfig.redis(url, namespace=namespace, hints=False))
    return TaggedCache(TieredCache(InMemoryCache(), l2, TieredCacheConfig(background_writes=True)))


@pytest.fixture(params=["memory", "tiers"])
async def core(
    request: pytest.FixtureRequest, valkey: RedisServer, namespace: str
) -> AsyncIterator[TaggedCache]:
    made = _store(request.param, valkey.url, namespace)
    yield made
    await made.aclose()


@pytest.fixture(params=["async", "sync"])
async def face(request: pytest.FixtureRequest, core: TaggedCache) -> AsyncIterator[Face]:
    made = Face(core if request.param == "async" else core.sync())
    yield made
    if not made.awaited:
        await made.close()


async def test_every_loader_runs_and_nothing_is_kept(face: Face):
    load = Count()
    assert await face.get_or_set("k", load, tags="t") == 1
    assert await face.get_or_set("k", load) == 1
    with disabled(face.store):
        assert await face.get("k") is None
        assert await face.get_many(["k"]) == {}
        assert await face.exists("k") is False
        assert await face.get_or_set("k", load) == 2
        assert await face.get_or_set("k", load) == 3
        assert await face.get_or_set("new", load) == 4
        assert await face.get_or_set_many(["k", "l"], lambda keys: dict.fromkeys(keys, 9)) == {
            "k": 9,
            "l": 9,
        }
    assert await face.get_many(["k", "l", "new"]) == {"k": 1}
    assert await face.get_or_set("k", load) == 1


async def test_changes_are_made(face: Face):
    await face.set_many({"set": 1, "deleted": 1})
    await face.set("tagged", 1, tags="t")
    with disabled(face.store):
        await face.set("set", 2)
        assert await face.get("set") is None
        assert await face.delete("deleted") is True
        await face.invalidate_tag("t")
        assert await face.increment("n") == 1
    assert await face.get_many(["set", "deleted", "tagged", "n"]) == {"set": 2, "n": 1}


async def test_wrappers_and_blocks_within_blocks(face: Face):
    await face.set("k", 1)
    part = face.namespace("part")
    await part.set("k", 2)
    with contextlib.suppress(ZeroDivisionError), disabled(face.store):
        with disabled(face.store):
            assert await face.get("k") is None
        assert await face.get("k") is None
        assert await part.get("k") is None
        await face.get_or_set("fails", lambda: 1 / 0)
    assert await face.get("k") == 1
    assert await part.get("k") == 2
    assert face.store._peek("k").value == 1, "a hit takes no detour again"


async def test_a_listener_that_comes_meanwhile_changes_nothing():
    memory = InMemoryCache()
    await memory.set("k", 1)
    heard: list[object] = []
    with disabled(memory):
        leave = memory.subscribe(heard.append)
        assert await memory.get("k") is None
    heard.clear()
    assert await memory.get("k") == 1
    assert len(heard) == 1
    leave()


async def test_what_is_made_of_it_meanwhile_works(core: TaggedCache):
    await core.set("k", 1)
    with disabled(core):
        twin, other = core.sync(), core.with_policy(stale_for=1)
        assert twin.get("k") == 1
        assert await other.get("k") is None
        assert await core.get("k") is None
    assert twin.get("k") == 1
    assert await other.get("k") == 1
    assert await other.get_or_set("new", lambda: 2) == 2
    assert await core.get("new") == 2
    twin.close()


async def test_a_bare_store_with_another_policy_made_meanwhile_works():
    memory = InMemoryCache()
    await memory.set("k", 1)
    with disabled(memory):
        other = memory.with_policy(stale_for=1)
        assert await other.get("k") == 1
    assert await other.get("k") == 1


@pytest.fixture
def defaults() -> Iterator[None]:
    yield
    set_default_cache(None)


async def test_the_default_caches_of_functions(defaults: None):
    calls: list[str] = []

    @cache
    async def waits(number: int) -> int:
        calls.append("async")
        return number

    @cache
    def plain(number: int) -> int:
        calls.append("sync")
        return number

    for _ in range(2):
        assert (await waits(1), plain(1)) == (1, 1)
    assert calls == ["async", "sync"]
    with disabled():
        for _ in range(2):
            assert (await waits(1), plain(1)) == (1, 1)
    assert calls == ["async", "sync"] * 3
    await waits(1)
    assert calls == ["async", "sync"] * 3
    set_default_cache(sync.TaggedCache(sync.InMemoryCache()))
    with disabled():
        assert [plain(2), plain(2)] == [2, 2]
    assert calls[6:] == ["sync", "sync"]


def test_what_is_no_store_is_refused():
    with pytest.raises(ConfigError, match="disabled"), disabled(5):  # type: ignore[arg-type]
        pass
