"""A tag clock whose syncs are as reliable as chaos lets them be."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from armature_cache._time import TimeSource
    from armature_cache.claims import Holder
    from armature_cache.clocks.base import Clock
    from armature_cache.clocks.replica import Replica
    from armature_cache.entry import Entry

Strike = Callable[[], Awaitable[None]]


class ChaosClock:
    """The clock of a store; `strike` is awaited before each sync, and may raise."""

    def __init__(self, clock: Clock, time: TimeSource, strike: Strike) -> None:
        self._clock = clock
        self._time = time
        self._strike = strike

    @property
    def replica(self) -> Replica:
        return self._clock.replica

    async def ensure(self, bound: float, *, strong: bool = False) -> None:
        await self._before_a_sync(bound, strong=strong)
        await self._clock.ensure(bound, strong=strong)

    async def _before_a_sync(self, bound: float, *, strong: bool) -> None:
        if strong or self._time() - self.replica.synced_at >= bound:
            await self._strike()

    async def confirm(
        self, entries: Sequence[Entry], bound: float, *, strong: bool = False
    ) -> None:
        await self._before_a_sync(bound, strong=strong)
        await self._clock.confirm(entries, bound, strong=strong)

    async def brace(self, loads: Mapping[str, tuple[str, ...]]) -> None:
        await self._clock.brace(loads)

    async def overtaken(self, key: str, tags: tuple[str, ...], holder: Holder) -> bool:
        return await self._clock.overtaken(key, tags, holder)

    async def bump(self, tags: Sequence[str], keys: Sequence[str] = ()) -> int:
        return await self._clock.bump(tags, keys)

    async def settle(self) -> None:
        await self._strike()
        await self._clock.settle()

    def declare_bound(self, bound: float) -> None:
        self._clock.declare_bound(bound)

    async def restart(self) -> None:
        await self._clock.restart()
