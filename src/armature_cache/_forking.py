"""Forks: a child finds no lock held and no work under way that only its parent could end."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterable
from typing import Protocol


class Lock(Protocol):
    """A lock of either kind."""

    def acquire(self) -> bool: ...

    def release(self) -> None: ...


class Forkable(Protocol):
    """Something with locks that must not be held by another thread while the process forks."""

    def fork_locks(self) -> Iterable[Lock]:
        """Its locks, in the order in which threads take them."""
        ...

    def after_fork(self) -> None:
        """Forget, in the child, what only the parent's threads and loops can go on with."""
        ...


_known: weakref.WeakSet[Forkable] = weakref.WeakSet()
_taken: list[Lock] = []


def register(thing: Forkable) -> None:
    """Look after something when the process forks, for as long as it lives."""
    _known.add(thing)


def _before() -> None:
    for thing in list(_known):
        for lock in thing.fork_locks():
            lock.acquire()
            _taken.append(lock)


def _release() -> None:
    while _taken:
        _taken.pop().release()


def _in_child() -> None:
    _release()
    for thing in list(_known):
        thing.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_release, after_in_child=_in_child)
