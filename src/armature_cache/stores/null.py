"""The store that keeps nothing."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Self

from armature_cache._runtime.aio import ASYNC
from armature_cache._runtime.blocking import BLOCKING
from armature_cache._time import TimeSource, boottime
from armature_cache.claims import NOTHING_STORED, Claim, Holder
from armature_cache.clocks.local import LocalClock
from armature_cache.events import Hook
from armature_cache.loading import Flights
from armature_cache.stores.base import CacheStore
from armature_cache.stores.draft import Draft, Prepared
from armature_cache.stores.stats import CacheStats, Counters, snapshot

if TYPE_CHECKING:
    from armature_cache._runtime.base import Signal
    from armature_cache.entry import Entry


class NullCache(CacheStore):
    """A cache that keeps nothing: every read is a miss, every load runs.

    It accepts all that other stores accept, so that caching can be switched off by configuration.
    """

    default_ttl = None
    max_ttl = None
    max_load_time = 60.0
    bound = math.inf

    def __init__(self, *, time: TimeSource = boottime) -> None:
        self.time = time
        self.runtime = ASYNC
        self.clock = LocalClock(time)
        self.counters = Counters()
        self._flights = Flights(self.runtime)
        self.hook = Hook()

    def __repr__(self) -> str:
        return "<NullCache>"

    def _peek(self, key: str) -> Entry | None:
        return None

    def _fits(self, entry: Entry, want: object) -> bool:
        return True

    async def _fetch(
        self, keys: Sequence[str], want: object, *, strong: bool, stale: bool = False
    ) -> dict[str, Entry]:
        self.counters.misses += len(keys)
        return {}

    def _remnant(self, key: str) -> Entry | None:
        return None

    async def _claim(
        self, keys: Sequence[str], mine: Holder, life: float, *, instead_of: str = ""
    ) -> list[Claim]:
        return [Claim(mine, life, NOTHING_STORED) for _ in keys]

    async def _release(self, keys: Sequence[str], nonce: str) -> None:
        """Nothing to give up: every load runs."""

    def _listening(self, key: str) -> AbstractContextManager[Signal]:
        return nullcontext(self.runtime.signal())

    async def _probe(self, keys: Sequence[str]) -> dict[str, Entry]:
        return {}

    def _prepare(self, value: object, want: object) -> Prepared:
        return Prepared(value)

    async def _write(self, drafts: Sequence[Draft]) -> list[bool]:
        for draft in drafts:
            draft.stamp = draft.stamp or self.clock.replica.stamp()
        return [True] * len(drafts)

    async def _add(self, draft: Draft) -> bool:
        return True

    async def _remove(self, keys: Sequence[str]) -> list[bool]:
        await self.clock.bump((), keys)
        return [False] * len(keys)

    async def _restamp(self, key: str, ttl: float | None) -> bool:
        return False

    async def _increment(
        self, key: str, delta: int, ttl: float | None, tags: tuple[str, ...]
    ) -> int:
        return delta

    async def _invalidate(self, tags: Sequence[str]) -> None:
        await self.clock.bump(tags)

    async def _restart(self) -> None:
        await self.clock.restart()

    async def _scan(self, prefix: str) -> AsyncIterator[str]:
        for key in list[str]():
            yield key

    async def _tagged_keys(self, tag: str, *, exact: bool) -> list[str]:
        return []

    async def _live_tags(self) -> list[str]:
        return []

    def _snapshot(self) -> CacheStats:
        return snapshot("null", self.counters)

    async def _ping(self) -> None:
        """Nothing to reach."""

    async def _close(self) -> None:
        """Nothing to let go of."""

    def _blocking(self) -> Self:
        twin = self._twin()
        twin.runtime = BLOCKING
        twin._flights = Flights(BLOCKING)
        return twin
