"""Remembers the keys of calls whose arguments are plain values."""

from __future__ import annotations

import datetime
import decimal
import enum
import uuid
from collections.abc import Iterable, Mapping
from typing import Final, Protocol

from armature_cache.keys.binding import Arguments, Used
from armature_cache.keys.length import is_shortened

_REMEMBERED: Final = 4096
_USED: Final = ("",)
"""In place of the names of arguments, where only some of the positional ones count."""

PLAIN: Final = frozenset({str, int, bytes, type(None), uuid.UUID, datetime.date})
"""Exact types: a value of one never equals a value of another one."""

_PLAIN_BY_TYPE: Final = PLAIN | {bool, float}
"""Exact types: once the type is known, equal values have equal keys, but for zeros."""

_FIXED: Final = (
    *_PLAIN_BY_TYPE,
    complex,
    decimal.Decimal,
    datetime.time,
    datetime.timedelta,
    enum.Enum,
    type,
)


class KeyFunction(Protocol):
    """Makes the key of a call; for a method, `part` and `target` say what it is called on."""

    def __call__(
        self,
        args: Arguments,
        kwargs: Mapping[str, object],
        part: str = "",
        target: object = None,
        /,
    ) -> str: ...


def is_fixed(value: object) -> bool:
    """Whether the text of this value can never change."""
    if type(value) is tuple:
        return all(is_fixed(item) for item in value)
    return isinstance(value, _FIXED)


def remembered(
    compute: KeyFunction, known: dict[object, str], used: Used | None = None
) -> KeyFunction:
    """The same function, which remembers 4,096 keys of calls with plain arguments in `known`.

    `used` are the arguments that keys are made of, where these are not all. Where they are, a
    call of positional arguments of the types `PLAIN` is known by the tuple of these.
    """
    least, most, positions = used or Used(1, 0, ())

    def key(
        args: Arguments,
        kwargs: Mapping[str, object],
        part: str = "",
        target: object = None,
        /,
    ) -> str:
        call: object
        if kwargs:
            call = _identity((*args, *kwargs.values()), kwargs)
        elif least <= len(args) <= most:
            call = _identity_of_used(tuple([args[position] for position in positions]))
        else:
            call = args
            for arg in args:
                if type(arg) not in PLAIN:
                    call = _identity(args, kwargs)
                    break
        if call is None:
            return compute(args, kwargs, part, target)
        if part:
            call = (part, call)
        found = known.get(call)
        if found is None:
            found = compute(args, kwargs, part, target)
            _remember(known, call, found)
        return found

    return key


def _remember(known: dict[object, str], call: object, key: str) -> None:
    if not is_shortened(key):
        if len(known) >= _REMEMBERED:
            known.clear()
        known[call] = key


def _identity_of_used(values: Arguments) -> object:
    for value in values:
        if type(value) not in PLAIN:
            return _identity(values, _USED)
    return (values,)


def _identity(values: Arguments, names: Iterable[str]) -> object:
    """What tells this call from all others, or None if an argument is not a plain value.

    It never equals a tuple of plain arguments: its first item is a tuple.
    """
    types = tuple(map(type, values))
    if PLAIN.issuperset(types):
        return (values, *names)
    if not _PLAIN_BY_TYPE.issuperset(types) or (float in types and 0.0 in values):
        return None
    return (values, types, *names)
