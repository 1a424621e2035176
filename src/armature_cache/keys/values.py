"""A value's text: the same in every process, and different for every other value."""

from __future__ import annotations

import datetime
import decimal
import enum
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import fields, is_dataclass
from typing import Any, Final
from weakref import WeakKeyDictionary

from armature_cache.keys.names import type_name

Renderer = Callable[[Any, int], str]
"""Renders a value that stands this deep inside an argument."""

_DEEPEST: Final = 50


class Unkeyable(Exception):
    """A value that has no stable text; `value` is the part to blame."""

    def __init__(self, value: object, reason: str = "") -> None:
        super().__init__(reason)
        self.value = value
        self.reason = reason


def render(value: object, depth: int = 0) -> str:
    """The typed text of a value: equal texts mean equal types and equal contents.

    `1`, `True`, `1.0`, `"1"`, `b"1"`, `None` and `""` all differ. Dicts and sets do not depend on
    their order, instances count by class and fields. All NaN are one; `-0.0` is not `0.0`.
    The text is ASCII and does not depend on the process or on PYTHONHASHSEED. Raises `Unkeyable`.
    """
    if depth > _DEEPEST:
        raise Unkeyable(value, f"it is nested deeper than {_DEEPEST} levels, or contains itself")
    renderer = _EXACT.get(type(value))
    if renderer is None:
        renderer = _renderer(type(value))
    return renderer(value, depth)


def integer_text(value: int) -> str:
    """Decimal digits, or hexadecimal ones above 4,000 bits, where Python limits decimal ones."""
    return int.__repr__(value) if -_HUGE < value < _HUGE else f"{value:#x}"


def cache_key_of(value: object) -> object | None:
    """What `__cache_key__`, a plain attribute or a method without arguments, says; else None."""
    found = getattr(value, "__cache_key__", None)
    return found() if callable(found) else found


_HUGE: Final = 1 << 4000


def _series(values: Iterable[object], depth: int) -> str:
    return ",".join([render(value, depth + 1) for value in values])


def _pairs(value: dict[object, object], depth: int) -> list[str]:
    inner = depth + 1
    return [f"{render(key, inner)}:{render(item, inner)}" for key, item in dict.items(value)]


def _dict(value: dict[object, object], depth: int) -> str:
    return "{" + ",".join(sorted(_pairs(value, depth))) + "}"


def _set(value: Iterable[object], depth: int) -> str:
    return "set{" + ",".join(sorted(render(item, depth + 1) for item in value)) + "}"


def _datetime(value: datetime.datetime, _depth: int) -> str:
    zone = "" if value.tzinfo is None else f";{_zone(value.tzinfo, value)}"
    return f"datetime({value.isoformat()};{value.fold}{zone})"


def _time(value: datetime.time, _depth: int) -> str:
    zone = "" if value.tzinfo is None else f";{_zone(value.tzinfo, None)}"
    return f"time({value.isoformat()};{value.fold}{zone})"


def _zone(zone: datetime.tzinfo, moment: datetime.datetime | None) -> str:
    if type(zone) is datetime.timezone:
        return ""
    key = getattr(zone, "key", None)
    name = key if isinstance(key, str) else zone.tzname(moment)
    return f"{type_name(type(zone))}({name!a})"


def _class(value: type, _depth: int) -> str:
    return f"type({type_name(value)})"


_EXACT: Final[dict[type, Renderer]] = {
    type(None): lambda _value, _depth: "None",
    bool: lambda value, _depth: "True" if value else "False",
    int: lambda value, _depth: integer_text(value),
    float: lambda value, _depth: repr(value),
    complex: lambda value, _depth: f"complex({value.real!r},{value.imag!r})",
    str: lambda value, _depth: ascii(value),
    bytes: lambda value, _depth: repr(value),
    bytearray: lambda value, _depth: repr(value),
    tuple: lambda value, depth: f"({_series(value, depth)})",
    list: lambda value, depth: f"[{_series(value, depth)}]",
    dict: _dict,
    set: _set,
    frozenset: lambda value, depth: f"frozen{_set(value, depth)}",
    range: lambda value, _depth: repr(value),
    uuid.UUID: lambda value, _depth: f"UUID({value})",
    decimal.Decimal: lambda value, _depth: f"Decimal({value})",
    datetime.datetime: _datetime,
    datetime.date: lambda value, _depth: f"date({value.isoformat()})",
    datetime.time: _time,
    datetime.timedelta: (
        lambda value, _depth: f"timedelta({value.days},{value.seconds},{value.microseconds})"
    ),
}

