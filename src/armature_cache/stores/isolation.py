"""Objects in memory that their users change: a copy for everyone, or an eye on each of them.

Both cost something on every read, and an `InMemoryCache` does neither unless it is told to.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Protocol

from armature_cache.codecs._describe import type_name
from armature_cache.entry import Entry
from armature_cache.errors import UnsupportedValue
from armature_cache.stores.copying import Copier, copied, copier_of
from armature_cache.stores.watching import Snapshot, first_change, snapshot_of


class CacheMutationWarning(RuntimeWarning):
    """A cached object was changed by someone who had got it from the cache, or had given it."""


class Care(Protocol):
    """What is done about values that users can change."""

    def check(self, value: object) -> None:
        """Refuse a value for which it cannot be done, with `UnsupportedValue`."""
        ...

    def take(self, entry: Entry) -> Entry:
        """The entry as it is kept."""
        ...

    def lend(self, entry: Entry) -> Entry | None:
        """A kept entry as a reader gets it; None if it must not be used any more."""
        ...


class _Kept(Entry):
    """An entry whose value is never handed out, but copied each time."""

    __slots__ = ("copier",)
    copier: Copier


class _Watched(Entry):
    """An entry whose value can be compared with what it was."""

    __slots__ = ("snapshot",)
    snapshot: Snapshot


class Isolating:
    """Keeps a copy, and gives every reader one of his own; immutable values are shared."""

    def check(self, value: object) -> None:
        try:
            copied(value)
        except Exception as error:
            raise UnsupportedValue(
                f"value is a {type_name(type(value))}, which cannot be copied "
                f"({type(error).__name__}) as isolate=True has to. Store the data that it is made "
                "of, or give its class a __deepcopy__.",
                value_type=type(value),
            ) from error

    def take(self, entry: Entry) -> Entry:
        copier = copier_of(entry.value)
        if copier is None:
            return entry
        kept = _Kept.__new__(_Kept)
        _fill(kept, entry)
        kept.copier, kept.value = copier, copier(entry.value)
        return kept

    def lend(self, entry: Entry) -> Entry | None:
        if not isinstance(entry, _Kept):
            return entry
        lent = Entry.__new__(Entry)
        _fill(lent, entry)
        lent.value = entry.copier(entry.value)
        return lent


class Watching:
    """Notices, when a value is read again, that it was changed meanwhile; `drop` removes it."""

    def __init__(self, drop: Callable[[Entry], object]) -> None:
        self._drop = drop

    def check(self, value: object) -> None:
        """Any value can be watched."""

    def take(self, entry: Entry) -> Entry:
        if copier_of(entry.value) is None:
            return entry
        watched = _Watched.__new__(_Watched)
        _fill(watched, entry)
        watched.snapshot = snapshot_of(entry.value)
        return watched

    def lend(self, entry: Entry) -> Entry | None:
        if not isinstance(entry, _Watched):
            return entry
        place = first_change(entry.snapshot, entry.value)
        if place is None:
            return entry
        self._drop(entry)
        warnings.warn(
            f"the value of {entry.key!r}, a {type_name(type(entry.value))}, was changed at "
            f"value{place} by someone who had got it from this cache or had given it; the entry "
            "is dropped. Change a copy of it, or use isolate=True",
            CacheMutationWarning,
            stacklevel=3,
        )
        return None


def _fill(twin: Entry, entry: Entry) -> None:
    for name in Entry.__slots__:
        setattr(twin, name, getattr(entry, name))
