"""Extension types back to values: the other half of `_extend`."""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec

from armature_cache.codecs import _extend as codes
from armature_cache.codecs._records import Unrestorable
from armature_cache.codecs.types import registered_class

OBJECT_HEADER = msgspec.msgpack.Decoder(tuple[str, msgspec.Raw])

_member = msgspec.msgpack.Decoder(tuple[str, str | int])
_days = msgspec.msgpack.Decoder(tuple[int, int, int])

Decode = Callable[[Any], Any]
ReadBody = Callable[[Any, type], object]


def make_ext_hook(decode: Decode, read_body: ReadBody) -> Callable[[int, memoryview], object]:
    """The hook for msgspec's decoder; the two functions decode what extensions hold."""
    readers: dict[int, Decode] = {
        codes.BIG_INT: lambda data: int.from_bytes(data, "big", signed=True),
        codes.TUPLE: lambda data: tuple(_listed(decode(data))),
        codes.SET: lambda data: set(_spread(_listed(decode(data)))),
        codes.FROZENSET: lambda data: frozenset(_spread(_listed(decode(data)))),
        codes.DATETIME: lambda data: _folded(dt.datetime.fromisoformat, data),
        codes.DATE: lambda data: dt.date.fromisoformat(_text(data)),
        codes.TIME: lambda data: _folded(dt.time.fromisoformat, data),
        codes.TIMEDELTA: lambda data: dt.timedelta(*_days.decode(data)),
        codes.UUID_: lambda data: UUID(bytes=bytes(data)),
        codes.DECIMAL: lambda data: Decimal(_text(data)),
        codes.BYTEARRAY: bytearray,
        codes.PAIRS: lambda data: _paired(_listed(decode(data))),
        codes.ENUM: _read_member,
        codes.OBJECT: lambda data: _read_object(data, read_body),
    }

    def ext_hook(code: int, data: memoryview) -> object:
        reader = readers.get(code)
        if reader is None:
            msg = f"extension type {code} is unknown"
            raise Unrestorable(msg)
        return reader(data)

    return ext_hook


def _text(data: memoryview) -> str:
    return str(data, "ascii")


def _listed(value: object) -> list[Any]:
    if type(value) is not list:
        msg = "an extension holds something else than a list"
        raise Unrestorable(msg)
    return value


def _paired(flat: list[Any]) -> dict[Any, Any]:
    return dict(zip(_spread(flat[::2]), flat[1::2], strict=True))


def _spread(members: list[Any]) -> list[Any]:
    """Members for a set, unless so many have one hash that making it would take for ever."""
    if codes.too_alike(members):
        msg = "too many members have the same hash"
        raise Unrestorable(msg)
    return members


def _folded(parse: Callable[[str], Any], data: memoryview) -> object:
    text = _text(data)
    return parse(text[1:]).replace(fold=1) if text.startswith("~") else parse(text)


def _known_class(name: str) -> type:
    cls = registered_class(name)
    if cls is None:
        msg = f"no class is registered as {name!r} in this process"
        raise Unrestorable(msg)
    return cls


def _read_member(data: memoryview) -> object:
    name, key = _member.decode(data)
    cls = _known_class(name)
    if not issubclass(cls, enum.Enum):
        msg = f"{name!r} is not an enum"
        raise Unrestorable(msg)
    return cls[key] if isinstance(key, str) else cls(key)


def _read_object(data: memoryview, read_body: ReadBody) -> object:
    name, body = OBJECT_HEADER.decode(data)
    return read_body(body, _known_class(name))
