"""How a value is copied so that the copy shares nothing with it that can be changed."""

from __future__ import annotations

import copy
import copyreg
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import functools
import ipaddress
import pathlib
import re
import types
import uuid
import zoneinfo
from collections.abc import Callable, Iterable
from typing import Any, Final

Copier = Callable[[Any], Any]

_MAX_DEPTH: Final = 100

_ATOMS: Final = frozenset((
    str, int, float, complex, bool, bytes, type(None), range, type, type(Ellipsis),
    dt.datetime, dt.date, dt.time, dt.timedelta, dt.timezone, zoneinfo.ZoneInfo,
    decimal.Decimal, fractions.Fraction, uuid.UUID, re.Pattern,
    ipaddress.IPv4Address, ipaddress.IPv6Address, ipaddress.IPv4Network, ipaddress.IPv6Network,
    pathlib.PurePosixPath, pathlib.PureWindowsPath, pathlib.PosixPath, pathlib.WindowsPath,
    types.FunctionType, types.BuiltinFunctionType, types.ModuleType,
))  # fmt: skip


class _Entangled(Exception):
    """Something that only `copy.deepcopy` copies as it is: shared parts, cycles, own ways."""


def copier_of(value: object) -> Copier | None:
    """What copies this value; None if nothing in it can be changed, so that it may be shared."""
    if type(value) in _ATOMS or is_immutable(value):
        return None
    try:
        _check_tree(value, set(), 0)
    except _Entangled:
        return copy.deepcopy
    return _copied_tree


def copied(value: Any) -> Any:
    """The value, or a copy of it if anything in it can be changed."""
    copier = copier_of(value)
    return value if copier is None else copier(value)


def is_immutable(value: Any, depth: int = 0) -> bool:
    """Whether neither a value nor anything in it can be changed in the ordinary ways."""
    cls: Any = type(value)
    if cls in _ATOMS or isinstance(value, enum.Enum | type):
        return True
    if depth >= _MAX_DEPTH:
        return False
    if issubclass(cls, tuple | frozenset):
        return _is_frozen_kind(cls) and _all_immutable(value, depth)
    if _is_frozen_record(cls):
        return _all_immutable(_fields(value), depth)
    return False


def _all_immutable(values: Iterable[object], depth: int) -> bool:
    return all(type(one) in _ATOMS or is_immutable(one, depth + 1) for one in values)


@functools.lru_cache(maxsize=4096)
def _is_frozen_kind(cls: type) -> bool:
    """Whether instances of this tuple or frozenset class have no attributes of their own."""
    return cls in {tuple, frozenset} or not cls.__dictoffset__


@functools.lru_cache(maxsize=4096)
def _is_frozen_record(cls: Any) -> bool:
    told = getattr(cls, "__dataclass_params__", None) or getattr(cls, "__struct_config__", None)
    return told is not None and bool(told.frozen)


def _fields(record: Any) -> list[object]:
    names = getattr(record, "__struct_fields__", None)
    if names is None:
        names = [field.name for field in dataclasses.fields(record)]
    own = getattr(record, "__dict__", {})
    return [*own.values(), *(getattr(record, name, None) for name in names if name not in own)]


# -- trees: values of plain containers and plain objects, without shared parts -------------------


def _check_tree(value: Any, seen: set[int], depth: int) -> None:
    """Raise `_Entangled` for anything else than a tree."""
    if type(value) in _ATOMS or is_immutable(value):
        return
    if id(value) in seen or depth >= _MAX_DEPTH:
        raise _Entangled
    seen.add(id(value))
    for part in _branches(value):
        if type(part) not in _ATOMS:
            _check_tree(part, seen, depth + 1)


def _branches(value: Any) -> Any:
    cls: Any = type(value)
    if cls is list or cls is tuple:
        return iter(value)
    if cls is dict and _all_immutable(value, 0):
        return iter(value.values())
    if cls is bytearray or (cls is set and _all_immutable(value, 0)):
        return ()
    if _is_plain_class(cls):
        return vars(value).values()
    raise _Entangled


def _copied_tree(value: Any) -> Any:  # noqa: PLR0911  one line per kind
    cls: Any = type(value)
    if cls is dict:
        return {
            key: one if type(one) in _ATOMS else _copied_tree(one) for key, one in value.items()
        }
    if cls is list:
        return [one if type(one) in _ATOMS else _copied_tree(one) for one in value]
    if cls is tuple:
        return tuple([one if type(one) in _ATOMS else _copied_tree(one) for one in value])
    if cls is set:
        return set(value)
    if cls is bytearray:
        return bytearray(value)
    if cls in _ATOMS or not _is_plain_class(cls) or is_immutable(value):
        return value
    twin = cls.__new__(cls)
    own = vars(twin)
    for name, one in vars(value).items():
        own[name] = one if type(one) in _ATOMS else _copied_tree(one)
    return twin


class _Plain:
    pass


_OWN_WAYS: Final = (
    "__new__", "__reduce__", "__reduce_ex__", "__getstate__", "__setstate__", "__getnewargs__",
    "__getnewargs_ex__", "__copy__", "__deepcopy__",
)  # fmt: skip


@functools.lru_cache(maxsize=4096)
def _is_plain_class(cls: type) -> bool:
    """Whether instances are their `__dict__` and nothing else, and are copied as such."""
    return (
        cls.__basicsize__ == _Plain.__basicsize__
        and cls.__dictoffset__ == _Plain.__dictoffset__
        and cls not in copyreg.dispatch_table
        and all(getattr(cls, name, None) is getattr(object, name, None) for name in _OWN_WAYS)
    )
