"""Readers and writers that go on while servers fail, and what they may never see."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import threading
import time
from collections.abc import AsyncIterator, Sequence

from armature_cache import CacheError
from tests.contract.faces import Face, drive, eventually

BOUND = 0.1
KEYS = [f"row:{number}" for number in range(24)]


class Traffic:
    """A table of versions, read through several caches while a writer raises and invalidates them.

    A read that began later than the bound after an invalidation was acknowledged may not return an
    older version: `stale` lists those that did. Failed calls are expected while servers fail.
    """

    def __init__(self, caches: Sequence[Face]) -> None:
        self.caches = caches
        self.table = dict.fromkeys(KEYS, 1)
        self.stale: list[str] = []
        self.reads = self.loads = self.writes = self.failed_writes = 0
        self._known: dict[str, list[tuple[float, int]]] = {key: [] for key in KEYS}
        self._over = threading.Event()

    def _least(self, key: str) -> int:
        """The version that a read of now may not fall below."""
        now = time.monotonic()
        return max((version for at, version in self._known[key] if at + BOUND < now), default=0)

    async def read(self, cache: Face, key: str) -> None:
        async def load() -> int:
            self.loads += 1
            return self.table[key]

        least = self._least(key)
        found = await cache.get_or_set(key, cache.loader(load), tags=[key], ttl=60)
        self.reads += 1
        if found < least:
            self.stale.append(f"{cache} gave {key} version {found} after {least}")

    async def write(self, cache: Face, key: str) -> None:
        version = self.table[key] = self.table[key] + 1
        try:
            await cache.invalidate_tag(key)
        except CacheError:
            self.failed_writes += 1
            return
        self.writes += 1
        self._known[key].append((time.monotonic(), version))

    async def _go_on(self, cache: Face, pause: float, *, writes: bool) -> None:
        while not self._over.is_set():
            for key in KEYS:
                await self.read(cache, key)
                if writes:
                    await self.write(cache, key)
                if cache.awaited:
                    await asyncio.sleep(pause)
                elif self._over.wait(pause):
                    return

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Traffic through all caches; the first one writes, too."""
        works: list[asyncio.Future[None]] = []
        for number, cache in enumerate(self.caches):
            work = self._go_on(cache, 0.004, writes=number == 0)
            if cache.awaited:
                works.append(asyncio.ensure_future(work))
            else:
                context = contextvars.copy_context()
                works.append(asyncio.ensure_future(asyncio.to_thread(context.run, drive, work)))
        try:
            await asyncio.sleep(0.2)
            yield
        finally:
            self._over.set()
            await asyncio.gather(*works)
            assert not self.stale

    async def flows(self) -> None:
        """Wait until an invalidation is acknowledged, and each cache holds each key again."""
        done = self.writes

        async def written() -> bool:
            return self.writes > done

        await eventually(written, "a write that is acknowledged")

    async def settled(self) -> None:
        """After the end: nothing is owed, and everything is cacheable in each cache."""
        for cache in self.caches:
            for key in KEYS:
                await eventually(functools.partial(self._cached, cache, key), f"{key} in {cache}")
            assert cache.stats().pending_invalidations == 0

    async def _cached(self, cache: Face, key: str) -> bool:
        await self.read(cache, key)
        loads = self.loads
        await self.read(cache, key)
        assert not self.stale
        return self.loads == loads
