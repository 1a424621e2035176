"""Self-describing MessagePack: what the format lacks, as extension types that restore it exactly.

An extension's data is MessagePack itself, so that extensions nest. The codes and their data are
fixed for ever; new kinds of values get new codes.
"""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Callable, Collection
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
from msgspec.msgpack import Ext

from armature_cache.codecs._records import wire_form
from armature_cache.codecs._refusal import Refusal, item_step, key_step, refusal_of_class
from armature_cache.codecs.types import registered_name

BIG_INT, TUPLE, SET, FROZENSET, DATETIME, DATE, TIME, TIMEDELTA = range(1, 9)
UUID_, DECIMAL, BYTEARRAY, PAIRS, ENUM, OBJECT, DESCRIBED = range(9, 16)

MAX_DEPTH = 128
_ALIKE = 1000

ATOMS = frozenset((str, int, float, bool, bytes, type(None)))
KEYS = frozenset((str, int))
_INT_MIN, _INT_MAX = -(2**63), 2**64 - 1

Body = Callable[[object, type], bytes]

encode_native = msgspec.msgpack.Encoder().encode


class Lowering:
    """Turns a value into what plain MessagePack carries.

    `body` encodes an instance of a registered class. With `flatten`, records of classes that are
    not registered become maps, to be restored by an annotation.
    """

    def __init__(self, body: Body, *, flatten: bool) -> None:
        self._body = body
        self._flatten = flatten

    def lower(self, value: Any, depth: int = 0) -> object:  # noqa: PLR0911  one line per kind
        """The value in terms of plain MessagePack and `Ext`; raises `Refusal`."""
        cls = type(value)
        if cls is int and not _INT_MIN <= value <= _INT_MAX:
            return Ext(BIG_INT, _int_bytes(value))
        if cls in ATOMS:
            return value
        if depth >= MAX_DEPTH:
            reason = f"nested deeper than {MAX_DEPTH} levels, or inside itself"
            raise Refusal(cls, reason, "Store a flatter value without cycles")
        if cls is list:
            return self._items(value, depth)
        if cls is dict:
            return self._dict(value, depth)
        leaf = _LEAVES.get(cls)
        if leaf is not None:
            return leaf(value)
        if cls in _SEQUENCES:
            return self._sequence(value, depth)
        return self._instance(value, depth)

    def _items(self, values: Any, depth: int) -> list[object]:
        lowered = []
        for index, value in enumerate(values):
            try:
                lowered.append(self.lower(value, depth + 1))
            except Refusal as refusal:
                raise refusal.inside(item_step(index)) from None
        return lowered

    def _dict(self, values: dict[Any, Any], depth: int) -> object:
        lowered: list[object] = []
        for key, value in values.items():
            try:
                lowered.append(key if type(key) is str else self.lower(key, depth + 1))
            except Refusal as refusal:
                raise refusal.inside(key_step(key)) from None
            try:
                lowered.append(self.lower(value, depth + 1))
            except Refusal as refusal:
                raise refusal.inside(item_step(key)) from None
        if all(type(key) in KEYS for key in lowered[::2]):
            return dict(zip(lowered[::2], lowered[1::2], strict=True))
        _check_spread(values)
        return Ext(PAIRS, encode_native(lowered))

    def _sequence(self, values: Any, depth: int) -> Ext:
        code = _SEQUENCES[type(values)]
        if code == TUPLE:
            return Ext(code, encode_native(self._items(values, depth)))
        _check_spread(values)
        try:
            members = sorted(encode_native(self.lower(one, depth + 1)) for one in values)
        except Refusal as refusal:
            raise refusal.inside("{...}") from None
        return Ext(code, encode_native([msgspec.Raw(one) for one in members]))

    def _instance(self, value: Any, depth: int) -> object:
        cls = type(value)
        name = registered_name(cls)
        if name is not None:
            if isinstance(value, enum.Enum):
                return Ext(ENUM, encode_native([name, _member_key(value)]))
            return Ext(OBJECT, encode_native([name, msgspec.Raw(self._body(value, cls))]))
        if not self._flatten:
            raise _refusal_of(value)
        return self.flat(value, depth)

    def flat(self, value: Any, depth: int = 0) -> object:
        """The value without its own class, which an annotation has to restore."""
        if type(value) in _NATIVE:
            return self.lower(value, depth)
        form = wire_form(value)
        if form is None:
            raise _refusal_of(value)
        if isinstance(form, dict):
            return {key: self._field(key, one, depth) for key, one in form.items()}
        return self.lower(form, depth + 1)

    def _field(self, key: object, value: object, depth: int) -> object:
        try:
            return self.lower(value, depth + 1)
        except Refusal as refusal:
            raise refusal.inside(f".{key}") from None


