"""Invalidations that are repeated after a while."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from armature_cache.errors import CacheError
from armature_cache.stores.primitives import logger

if TYPE_CHECKING:
    from armature_cache._runtime.base import Later, Runtime


class Repeats:
    """The second invalidations of one cache that are still to come."""

    def __init__(
        self, runtime: Runtime, invalidate: Callable[[Sequence[str]], Awaitable[None]]
    ) -> None:
        self._runtime = runtime
        self._invalidate = invalidate
        self._waiting: dict[int, tuple[Later, tuple[str, ...]]] = {}
        self._number = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def schedule(self, seconds: float, tags: tuple[str, ...]) -> None:
        """Invalidate these tags once more, after so many seconds."""
        self._number += 1
        number = self._number

        async def repeat() -> None:
            if self._waiting.pop(number, None) is not None:
                await self._again(tags)

        self._waiting[number] = (self._runtime.later(seconds, repeat), tags)

    async def run_all(self) -> None:
        """Do now what is still to come."""
        waiting, self._waiting = self._waiting, {}
        tags = dict.fromkeys(
            tag for later, tags in waiting.values() if later.take() for tag in tags
        )
        if tags:
            await self._again(tuple(tags))

    async def _again(self, tags: tuple[str, ...]) -> None:
        """Invalidate; a failure stays queued with the clock, like any other."""
        try:
            await self._invalidate(tags)
        except CacheError as error:
            logger.warning("a repeated invalidation failed: %s", error)
