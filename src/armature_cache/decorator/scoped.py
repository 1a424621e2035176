"""Calls within requests: what one of them has read, all of its code gets again."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Protocol

from armature_cache import scopes
from armature_cache._missing import MISSING, Missing
from armature_cache.decorator.calls import Calls
from armature_cache.decorator.located import Arguments, Named
from armature_cache.decorator.store import Store, core_of
from armature_cache.flight import Joint
from armature_cache.scopes import Memo, Reader, RequestScope, Slot
from armature_cache.stores import deferral
from armature_cache.stores.base import CacheStore


class Fresh(Protocol):
    """Answers a call whose result is not known in its request."""

    def __call__(
        self, store: Store, key: str, args: Arguments, kwargs: Named, /
    ) -> Coroutine[Any, Any, Any]: ...


class Reading:
    """One call within a request."""

    __slots__ = ("_calls", "_core", "_scope", "args", "key", "kwargs", "store")

    def __init__(self, calls: Calls, scope: RequestScope, args: Arguments, kwargs: Named) -> None:
        self._calls, self._scope = calls, scope
        self.args, self.kwargs = args, kwargs
        self.store = calls.store_of(args, kwargs)
        self.key = calls.key(args, kwargs)
        self._core = core_of(self.store)

    @property
    def _slot(self) -> Slot:
        return id(self._core.clock.replica), self._core.path + self.key

    def known(self) -> Any | Missing:
        """What the request has read, counted as a hit; `MISSING` for nothing."""
        memo = self._scope.find(self._slot, self._calls)
        if memo is None:
            return MISSING
        self._calls.hits += 1
        return self.own(memo.value)

    def own(self, value: Any) -> Any:
        """What the request has read, as one reader gets it."""
        return value if self._calls.scope == "request" else self._core._own(value)

    async def value(self, fresh: Fresh) -> Any:
        """The result, read once for all who ask in this request."""
        joint, is_new = self.begin(fresh)
        if joint.is_circular:
            return await fresh(self.store, self.key, self.args, self.kwargs)
        value = await joint.join()
        self._calls.hits += not is_new
        return self.own(value)

    def begin(self, fresh: Fresh) -> tuple[Joint[Any], bool]:
        """The reading under way, or a new one; whether it is new."""
        slot, replica, runtime = self._slot, self._core.clock.replica, self._core.runtime
        reader: Reader = self._calls, runtime.scope()

        async def work() -> Any:
            memo = None
            try:
                value = await fresh(self.store, self.key, self.args, self.kwargs)
                if self._calls.keeps(value):
                    memo = self._memo(value)
                return value
            finally:
                self._scope.settle(slot, reader, joint, memo)

        joint, is_new = self._scope.reading(slot, reader, replica, lambda: Joint(runtime, work))
        return joint, is_new

    def keep(self, value: Any) -> None:
        """Let this be what the request has read."""
        if self._calls.keeps(value):
            self._scope.keep(self._slot, self._calls, self._memo(value))
        else:
            self.forget()

    def forget(self) -> bool:
        """Let the request have read nothing; whether it had."""
        return deferral.forget(self._core, (self.key,))

    def _memo(self, value: Any) -> Memo:
        core = self._core
        return Memo(value, core.clock.replica, self._tags(core, value))

    def _tags(self, core: CacheStore, value: Any) -> frozenset[str] | None:
        """The tags of the entry by their names in the clock, where all of them are known."""
        tags = frozenset(core.path + tag for tag in self._calls.tags(self.args, self.kwargs))
        if self._calls.scope == "request":
            return tags
        entry = core._remnant(self.key)
        return tags.union(entry.tags) if entry is not None and entry.value is value else None


def reading(calls: Calls, args: Arguments, kwargs: Named) -> Reading | None:
    """A call of a function that keeps results for requests; None outside of one."""
    if calls.scope == "shared":
        return None
    scope = scopes.current()
    return None if scope is None else Reading(calls, scope, args, kwargs)
