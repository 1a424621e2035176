"""Invalidations that wait for the end of a block."""

from __future__ import annotations

from contextvars import ContextVar, Token
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from armature_cache.stores.tagged import TaggedCache

_Held = dict[tuple[int, str], "Deferral"]
_deferrals: ContextVar[_Held] = ContextVar("armature_cache_deferrals")


def _slot(cache: TaggedCache) -> tuple[int, str]:
    return id(cache.clock.replica), cache.path


def defer(cache: TaggedCache, names: tuple[str, ...]) -> bool:
    """Leave tags, by their names in the clock, to the caller's block; False where there is none."""
    deferral = _deferrals.get({}).get(_slot(cache))
    if deferral is None:
        return False
    deferral.names.update(dict.fromkeys(names))
    return True


class Deferral:
    """A block that holds back the invalidations of one cache; made by `deferred_invalidation()`."""

    def __init__(self, cache: TaggedCache) -> None:
        self.names: dict[str, None] = {}
        self._cache = cache
        self._token: Token[_Held] | None = None

    def _begin(self) -> Self:
        held = _deferrals.get({})
        self._token = _deferrals.set({**held, _slot(self._cache): self})
        return self

    def _end(self, *, failed: bool) -> tuple[str, ...]:
        """What is to be sent now."""
        if self._token is not None:
            _deferrals.reset(self._token)
            self._token = None
        names, self.names = tuple(self.names), {}
        return () if failed else names

    async def __aenter__(self) -> Self:
        return self._begin()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._cache._invalidate_all(self._end(failed=kind is not None))
