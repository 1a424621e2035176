"""Everything that a cache does to a server, once, so that a missing right shows."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable
from typing import Any

from armature_cache import CacheError
from tests.contract.faces import Face, eventually

KEYS = [f"k{n}" for n in range(12)]


class Use:
    """Goes through all operations of two caches that share a namespace.

    `other` knows of `cache` only through the server. With `strict` the first failure is raised;
    without it all is tried, and what fails is what the server refuses.
    """

    def __init__(self, cache: Face, other: Face, *, strict: bool) -> None:
        self._cache = cache
        self._other = other
        self._strict = strict

    async def _try(self, work: Awaitable[Any], expected: object = ...) -> None:
        if self._strict:
            found = await work
            assert expected is ... or found == expected
            return
        with contextlib.suppress(CacheError):
            await work

    async def everything(self) -> None:
        """All operations."""
        await self._try(self._cache.ping())
        await self._single()
        await self._loads()
        await self._many()
        await self._tags()
        await self._try(self._hints())
        await self._try(self._cold())
        await self._try(self._cache.clear())
        await self._try(self._other.get_many(KEYS, consistency="strong"), {})

    async def _single(self) -> None:
        cache, other = self._cache, self._other
        for key in KEYS[:3]:
            await self._try(cache.set(key, "v", tags=["t"], ttl=60, as_of=None))
            await self._try(other.get(key, consistency="strong"), "v")
            await self._try(cache.exists(key), True)
            await self._try(cache.ttl(key))
            await self._try(cache.expire(key, 30), True)
            await self._try(cache.delete(key), True)
            await self._try(other.get(key, consistency="strong"), None)
            await self._try(other.set(key, "read after the miss", ttl=60))
            await self._try(cache.delete(key), True)
            await self._try(cache.add(key, 1, ttl=60), True)
            await self._try(cache.increment(key), 2)
            await self._try(other.increment(key, 2), 4)
            await self._try(cache.delete(key), True)

    async def _loads(self) -> None:
        """Two caches want the same at the same time: one loads, the other is told."""
        cache, other = self._cache, self._other
        entered = asyncio.Event()
        left = asyncio.Event()

        async def load() -> str:
            return "loaded"

        async def slowly() -> str:
            entered.set()
            await left.wait()
            return "loaded"

        for key in KEYS[:3]:
            await self._try(cache.get_or_set(key, cache.loader(load), tags=["t"], ttl=60))
            await self._try(cache.refresh(key, cache.loader(load), ttl=60))
            await self._try(
                cache.get_or_set(f"s{key}", cache.loader(load), ttl=60, sliding=True), "loaded"
            )
            await self._try(other.ttl(f"s{key}"))
            await self._try(other.get(f"s{key}", consistency="strong"), "loaded")
        if not cache.awaited:
            return
        first = asyncio.ensure_future(cache.store.get_or_set("slow", slowly, ttl=60))
        await entered.wait()
        second = asyncio.ensure_future(other.store.get_or_set("slow", load, ttl=60))
        await asyncio.sleep(0.05)
        left.set()
        await self._try(first, "loaded")
        await self._try(second, "loaded")

    async def _many(self) -> None:
        cache, other = self._cache, self._other
        items = {key: n for n, key in enumerate(KEYS)}
        await self._try(cache.set_many(items, tags=["t", "u"], ttl=60))
        await self._try(other.get_many(KEYS, consistency="strong"), items)
        await self._try(other.exists_many(KEYS))
        await self._try(other.ttl_many(KEYS))
        await self._try(other.scan("k"))
        await self._try(cache.delete_many(KEYS[:2]), 2)

    async def _tags(self) -> None:
        cache, other = self._cache, self._other
        await self._try(cache.get_tags_for_key(KEYS[5]), ["t", "u"])
        await self._try(cache.list_tags())
        await self._try(other.get_keys_by_tag("u", exact=True), sorted(KEYS[2:]))
        await self._try(cache.set(KEYS[3], "another", ttl=60, as_of=None))
        await self._try(other.get_keys_by_tag("u"), sorted({*KEYS[2:]} - {KEYS[3]}))
        part = cache.namespace("part")
        await self._try(part.set("k", 1, ttl=60))
        await self._try(part.clear())
        await self._try(cache.invalidate_tag("t", soft=True))
        await self._try(cache.invalidate_tags(["t", "u"]))
        await self._try(other.get_many(KEYS[4:], consistency="strong"), {})

    async def _hints(self) -> None:
        """An invalidation reaches a cache that does not ask."""
        cache, other = self._cache, self._other

        async def heard() -> bool:
            await cache.set("hinted", "v", tags=["t"], ttl=600, as_of=None)
            await other.get("hinted", consistency="strong")
            await cache.invalidate_tag("t")
            for _ in range(50):
                if await other.get("hinted") is None:
                    return True
                await asyncio.sleep(0.002)
            return not self._strict

        await eventually(heard, "a hint")

    async def _cold(self) -> None:
        """A process that has lost its copy of the clock asks for older tags."""
        cache, other = self._cache, self._other
        core = getattr(other.store, "_core", other.store)
        await cache.invalidate_tags([f"old:{n}" for n in range(20)])
        await cache.set("aged", 1, tags=["aged"], ttl=60)
        await cache.invalidate_tag("newest")
        core.clock.replica.forget()
        await other.get("aged")
        await core.clock.scores(["aged"]) if other.awaited else None
