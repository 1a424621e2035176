"""Classes of every kind that the codecs carry."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Generic, NamedTuple, NewType, TypedDict, TypeVar

import attrs
import msgspec
import pydantic

from armature_cache.codecs.types import register_type

T = TypeVar("T")
UserId = NewType("UserId", int)


class Colour(enum.Enum):
    RED = "r"


class Level(enum.IntEnum):
    LOW = 1


class Mode(enum.StrEnum):
    FAST = "fast"


@dataclass
class Point:
    x: int
    y: int = 0


@dataclass
class Point3(Point):
    z: int = 0


@dataclass(frozen=True, slots=True)
class Frozen:
    at: datetime
    where: Point
    tags: frozenset[str] = frozenset()


@dataclass
class Page(Generic[T]):
    items: list[T]
    total: int = 0


@dataclass
class Loose:
    meta: dict[str, Any] = field(default_factory=dict)


@attrs.define
class Car:
    wheels: int
    doors: list[str] = attrs.field(factory=list)


@attrs.frozen
class Secretive:
    _inner: int = 3


class Cat(msgspec.Struct, tag=True):
    lives: int


class Dog(msgspec.Struct, tag=True, rename="camel"):
    bark_volume: float


class Movie(TypedDict):
    title: str
    year: int


class Pair(NamedTuple):
    left: int
    right: str = ""


class Address(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True)
    street: str = pydantic.Field(alias="Street", exclude=True)
    since: datetime | None = None
    codes: set[int] = set()


class Person(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    name: str
    home: Address | None = None
    site: pydantic.HttpUrl | None = None

    @pydantic.computed_field  # type: ignore[prop-decorator]
    @property
    def shout(self) -> str:
        return self.name.upper()


class Box(pydantic.BaseModel, Generic[T]):
    content: T


@dataclass
class Household:
    head: Person
    others: list[Person]
    pet: Cat | Dog | None = None


@register_type(name="test.Known")
@dataclass
class Known:
    value: Any = None


class Shape:
    """The base of registered classes; not itself one."""


@dataclass
class Base:
    a: int = 0


@register_type(name="test.Derived")
@dataclass
class Derived(Base):
    b: int = 0


@dataclass
class Unknown(Base):
    b: int = 0


@register_type(name="test.Suit")
class Suit(enum.Enum):
    HEARTS = (1, "red")


@register_type(name="test.Access")
class Access(enum.Flag):
    READ = 1
    WRITE = 2


@register_type(name="test.Email")
class Email(str):
    __slots__ = ()


@register_type(name="test.Bag")
class Bag(dict[str, int]):
    pass


register_type(Pair, name="test.Pair")
register_type(Cat, name="test.Cat")
register_type(Car, name="test.Car")
register_type(Person, name="test.Person")

Positive = Annotated[int, msgspec.Meta(gt=0)]
