"""Objects in memory that their users change: a copy for everyone, or an eye on each of them.

Both cost something on every read, and an `InMemoryCache` does neither unless it is told to. An
entry that needs care changes its class, so that reading the value of any other one stays the bare
look at a slot.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Final, Protocol, Self

from armature_cache.codecs._describe import type_name
from armature_cache.entry import Entry
from armature_cache.errors import UnsupportedValue
from armature_cache.stores.copying import Copier, copied, copier_of
from armature_cache.stores.watching import Snapshot, first_change, snapshot_of

_slot: Final[Any] = Entry.__dict__["value"]


class CacheMutationWarning(RuntimeWarning):
    """A cached object was changed by someone who had got it from the cache, or had given it."""


class Care(Protocol):
    """What is done about values that users can change."""

    def check(self, value: object) -> None:
        """Refuse a value for which it cannot be done, with `UnsupportedValue`."""
        ...

    def take(self, entry: Entry) -> None:
        """Look after the value of an entry that is going to be kept."""
        ...


class _Kept:
    """A value that is never handed out, and what copies it."""

    __slots__ = ("copier", "value")

    def __init__(self, value: object, copier: Copier) -> None:
        self.copier = copier
        self.value = copier(value)


class _Cared(Entry):
    """An entry whose slot holds more than the value."""

    __slots__ = ()

    def __copy__(self) -> Self:
        twin = type(self).__new__(type(self))
        for name in Entry.__slots__:
            slot: Any = Entry.__dict__[name]
            slot.__set__(twin, slot.__get__(self))
        return twin


class _Copying(_Cared):
    """An entry that gives a copy of its value to everyone who asks."""

    __slots__ = ()

    @property
    def value(self) -> object:  # type: ignore[override]
        kept: _Kept = _slot.__get__(self)
        return kept.copier(kept.value)


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

    def take(self, entry: Entry) -> None:
        copier = copier_of(entry.value)
        if copier is not None:
            _slot.__set__(entry, _Kept(entry.value, copier))
            entry.__class__ = _Copying


class _Seen:
    """A value, what it looked like, and what to do with an entry that does not any more."""

    __slots__ = ("drop", "snapshot", "value")

    def __init__(self, value: object, drop: Callable[[Entry], object]) -> None:
        self.value = value
        self.snapshot: Snapshot = snapshot_of(value)
        self.drop = drop


class _Watched(_Cared):
    """An entry that looks at its value before it gives it to anyone."""

    __slots__ = ()

    @property
    def value(self) -> object:  # type: ignore[override]
        seen: _Seen = _slot.__get__(self)
        place = first_change(seen.snapshot, seen.value)
        if place is not None:
            seen.snapshot = snapshot_of(seen.value)
            seen.drop(self)
            warnings.warn(
                f"the value of {self.key!r}, a {type_name(type(seen.value))}, was changed at "
                f"value{place} by someone who had got it from this cache or had given it; the "
                "entry is dropped. Change a copy of it, or use isolate=True",
                CacheMutationWarning,
                stacklevel=3,
            )
        return seen.value


class Watching:
    """Notices, when a value is read again, that it was changed; `drop` removes the entry."""

    def __init__(self, drop: Callable[[Entry], object]) -> None:
        self._drop = drop

    def check(self, value: object) -> None:
        """Any value can be watched."""

    def take(self, entry: Entry) -> None:
        if copier_of(entry.value) is not None:
            _slot.__set__(entry, _Seen(entry.value, self._drop))
            entry.__class__ = _Watched
