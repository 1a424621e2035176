"""One load under way, and who waits for whom: a load that waits for itself never ends."""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

if TYPE_CHECKING:
    from armature_cache._runtime.base import Runtime, Shared
    from armature_cache.clocks.judgement import Stamp
    from armature_cache.entry import Entry

T = TypeVar("T")

_inside: ContextVar[tuple[Flight[Any], ...]] = ContextVar("armature_cache_loading", default=())

inside: Final = _inside.get
"""The loads that this code is part of, innermost last."""


class Flight(Generic[T]):
    """One load of a key under way, for an entry of these `tags`.

    `stamp` is None until its loader is about to start, at `began`. `found` is the entry that made
    a load unnecessary, judged by a clock of generation `knew` or later. `late_tags` are those
    that the loader has added. `launched` means that it began in the background, `alone` that it is
    shared with nobody: its key is being loaded by those who asked for it.
    """

    __slots__ = (
        "alone",
        "awaited",
        "began",
        "found",
        "key",
        "knew",
        "late_tags",
        "launched",
        "shared",
        "stamp",
        "tags",
    )

    shared: Shared[T]

    def __init__(
        self, key: str, tags: tuple[str, ...], *, launched: bool = False, alone: bool = False
    ) -> None:
        self.key = key
        self.tags = tags
        self.launched = launched
        self.alone = alone
        self.awaited: list[Flight[Any]] = []
        self.late_tags: tuple[str, ...] = ()
        self.stamp: Stamp | None = None
        self.began = 0.0
        self.found: Entry | None = None
        self.knew = 0

    def leads_to(self, others: Collection[Flight[Any]]) -> bool:
        """Whether it is one of these flights, or its loader waits for one of them."""
        return self in others or any(flight.leads_to(others) for flight in self.awaited)


@contextmanager
def being_in(*flights: Flight[Any]) -> Iterator[None]:
    """Let the code of the block be part of these loads."""
    token = _inside.set((*inside(), *flights))
    try:
        yield
    finally:
        _inside.reset(token)


@contextmanager
def waiting_for(flight: Flight[Any]) -> Iterator[None]:
    """Let the innermost load that this code is part of wait for another one."""
    around = inside()
    if not around:
        yield
        return
    around[-1].awaited.append(flight)
    try:
        yield
    finally:
        around[-1].awaited.remove(flight)


class Joint(Generic[T]):
    """A computation that callers share, which may be part of loads and wait for others."""

    __slots__ = ("_flight", "_shared")

    def __init__(self, runtime: Runtime, work: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._flight: Flight[T] = Flight("", ())
        self._shared = runtime.shared(lambda: self._lead(work))

    async def _lead(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        with being_in(self._flight):
            return await work()

    @property
    def finished(self) -> bool:
        """Whether there is an outcome, or nobody is left to wait for one."""
        return self._shared.finished

    @property
    def is_circular(self) -> bool:
        """Whether to wait for it would be to wait for oneself."""
        around = inside()
        return bool(around) and self._flight.leads_to(around)

    async def join(self) -> T:
        """Wait for the outcome and return or raise it; begins it if nobody has."""
        with waiting_for(self._flight):
            return await self._shared.join()
