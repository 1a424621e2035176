"""What happens in a cache, told to those who listen.

Each event is a small frozen dataclass. Listeners are plain functions; they are called where the
event happens, so they have to be quick, must not wait, and may be called by several threads at a
time. What a listener raises is logged, and harms nobody.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Literal

from armature_cache import _forking

logger = logging.getLogger("armature_cache")


StaleReason = Literal["renewing", "error", "timeout", "waiting", "untrusted"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Event:
    """Something that happened in a cache."""

    # Written once for all of them: the methods that each would get cost a fifth of the import.

    def _facts(self) -> tuple[object, ...]:
        return tuple(getattr(self, field.name) for field in fields(self))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Event) or type(other) is not type(self):
            return NotImplemented
        return self._facts() == other._facts()

    def __hash__(self) -> int:
        return hash((type(self), self._facts()))

    def __repr__(self) -> str:
        facts = zip(fields(self), self._facts(), strict=True)
        return (
            f"{type(self).__name__}({', '.join(f'{each.name}={fact!r}' for each, fact in facts)})"
        )


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class KeyEvent(Event):
    """Something that happened to a key; keys of a namespace have its name and a NUL before them."""

    key: str


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Hit(KeyEvent):
    """A read was answered with a fresh value; `store` is `memory`, `redis` and so on."""

    store: str


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Miss(KeyEvent):
    """A read found no fresh value in any tier."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class StaleServed(KeyEvent):
    """A read was answered with a value past its lifetime.

    `reason` is `renewing` (it is loaded again in the background), `error` or `timeout` (its load
    failed, or took long), `waiting` (a load failed shortly before), or `untrusted` (the shared
    store could not be asked).
    """

    reason: StaleReason


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Loaded(KeyEvent):
    """A loader returned, after so many seconds; `background` if no caller waited for it."""

    seconds: float
    background: bool


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LoadError(KeyEvent):
    """A loader raised."""

    error: BaseException
    background: bool


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LoadTimedOut(KeyEvent):
    """A caller stopped waiting for a load, which goes on; `soft` if there was a stale value."""

    seconds: float
    soft: bool


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Refused(KeyEvent):
    """A loaded value was not stored: something newer had happened, or it took too long."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LockTaken(KeyEvent):
    """The load of a key was claimed against other processes, after so many seconds of waiting."""

    waited: float


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LockWaived(KeyEvent):
    """A key is loaded although another process claims its load: it took too long."""

    waited: float


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Stored(KeyEvent):
    """A value was stored, by a set or after a load."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Deleted(KeyEvent):
    """A key was deleted."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Invalidated(Event):
    """Tags were invalidated by this process, and the shared store has acknowledged."""

    tags: tuple[str, ...]
    soft: bool


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class InvalidationFailed(Event):
    """An invalidation was not acknowledged; it stays queued."""

    tags: tuple[str, ...]
    keys: tuple[str, ...]
    error: Exception


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Cleared(Event):
    """A namespace was cleared by this process."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class BackendFailed(Event):
    """An operation of the shared store failed."""

    error: Exception


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class BreakerOpened(Event):
    """Reads do without the shared store for so many seconds: it has failed too often."""

    seconds: float


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class BreakerClosed(Event):
    """The shared store answers again."""


Listener = Callable[[Event], None]


class Hook:
    """Where the events of a store and its wrappers arrive; `listeners` is empty when off."""

    __slots__ = ("_changed", "_lock", "listeners")

    def __init__(self) -> None:
        self.listeners: tuple[Listener, ...] = ()
        self._changed: list[weakref.WeakMethod[Callable[[], None]]] = []
        self._lock = _forking.leaf_lock()

    def emit(self, event: Event) -> None:
        """Tell all listeners."""
        for listener in self.listeners:
            try:
                listener(event)
            except Exception:
                logger.exception("a listener of cache events failed")

    def add(self, listener: Listener) -> Callable[[], None]:
        """Let a listener hear of events; returns a function that ends it."""
        with self._lock:
            self.listeners = (*self.listeners, listener)
        self._tell()

        def end() -> None:
            with self._lock:
                left = [known for known in self.listeners if known is not listener]
                self.listeners = tuple(left)
            self._tell()

        return end

    def when_changed(self, react: Callable[[], None]) -> None:
        """Call a method whenever listeners come or go, for as long as its object lives."""
        with self._lock:
            self._changed = [known for known in self._changed if known() is not None]
            self._changed.append(weakref.WeakMethod(react))

    def _tell(self) -> None:
        for known in list(self._changed):
            react = known()
            if react is not None:
                react()
