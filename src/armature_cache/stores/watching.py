"""What a value looked like: snapshots that tell where it was changed since."""

from __future__ import annotations

import collections
import copyreg
import functools
import pickle
from typing import Any, Final

from armature_cache.codecs._refusal import item_step
from armature_cache.stores.copying import is_immutable

_MAX_DEPTH: Final = 100
_CONTAINERS: Final = (dict, list, tuple, set, frozenset, bytearray, collections.deque)
_ABSENT: Final = object()
_WHOLE: Final = object()
"""The place of all that is in a value."""

Snapshot = Any
"""A `_Seen`; or the value itself, if it is immutable, or tells nothing of what is in it."""


class _Seen:
    """A container or object: its class, its size, and its parts by their place in it."""

    __slots__ = ("cls", "parts")

    def __init__(self, cls: type, parts: dict[object, Snapshot]) -> None:
        self.cls = cls
        self.parts = parts


class _Again:
    """Something that stands elsewhere in the same value, or too deep: not looked into."""


_AGAIN: Final = _Again()


def snapshot_of(value: object) -> Snapshot:
    """What a value looks like now, with nothing in it that can be changed."""
    return _snapshot(value, set(), 0)


def _snapshot(value: Any, seen: set[int], depth: int) -> Snapshot:
    if is_immutable(value):
        return value
    if id(value) in seen or depth >= _MAX_DEPTH:
        return _AGAIN
    seen.add(id(value))
    parts = _parts(value)
    if not parts and not isinstance(value, _CONTAINERS):
        return value
    below = {place: _snapshot(part, seen, depth + 1) for place, part in parts.items()}
    return _Seen(type(value), below)


def first_change(before: Snapshot, value: object) -> str | None:
    """The place of the first difference, as `.name[0]`; "" for the value itself, None for none."""
    if before is _AGAIN or before is value:
        return None
    if not isinstance(before, _Seen):
        return None if type(before) is type(value) and before == value else ""
    if before.cls is not type(value):
        return ""
    now = _parts(value)
    for place, part in before.parts.items():
        found = first_change(part, now.get(place, _ABSENT))
        if found is not None:
            return _step(before.cls, place) + found
    return None if before.parts.keys() == now.keys() else ""


def _parts(value: Any) -> dict[object, object]:
    """What a container or object is made of, by place."""
    if isinstance(value, dict):
        return {**value, **_attributes(value)}
    if isinstance(value, list | tuple | collections.deque):
        return {**dict(enumerate(value)), **_attributes(value)}
    if isinstance(value, set | frozenset):
        return dict.fromkeys(value, True)
    if isinstance(value, bytearray):
        return {_WHOLE: bytes(value)}
    return _attributes(value) or _content(value)


def _content(value: object) -> dict[object, object]:
    """What an object without attributes holds, such as an array; nothing if it does not tell."""
    try:
        return {_WHOLE: pickle.dumps(value)}
    except Exception:  # noqa: BLE001 - whatever a class raises, it cannot be watched then
        return {}


def _attributes(value: Any) -> dict[object, object]:
    """The attributes, without what `functools.cached_property` adds when it is read."""
    cls: Any = type(value)
    own = {
        name: one
        for name, one in getattr(value, "__dict__", {}).items()
        if not isinstance(getattr(cls, name, None), functools.cached_property)
    }
    slots = {name: getattr(value, name, _ABSENT) for name in _slots(cls)}
    return {**own, **slots}


@functools.lru_cache(maxsize=4096)
def _slots(cls: Any) -> tuple[str, ...]:
    names = getattr(cls, "__struct_fields__", None)
    if names is None:
        names = copyreg._slotnames(cls)  # type: ignore[attr-defined]
    return tuple(names)


def _step(cls: type, place: object) -> str:
    if place is _WHOLE or issubclass(cls, set | frozenset):
        return ""
    items = issubclass(cls, dict | list | tuple | collections.deque)
    return item_step(place) if items else f".{place}"