def too_alike(members: Collection[object]) -> bool:
    """Whether members of a set have equal hashes in numbers that no honest writer meets.

    Anyone can find integers of one hash, and a set of n of them takes n * n comparisons.
    """
    return len(members) > _ALIKE and len(members) - len(set(map(hash, members))) > _ALIKE


def _check_spread(values: Any) -> None:
    if too_alike(values):
        reason = f"of which more than {_ALIKE} members have the same hash"
        raise Refusal(type(values), reason, "Store a list")


def _refusal_of(value: object) -> Refusal:
    bases = [base.__name__ for base in _FLATTENABLE if isinstance(value, base)]
    if not bases or isinstance(value, enum.Enum):
        return refusal_of_class(value, "which could not be restored from its bytes")
    reason = f"which would come back as a plain {bases[0]}"
    cure = f"Convert it to {bases[0]} first, or register the class with register_type()"
    return Refusal(type(value), reason, cure)


_FLATTENABLE = (str, int, float, bytes, list, dict, tuple, set, frozenset, dt.datetime, dt.date)


def _member_key(member: Any) -> object:
    return member.value if isinstance(member, enum.Flag) else member.name


def _int_bytes(value: int) -> bytes:
    return value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)


def _datetime_text(value: dt.datetime | dt.time) -> bytes:
    if value.tzinfo is not None and value.utcoffset() is None:
        reason = "whose time zone has no fixed offset"
        raise Refusal(type(value), reason, "Store it without tzinfo, or as a datetime")
    fold = "~" if value.fold and value.tzinfo is None else ""
    return (fold + value.isoformat()).encode()


_LEAVES: dict[type, Callable[[Any], Ext]] = {
    dt.datetime: lambda value: Ext(DATETIME, _datetime_text(value)),
    dt.date: lambda value: Ext(DATE, value.isoformat().encode()),
    dt.time: lambda value: Ext(TIME, _datetime_text(value)),
    dt.timedelta: lambda value: Ext(
        TIMEDELTA, encode_native((value.days, value.seconds, value.microseconds))
    ),
    UUID: lambda value: Ext(UUID_, value.bytes),
    Decimal: lambda value: Ext(DECIMAL, str(value).encode()),
    bytearray: lambda value: Ext(BYTEARRAY, bytes(value)),
}
_SEQUENCES: dict[type, int] = {tuple: TUPLE, set: SET, frozenset: FROZENSET}
_NATIVE = frozenset((*ATOMS, list, dict, *_LEAVES, *_SEQUENCES))


def is_plain(value: Any, depth: int = 0) -> bool:
    """Whether a list or dict holds nothing but what MessagePack carries natively."""
    members = value
    if type(value) is dict:
        if not KEYS.issuperset(map(type, value)):
            return False
        members = value.values()
    if ATOMS.issuperset(map(type, members)):
        return True
    if depth >= MAX_DEPTH:
        return False
    for one in members:
        kind = type(one)
        if kind not in ATOMS and not ((kind is list or kind is dict) and is_plain(one, depth + 1)):
            return False
    return True
