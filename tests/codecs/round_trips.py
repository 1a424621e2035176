"""The table of types in docs/values.md: what each codec carries, found by trying.

`python tests/codecs/round_trips.py` prints it.
"""

from __future__ import annotations

import array
import collections
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import ipaddress
import pathlib
import sys
import uuid
import zoneinfo
from typing import Any, Literal, NamedTuple, TypedDict

import attrs
import codec_shapes as shapes
import msgspec
import pydantic
from codec_support import same

from armature_cache import JsonCodec, KeyRing, MessagePackCodec, PickleCodec, UnsupportedValue

UTC = dt.timezone.utc  # noqa: UP017


@dataclasses.dataclass
class Data:
    name: str
    tags: set[int]


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    at: dt.datetime


@attrs.define
class Attrs:
    name: str


class Struct(msgspec.Struct):
    name: str


class Model(pydantic.BaseModel):
    name: str
    price: decimal.Decimal


class Pair(NamedTuple):
    left: int
    right: str


class Movie(TypedDict):
    title: str


class Colour(enum.Enum):
    RED = "r"


class Level(enum.IntEnum):
    LOW = 1


class Plain:
    def __init__(self) -> None:
        self.name = "x"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Plain) and other.name == self.name

    __hash__ = None  # type: ignore[assignment]


ROWS: list[tuple[str, Any, Any]] = [
    ("`None`, `bool`, `str`", [None, True, "é"], list[Any]),
    ("`int` of 64 bits", -(2**63), int),
    ("`int` beyond", 2**200, int),
    ("`float`", 1.5, float),
    ("`float`: NaN, infinities", float("inf"), float),
    ("`complex`", 1 + 2j, complex),
    ("`bytes`", b"\xff", bytes),
    ("`bytearray`", bytearray(b"\xff"), bytearray),
    ("`list`", [1, [2]], list[Any]),
    ("`dict` with `str` keys", {"a": 1}, dict[str, int]),
    ("`dict` with `int` keys", {1: "a"}, dict[int, str]),
    ("`dict` with other keys", {(1, 2): "a"}, dict[tuple[int, int], str]),
    ("`tuple`", (1, "a"), tuple[int, str]),
    ("`set`, `frozenset`", {1, 2}, set[int]),
    ("`datetime`, aware", dt.datetime(2024, 1, 2, tzinfo=UTC), dt.datetime),
    ("`datetime`, naive", dt.datetime(2024, 1, 2), dt.datetime),  # noqa: DTZ001
    ("`date`", dt.date(2024, 1, 2), dt.date),
    ("`time`", dt.time(1, 2), dt.time),
    ("`timedelta`", dt.timedelta(1, 2, 3), dt.timedelta),
    ("`UUID`", uuid.UUID(int=7), uuid.UUID),
    ("`Decimal`", decimal.Decimal("1.50"), decimal.Decimal),
    ("dataclass", Data("x", {1}), Data),
    ("dataclass, frozen, with slots", Frozen(dt.datetime(2024, 1, 2, tzinfo=UTC)), Frozen),
    ("attrs class", Attrs("x"), Attrs),
    ("msgspec `Struct`", Struct("x"), Struct),
    ("pydantic model", Model(name="x", price=decimal.Decimal("1.50")), Model),
    ("`NamedTuple`", Pair(1, "x"), Pair),
    ("`TypedDict`", Movie(title="x"), Movie),
    ("`Enum`", Colour.RED, Colour),
    ("`IntEnum`", Level.LOW, Level),
    ("union of classes", Struct("x"), Struct | None),
    ("`Literal`", "a", Literal["a", "b"]),
    ("list of records", [Data("x", {1}), Data("y", set())], list[Data]),
    ("registered class", shapes.Known([1, (2,)]), None),
    ("registered `Enum`", [shapes.Suit.HEARTS], None),
    ("`str` subclass, registered", shapes.Email("a@b"), None),
    ("`OrderedDict`, `deque`", collections.deque([1]), collections.deque),
    ("`Fraction`", fractions.Fraction(1, 3), fractions.Fraction),
    ("`IPv4Address`", ipaddress.IPv4Address("1.2.3.4"), ipaddress.IPv4Address),
    ("`Path`", pathlib.PurePosixPath("a/b"), pathlib.PurePosixPath),
    ("`ZoneInfo`", zoneinfo.ZoneInfo("UTC"), zoneinfo.ZoneInfo),
    ("`array`", array.array("i", [1]), array.array),
    ("any other object", Plain(), Plain),
    ("function, lock, connection", print, None),
]
_MESSAGEPACK, _JSON = MessagePackCodec(), JsonCodec()
_PICKLE = PickleCodec(KeyRing({1: b"k" * 32}))
HEADER = ("Type", "MessagePack", "with a type", "JSON", "with a type", "Pickle")


def carries(codec: Any, value: Any, as_type: Any) -> str:
    """Whether a value comes back as it was."""
    try:
        encoded = codec.encode(value, as_type)
    except UnsupportedValue:
        return "refused"
    restored = codec.decode(encoded.payload, encoded.type_id, as_type)
    assert same(restored, value) or restored == value, (codec, value, restored)
    return "yes"


def table() -> str:
    """The table in Markdown."""
    lines = [HEADER, ("---",) * len(HEADER)]
    for name, value, as_type in ROWS:
        cells = []
        for codec in (_MESSAGEPACK, _JSON):
            cells.append(carries(codec, value, None))
            cells.append("" if as_type is None else carries(codec, value, as_type))
        pickled = "refused" if value is print else carries(_PICKLE, value, as_type)
        lines.append((name, *cells, pickled))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    sys.stdout.write(table() + "\n")
