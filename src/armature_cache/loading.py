"""Single flight: one load for all who want the same key at the same time.

It knows neither stores nor clocks. A flight carries the stamp of its load once that has begun;
a caller joins a flight only if that stamp is new enough for what the caller may know, and takes
what it found without a load only if that was judged by no less.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from armature_cache import _forking

if TYPE_CHECKING:
    from armature_cache._runtime.base import Runtime, Shared
    from armature_cache.clocks.replica import Stamp
    from armature_cache.entry import Entry

T = TypeVar("T")
_Slot = tuple[int, int, str]

_inside: ContextVar[frozenset[_Slot]] = ContextVar("armature_cache_loading", default=frozenset())


class Flight(Generic[T]):
    """One load under way.

    `stamp` is None until its loader is about to start, at `began`. `found` is the entry that made
    a load unnecessary, judged by a clock of generation `knew` or later.
    """

    __slots__ = ("began", "found", "knew", "shared", "stamp", "tags")

    shared: Shared[T]

    def __init__(self, tags: tuple[str, ...] = ()) -> None:
        self.tags = tags
        self.stamp: Stamp | None = None
        self.began = 0.0
        self.found: Entry | None = None
        self.knew = 0


class Caller(Protocol):
    """One who wants a value now; `tags` are those of the entry that his flight would make."""

    tags: tuple[str, ...]

    async def catch_up(self) -> None:
        """Learn what he has to know before he judges a flight that others started."""
        ...

    def may_join(self, flight: Flight[Any]) -> bool:
        """Whether a flight under way will do."""
        ...

    def may_have(self, flight: Flight[Any]) -> bool:
        """Whether what a flight found, that he joined before it began to load, will do."""
        ...


class Flights:
    """The loads under way in this process, of one store and face."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._table: dict[_Slot, Flight[Any]] = {}
        self._lock = threading.Lock()
        _forking.register(self)

    def fork_locks(self) -> tuple[_forking.Lock, ...]:
        """What may not be held while the process forks."""
        return (self._lock,)

    def after_fork(self) -> None:
        """A child has none of its parent's loads under way."""
        self._table.clear()

    def __len__(self) -> int:
        return len(self._table)

    async def run(
        self, key: str, work: Callable[[Flight[T]], Coroutine[Any, Any, T]], caller: Caller
    ) -> T:
        """The outcome of `work`, shared with everyone who wants `key` now.

        A load that asks for its own key runs by itself.
        """
        slot = (id(self), self._runtime.scope(), key)
        if slot in _inside.get():
            return await work(Flight())
        caught_up = False
        while True:
            fresh: Flight[T] = Flight(caller.tags)
            flight = self._enter(slot, fresh, work, caller if caught_up else None)
            if flight is None:
                await caller.catch_up()
                caught_up = True
                continue
            try:
                outcome = await flight.shared.join()
            finally:
                if flight.shared.finished:
                    self._leave(slot, flight)
            if flight is fresh or caller.may_have(flight):
                return outcome

    def _open(self, slot: _Slot) -> Flight[Any] | None:
        flight = self._table.get(slot)
        if flight is None or flight.shared.finished:
            return None
        return flight

    def _enter(
        self,
        slot: _Slot,
        fresh: Flight[T],
        work: Callable[[Flight[T]], Coroutine[Any, Any, T]],
        caller: Caller | None,
    ) -> Flight[T] | None:
        """The flight to wait for; None if there is one that the caller cannot judge yet."""
        with self._lock:
            flight: Flight[T] | None = self._open(slot)
            if flight is not None:
                if caller is None:
                    return None
                if caller.may_join(flight):
                    return flight
            fresh.shared = self._runtime.shared(lambda: self._lead(slot, fresh, work))
            self._table[slot] = fresh
            return fresh

    async def _lead(
        self, slot: _Slot, flight: Flight[T], work: Callable[[Flight[T]], Coroutine[Any, Any, T]]
    ) -> T:
        token = _inside.set(_inside.get() | {slot})
        try:
            return await work(flight)
        finally:
            _inside.reset(token)
            self._leave(slot, flight)

    def _leave(self, slot: _Slot, flight: Flight[Any]) -> None:
        with self._lock:
            if self._table.get(slot) is flight:
                del self._table[slot]
