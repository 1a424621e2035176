"""Seeing where a read got its value."""

from __future__ import annotations

import types
from collections.abc import Coroutine, Generator
from contextvars import ContextVar
from typing import Any, TypeVar

from armature_cache.events import Event, Hit

T = TypeVar("T")


class Note:
    """What was noticed during one read."""

    __slots__ = ("in_file", "queried")

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Another read begins."""
        self.queried = self.in_file = False


_note: ContextVar[Note | None] = ContextVar("armature_cache_demo_note", default=None)

take_note = _note.set
"""Give the reads of this context a note."""


def note_query() -> None:
    """The database is queried: for `Database(on_query=...)`."""
    note = _note.get()
    if note is not None:
        note.queried = True


def note_hit(event: Event) -> None:
    """Something happened in the cache: for `subscribe`, where reads of L2 need not wait."""
    note = _note.get()
    if note is not None and isinstance(event, Hit) and event.store == "sqlite":
        note.in_file = True


async def watched(work: Coroutine[Any, Any, T]) -> tuple[T, bool]:
    """The outcome of a coroutine, and whether it had to wait for anything."""
    try:
        pending = work.send(None)
    except StopIteration as done:
        return done.value, False
    return await _rest(work, pending), True


@types.coroutine
def _rest(work: Coroutine[Any, Any, T], pending: Any) -> Generator[Any, Any, T]:
    try:
        yield pending
        outcome: T = yield from work
        return outcome
    finally:
        work.close()
