"""Classes and values that keys are tested with; importable by other processes."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import fractions
import ipaddress
import pathlib
import uuid
import zoneinfo
from collections import Counter, OrderedDict, defaultdict
from typing import Any, NamedTuple

import attrs
import msgspec
import pydantic


class Color(enum.Enum):
    RED = "red"
    CRIMSON = "red"  # noqa: PIE796 - an alias
    ONE = 1


class Level(enum.IntEnum):
    LOW = 1


class Name(enum.StrEnum):
    ADA = "ada"


class Perm(enum.Flag):
    READ = 1
    WRITE = 2


@dataclasses.dataclass
class Point:
    x: object
    y: object = 0


@dataclasses.dataclass(slots=True)
class Pixel:
    x: object
    y: object = 0


class Pair(NamedTuple):
    x: object
    y: object = 0


@attrs.define
class AttrsPoint:
    x: object
    _y: object = 0


class Struct(msgspec.Struct):
    x: object
    y: object = msgspec.UNSET


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    x: Any
    y: Any = 0


class UserId(int):
    def __repr__(self) -> str:
        return "the same for all"


class Text(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "the same for all"

    __repr__ = __str__


class Tagged(str):  # noqa: SLOT000 - its attributes are what is tested
    tag = ""


class Tenant:
    def __init__(self, name: object) -> None:
        self.name = name

    def __cache_key__(self) -> object:
        return self.name


class Account:
    def __init__(self, key: object) -> None:
        self.__cache_key__ = key


class Session:
    """Has nothing that a key could be made of."""


UTC = datetime.UTC
PARIS = zoneinfo.ZoneInfo("Europe/Paris")
BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
NOON = datetime.datetime(2024, 3, 1, 12)  # noqa: DTZ001 - naive on purpose

DIFFERENT: list[Any] = [
    None,
    True,
    False,
    0,
    1,
    -1,
    10**5000,
    0.0,
    -0.0,
    1.0,
    float("nan"),
    float("inf"),
    -float("inf"),
    1j,
    complex(0, -0.0),
    "",
    "1",
    "None",
    "True",
    "'1'",
    '"',
    "a,b",
    "\ud800",
    "\u00e9",
    "e\u0301",
    "\0",
    b"",
    b"1",
    bytearray(b"1"),
    (),
    (1,),
    ((1,),),
    (1, 2),
    ("1,2",),
    [],
    [1],
    {},
    {1: 2},
    {"1": 2},
    set(),
    {1},
    {"1"},
    frozenset(),
    frozenset({1}),
    range(3),
    range(0, 4, 2),
    decimal.Decimal(1),
    decimal.Decimal("1.0"),
    fractions.Fraction(1, 2),
    uuid.UUID(int=1),
    datetime.date(2024, 3, 1),
    NOON,
    NOON.replace(fold=1),
    NOON.replace(tzinfo=UTC),
    NOON.replace(tzinfo=PARIS),
    NOON.replace(tzinfo=BERLIN),
    NOON.replace(tzinfo=datetime.timezone(datetime.timedelta(hours=1))),
    datetime.time(12),
    datetime.time(12, tzinfo=UTC),
    datetime.timedelta(days=1),
    datetime.timedelta(microseconds=1),
    Color.RED,
    Color.ONE,
    Level.LOW,
    Name.ADA,
    Perm.READ,
    Perm.READ | Perm.WRITE,
    Perm(0),
    Point(1),
    Point("1"),
    Point(1, 1),
    Pixel(1),
    Pair(1),
    AttrsPoint(1),
    AttrsPoint(1, 1),
    Struct(1),
    Struct(1, None),
    Model(x=1),
    Model.model_validate({"x": 1, "z": 2}),
    UserId(1),
    UserId(2),
    Text("a"),
    Text("b"),
    Tenant(1),
    Tenant("1"),
    Tenant((1,)),
    Account(1),
    OrderedDict([(1, 2), (3, 4)]),
    OrderedDict([(3, 4), (1, 2)]),
    defaultdict(int, {1: 2}),
    Counter({1: 2}),
    pathlib.PurePosixPath("/a"),
    pathlib.PureWindowsPath("/a"),
    ipaddress.ip_address("10.0.0.1"),
    ipaddress.ip_network("10.0.0.1"),
    PARIS,
    int,
    Point,
]
"""Values of which no two may share a key."""
