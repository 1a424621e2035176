"""Forks: a child finds no lock held and no work under way that only its parent could end."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterable
from types import TracebackType
from typing import Protocol, TypeVar

T = TypeVar("T")


class Lock(Protocol):
    """A lock of either kind."""

    def acquire(self) -> bool: ...

    def release(self) -> None: ...

    def __enter__(self) -> bool: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class Forkable(Protocol):
    """Something with locks that must not be held by another thread while the process forks."""

    def fork_locks(self) -> Iterable[Lock]:
        """Its locks, in the order in which threads take them."""
        ...

    def after_fork(self) -> None:
        """Forget, in the child, what only the parent's threads and loops can go on with."""
        ...


class Leaving(Forkable, Protocol):
    """Something that may not be there at all while the process forks.

    Whoever holds one of its locks may want those of others: they are taken before all of these.
    """

    def before_fork(self) -> None:
        """Let go of it, with the locks of everything taken."""
        ...


_outer: weakref.WeakSet[Lock] = weakref.WeakSet()
_leaves: weakref.WeakSet[Lock] = weakref.WeakSet()
_known: weakref.WeakSet[Forkable] = weakref.WeakSet()
_leaving: weakref.WeakSet[Leaving] = weakref.WeakSet()
_taken: list[Lock] = []


def register(thing: Forkable) -> None:
    """Look after something when the process forks, for as long as it lives."""
    _known.add(thing)


def register_leaving(thing: Leaving) -> None:
    """`register`, for something that has to leave before a fork."""
    _leaving.add(thing)


def leaf_lock() -> Lock:
    """A lock that no other thread holds while the process forks; whoever has it wants no other."""
    made: Lock = threading.Lock()
    _leaves.add(made)
    return made


def outer_lock() -> Lock:
    """The same, of a lock that nobody wants who has another."""
    made: Lock = threading.Lock()
    _outer.add(made)
    return made


def _all(things: Iterable[T]) -> list[T]:
    """What is there now, also if another thread adds to it meanwhile."""
    while True:
        try:
            return list(things)
        except RuntimeError:
            continue


def _take(locks: Iterable[Lock]) -> None:
    for lock in locks:
        lock.acquire()
        _taken.append(lock)


def _before() -> None:
    leaving = _all(_leaving)
    _take(_all(_outer))
    for thing in (*leaving, *_all(_known)):
        _take(thing.fork_locks())
    _take(_all(_leaves))
    for leaver in leaving:
        leaver.before_fork()


def _release() -> None:
    while _taken:
        _taken.pop().release()


def _in_child() -> None:
    _release()
    for thing in (*_all(_leaving), *_all(_known)):
        thing.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_release, after_in_child=_in_child)
