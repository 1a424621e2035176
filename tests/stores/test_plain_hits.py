"""`get` is written out where nothing stands in its way; whoever holds it gets what others get."""

from __future__ import annotations

import copy
import inspect
from typing import Any

import pytest

from armature_cache import InMemoryCache, TaggedCache, TieredCache, events, sync
from armature_cache.errors import CacheKeyError


async def test_a_get_that_was_taken_out_follows_a_new_tier() -> None:
    near, far = InMemoryCache(), InMemoryCache()
    await near.set("k", "before", ttl=60)
    get = near.get
    assert await get("k") == "before"
    tiered = TaggedCache(TieredCache(near, far))
    assert await get("k") is None
    await tiered.set("k", "after", tags=["t"], ttl=60)
    assert await get("k") == "after"
    await TaggedCache(far).invalidate_tag("t")
    assert await get("k") is None


async def test_a_get_that_was_taken_out_tells_who_listens() -> None:
    cache = InMemoryCache()
    await cache.set("k", 1)
    get, get_now = cache.get, cache.sync().get
    heard: list[events.Event] = []
    end = cache.subscribe(heard.append)
    assert (await get("k"), get_now("k")) == (1, 1)
    assert heard == [events.Hit("k", "memory")] * 2
    end()
    assert (await get("k"), get_now("k")) == (1, 1)
    assert len(heard) == 2


async def test_a_subclass_has_a_get_of_its_own() -> None:
    class Loud(InMemoryCache):
        async def get(self, key: str, default: object = None, **options: Any) -> Any:
            return str(await super().get(key, default, **options)).upper()

    class LoudNow(sync.InMemoryCache):
        def get(self, key: str, default: object = None, **options: Any) -> Any:
            return str(super().get(key, default, **options)).upper()

    loud, loud_now = Loud(), LoudNow()
    await loud.set("k", "word")
    loud_now.set("k", "word")
    assert (await loud.get("k"), loud_now.get("k")) == ("WORD", "WORD")


async def test_a_store_with_a_policy_of_its_own_reads_alike() -> None:
    cache = TaggedCache(InMemoryCache())
    await cache.set("k", 1, tags=["t"])
    twin = cache.with_policy(jitter=0.1)
    twin_now = cache.sync().with_policy(jitter=0.1)
    assert (await twin.get("k"), twin_now.get("k")) == (1, 1)
    await cache.invalidate_tag("t")
    assert (await twin.get("k"), twin_now.get("k")) == (None, None)


async def test_a_copy_reads_what_the_store_reads() -> None:
    cache = InMemoryCache()
    await cache.set("k", 1)
    assert await copy.copy(cache).get("k") == 1


@pytest.mark.parametrize("key", [[], {}, 1, None, "", "a\0b"])
async def test_bad_keys_are_told(key: Any) -> None:
    cache = InMemoryCache()
    with pytest.raises(CacheKeyError):
        await cache.get(key)
    with pytest.raises(CacheKeyError):
        cache.sync().get(key)


def test_it_looks_like_the_method() -> None:
    cache = InMemoryCache()
    assert cache.get.__name__ == "get"
    assert cache.get.__doc__ == InMemoryCache.get.__doc__
    assert cache.get.__qualname__ == InMemoryCache.get.__qualname__
    names = ["key", "default", "type", "consistency"]
    assert list(inspect.signature(cache.get).parameters) == names
    assert list(inspect.signature(cache.sync().get).parameters) == names
    assert inspect.iscoroutinefunction(cache.get)
