"""Seeing where a read got its value, without asking the cache."""

from __future__ import annotations

import types
from collections.abc import Coroutine, Generator
from contextvars import ContextVar
from typing import Any, TypeVar

T = TypeVar("T")


class Note:
    """What was noticed during one read."""

    __slots__ = ("queried",)

    def __init__(self) -> None:
        self.queried = False


_note: ContextVar[Note | None] = ContextVar("armature_cache_demo_note", default=None)

take_note = _note.set
"""Give the reads of this context a note."""


def note_query() -> None:
    """The database is queried: for `Database(on_query=...)`."""
    note = _note.get()
    if note is not None:
        note.queried = True


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
