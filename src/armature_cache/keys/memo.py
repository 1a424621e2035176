"""Remembers the keys of calls whose arguments are plain values."""

from __future__ import annotations

import datetime
import decimal
import enum
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Protocol

from armature_cache.keys.binding import Arguments, Used
from armature_cache.keys.length import is_shortened

_REMEMBERED: Final = 4096
_PART, _NAMED, _TYPED, _REST = object(), object(), object(), object()
"""Marks of what calls are known by; none of them is ever an argument."""

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

    `used` are the arguments that keys are made of, where these are not all. Where they are, and
    all are of the types `PLAIN` and positional, a call is known by its argument, if it has one,
    or by the tuple of them.
    """
    identify = _identify if used is None else _identify_by(used)

    def key(
        args: Arguments,
        kwargs: Mapping[str, object],
        part: str = "",
        target: object = None,
        /,
    ) -> str:
        call = identify(args, kwargs)
        if call is None:
            return compute(args, kwargs, part, target)
        if part:
            call = (_PART, part, call)
        found = known.get(call)
        if found is None:
            found = compute(args, kwargs, part, target)
            if not is_shortened(found):
                if len(known) >= _REMEMBERED:
                    known.clear()
                known[call] = found
        return found

    return key


def _identify(args: Arguments, kwargs: Mapping[str, object]) -> object:
    """What tells this call from all others, or None if an argument is not a plain value."""
    if kwargs:
        return _identify_named((*args, *kwargs.values()), kwargs)
    for arg in args:
        if type(arg) not in PLAIN:
            return _identify_typed(args)
    return args[0] if len(args) == 1 and args[0] is not None else args


def _identify_named(values: Arguments, names: Iterable[str]) -> object:
    for value in values:
        if type(value) not in PLAIN:
            typed = _identify_typed(values)
            return None if typed is None else (_NAMED, typed, *names)
    return (_NAMED, values, *names)


def _identify_typed(values: Arguments) -> object:
    types = tuple(map(type, values))
    if not _PLAIN_BY_TYPE.issuperset(types) or (float in types and 0.0 in values):
        return None
    return (_TYPED, values, types)


def _identify_by(used: Used) -> Callable[[Arguments, Mapping[str, object]], object]:
    least, most, positions = used

    def identify(args: Arguments, kwargs: Mapping[str, object]) -> object:
        if kwargs or not least <= len(args) <= most:
            rest = _identify(args, kwargs)
            return None if rest is None else (_REST, rest)
        values = tuple([args[position] for position in positions])
        for value in values:
            if type(value) not in PLAIN:
                return _identify_typed(values)
        return values

    return identify