_BY_TEXT: Final = {
    "fractions.Fraction",
    "ipaddress.IPv4Address",
    "ipaddress.IPv4Interface",
    "ipaddress.IPv4Network",
    "ipaddress.IPv6Address",
    "ipaddress.IPv6Interface",
    "ipaddress.IPv6Network",
    "msgspec.UnsetType",
    "pathlib.PurePath",
    "zoneinfo.ZoneInfo",
}
"""Standard classes whose `str` says everything; by name, so that nothing is imported for them."""

_found: WeakKeyDictionary[type, Renderer] = WeakKeyDictionary()


def _renderer(kind: type) -> Renderer:
    renderer = _found.get(kind)
    if renderer is None:
        renderer = _found[kind] = _find(kind)
    return renderer


def _find(kind: type) -> Renderer:
    if issubclass(kind, type):
        return _class
    if issubclass(kind, uuid.UUID):
        return _EXACT[uuid.UUID]
    if issubclass(kind, enum.Enum):
        member = _flag if issubclass(kind, enum.Flag) else _member
        return _with_key(member) if hasattr(kind, "__cache_key__") else member
    names = _field_names(kind)
    return _with_key(_by_base(kind) if names is None else _instance(names))


def _by_base(kind: type) -> Renderer:
    for base in kind.__mro__:
        if base in _EXACT:
            return _subclass(base)
        if f"{base.__module__.partition('.')[0]}.{base.__qualname__}" in _BY_TEXT:
            return _text
    return _refuse


def _with_key(otherwise: Renderer) -> Renderer:
    def renderer(value: Any, depth: int) -> str:
        key = cache_key_of(value)
        if key is None:
            return otherwise(value, depth)
        return f"{type_name(type(value))}<{render(key, depth + 1)}>"

    return renderer


def _refuse(value: object, _depth: int) -> str:
    raise Unkeyable(value)


def _text(value: object, _depth: int) -> str:
    return f"{type_name(type(value))}({str(value)!a})"


def _member(value: enum.Enum, _depth: int) -> str:
    return f"{type_name(type(value))}.{ascii(value.name)[1:-1]}"


def _flag(value: enum.Flag, depth: int) -> str:
    return f"{type_name(type(value))}({render(value.value, depth)})"


def _field_names(kind: type) -> Callable[[Any], Iterable[str]] | None:
    """How to list the fields of a dataclass, attrs, msgspec, pydantic or NamedTuple instance."""
    names: Iterable[str] | None = None
    if is_dataclass(kind):
        names = [field.name for field in fields(kind)]
    elif hasattr(kind, "__attrs_attrs__"):
        names = [field.name for field in kind.__attrs_attrs__]
    elif hasattr(kind, "__struct_fields__"):
        names = kind.__struct_fields__
    elif issubclass(kind, tuple) and hasattr(kind, "_fields"):
        names = kind._fields
    elif hasattr(kind, "__pydantic_fields__"):
        return _pydantic_names
    fixed = None if names is None else tuple(names)
    return None if fixed is None else lambda _value: fixed


def _pydantic_names(value: Any) -> Iterable[str]:
    return [*type(value).__pydantic_fields__, *sorted(value.__pydantic_extra__ or ())]


def _instance(names_of: Callable[[Any], Iterable[str]]) -> Renderer:
    def renderer(value: Any, depth: int) -> str:
        try:
            inner = [
                f"{name}={render(getattr(value, name), depth + 1)}" for name in names_of(value)
            ]
        except AttributeError as error:
            raise Unkeyable(value, f"it is not complete ({error})") from error
        return f"{type_name(type(value))}({','.join(inner)})"

    return renderer


_EXACTLY: Final[dict[type, Callable[[Any], object]]] = {
    str: str.__str__,
    bytes: lambda value: bytes.__getitem__(value, slice(None)),
    bytearray: lambda value: bytearray.__getitem__(value, slice(None)),
    int: int.__pos__,
    float: float.__pos__,
    complex: complex.__pos__,
    tuple: lambda value: tuple(tuple.__iter__(value)),
    list: lambda value: list(list.__iter__(value)),
    set: lambda value: set(set.__iter__(value)),
    frozenset: lambda value: frozenset(frozenset.__iter__(value)),
}
"""The value of a subclass as the class itself, whatever methods the subclass has overridden."""


def _subclass(base: type) -> Renderer:
    exactly = _EXACTLY.get(base)

    def renderer(value: Any, depth: int) -> str:
        if getattr(value, "__dict__", None):
            raise Unkeyable(value, "it is a subclass with attributes of its own")
        if isinstance(value, OrderedDict):
            inner = ",".join(_pairs(value, depth))
        else:
            inner = _EXACT[base](value if exactly is None else exactly(value), depth)
        return f"{type_name(type(value))}({inner})"

    return renderer
