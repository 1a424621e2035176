"""Values of every kind of type come back as they were, when the type is named."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, Literal, Optional
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from codec_shapes import (
    Address,
    Base,
    Box,
    Car,
    Cat,
    Colour,
    Derived,
    Dog,
    Email,
    Frozen,
    Household,
    Known,
    Level,
    Loose,
    Mode,
    Movie,
    Page,
    Pair,
    Person,
    Point,
    Point3,
    Positive,
    Secretive,
    Shape,
    Suit,
    Unknown,
    UserId,
)
from codec_support import round_trip, same

from armature_cache.codecs.json import JsonCodec
from armature_cache.codecs.msgpack import MessagePackCodec
from armature_cache.errors import UndecodablePayload, UnsupportedValue

UTC = dt.timezone.utc  # noqa: UP017
NOON = dt.datetime(2024, 5, 6, 12, 30, 1, 5)  # noqa: DTZ001
PLUS2 = dt.timezone(dt.timedelta(hours=2))
HOME = Address(Street="Elm", since=NOON, codes={1, 2})
ANNA = Person(name="Anna", home=HOME, site="https://example.org/a", extra_one=[1])

TABLE = [
    (Point(1, 2), Point),
    ([Point(1), Point(2)], list[Point]),
    (None, Point | None),
    (Point3(1, 2, 3), Optional[Point3]),  # noqa: UP045
    (Frozen(NOON.replace(tzinfo=UTC), Point(1), frozenset({"a"})), Frozen),
    (Page([Point(1)], 1), Page[Point]),
    (Car(4, ["l"]), Car),
    (Secretive(3), Secretive),
    (Cat(9), Cat),
    ([Cat(9), Dog(1.5)], list[Cat | Dog]),
    ({"title": "x", "year": 1}, Movie),
    (Pair(1, "x"), Pair),
    (ANNA, Person),
    ([ANNA, ANNA], list[Person]),
    (None, Person | None),
    (Household(ANNA, [Person(name="B")], Cat(1)), Household),
    (Box[int](content=3), Box[int]),
    (NOON, dt.datetime),
    (NOON.replace(tzinfo=UTC), dt.datetime),
    (NOON.replace(tzinfo=PLUS2), dt.datetime),
    ({"a": [NOON.replace(tzinfo=ZoneInfo("Europe/Paris"))]}, dict[str, list[dt.datetime]]),
    (NOON.date(), dt.date),
    (NOON.time(), dt.time),
    (dt.timedelta(days=-3, microseconds=7), dt.timedelta),
    (UUID(int=7), UUID),
    (Decimal("1.50"), Decimal),
    (Colour.RED, Colour),
    ([Level.LOW], list[Level]),
    ({"m": Mode.FAST}, dict[str, Mode]),
    ({1, 2}, set[int]),
    (frozenset({"a"}), frozenset[str]),
    ((1, "a"), tuple[int, str]),
    ((1, 2, 3), tuple[int, ...]),
    ([b"\xff"], list[bytes]),
    (bytearray(b"\xff"), bytearray),
    ([2**70, -(2**80)], list[int]),
    ({"x": 2**64}, dict[str, int]),
    ({1: "a"}, dict[int, str]),
    ({UUID(int=1): 1}, dict[UUID, int]),
    ([1.5, 2.0], list[float]),
    ([1, 2], Sequence[int]),
    ({"a": Point(1)}, Mapping[str, Point]),
    ("a", Literal["a", "b"]),
    (5, UserId),
    (5, Positive),
    ("x", str),
    (True, int),
    ([1], list),
    ({"a": [None, 1.5]}, dict),
    (None, type(None)),
    (Email("a@b"), Email),
    (Point(2**70), Point),
]
ONLY_MSGPACK = [
    (float("nan"), float),
    ([float("inf")], list[float]),
    ({(1, 2): "a"}, dict[tuple[int, int], str]),
    ({"at": NOON, "t": (1, {2})}, dict[str, Any]),
    (Loose({"at": NOON, "t": (1, {2}), "big": 2**90}), Loose),
    ((1, 2), Sequence[int]),
    (Secretive(5), Secretive),
    (Derived(1, 2), Base),
    ([Derived(1, 2)], list[Base]),
    ({"k": Derived(1, 2)}, dict[str, Base | Point]),
    (Derived(1), Base | Derived),
    (Known(Derived(1)), Known),
    (Suit.HEARTS, Suit),
    (b"raw", bytes),
    (Person(name="A", blob=(1, 2)), Person),
]


def ids(table: list[Any]) -> list[str]:
    return [f"{index}-{as_type}" for index, (_, as_type) in enumerate(table)]


@pytest.mark.parametrize(("value", "as_type"), TABLE, ids=ids(TABLE))
@pytest.mark.parametrize("codec", [MessagePackCodec(), JsonCodec()], ids=["msgpack", "json"])
def test_round_trip(codec: Any, value: Any, as_type: Any) -> None:
    assert same(round_trip(codec, value, as_type), value)


@pytest.mark.parametrize(("value", "as_type"), TABLE, ids=ids(TABLE))
@pytest.mark.parametrize("codec", [MessagePackCodec(), JsonCodec()], ids=["msgpack", "json"])
def test_an_untyped_read_in_the_same_process(codec: Any, value: Any, as_type: Any) -> None:
    encoded = codec.encode(value, as_type)
    assert encoded.type_id in (0, codec.type_id(as_type))
    assert same(codec.decode(encoded.payload, encoded.type_id), value)


@pytest.mark.parametrize(("value", "as_type"), ONLY_MSGPACK, ids=ids(ONLY_MSGPACK))
def test_what_json_cannot(value: Any, as_type: Any) -> None:
    assert same(round_trip(MessagePackCodec(), value, as_type), value)
    with pytest.raises(UnsupportedValue, match=r"MessagePackCodec"):
        JsonCodec().encode(value, as_type)


@pytest.mark.parametrize("codec", [MessagePackCodec(), JsonCodec()], ids=["msgpack", "json"])
def test_an_int_where_a_float_is_annotated_becomes_one(codec: Any) -> None:
    assert same(round_trip(codec, 1, float), 1.0)
    assert same(round_trip(codec, [1, 2.5], list[float]), [1.0, 2.5])


def test_the_offset_of_a_datetime_is_kept_and_its_zone_is_not() -> None:
    paris = NOON.replace(tzinfo=ZoneInfo("Europe/Paris"))
    back = round_trip(MessagePackCodec(), paris, dt.datetime)
    assert back == paris
    assert back.utcoffset() == paris.utcoffset()
    assert type(back.tzinfo) is dt.timezone


REFUSED = [
    (Unknown(1), Base, r"^value is a codec_shapes\.Unknown, .* as codec_shapes\.Base"),
    ([Base(), Unknown(1)], list[Base], r"^value\[1\] is a codec_shapes\.Unknown"),
    (3, Point, r"^value is an int, .* as codec_shapes\.Point \(Expected `object`, got `int`\)"),
    ("x", int, r"^value is a str, .* as int"),
    (Point("x"), Point, r"Expected `int`, got `str` - at `\$\.x`"),  # type: ignore[arg-type]
    ((1,), list, r"^value is a tuple"),
    (Shape(), Shape, r"^value is a codec_shapes\.Shape"),
    (Person(name="A", blob=Shape()), Person, r"codec_shapes\.(Shape|Person)"),
    (-1, Positive, r"Expected `int` >= 1"),
]


@pytest.mark.parametrize(("value", "as_type", "message"), REFUSED)
@pytest.mark.parametrize("codec", [MessagePackCodec(), JsonCodec()], ids=["msgpack", "json"])
def test_refusals_name_the_class_and_the_cures(
    codec: Any, value: Any, as_type: Any, message: str
) -> None:
    with pytest.raises(UnsupportedValue, match=message) as caught:
        codec.encode(value, as_type)
    assert caught.value.value_type is not None
    assert "type=" in str(caught.value)
    cure = "MessagePackCodec" if codec.name == "json" else "register"
    assert cure in str(caught.value) or type(value) is tuple


def test_a_secret_is_not_silently_masked() -> None:
    import pydantic

    class Login(pydantic.BaseModel):
        password: pydantic.SecretStr

    for codec in (MessagePackCodec(), JsonCodec()):
        with pytest.raises(UnsupportedValue, match="SecretStr") as caught:
            codec.encode(Login(password="hunter2"), Login)
        assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("codec", [MessagePackCodec(), JsonCodec()], ids=["msgpack", "json"])
def test_another_type_asked_than_stored(codec: Any) -> None:
    encoded = codec.encode(Point(1, 2), Point)
    assert codec.decode(encoded.payload, encoded.type_id, Point3) == Point3(1, 2)
    assert codec.decode(encoded.payload, encoded.type_id, dict) == {"x": 1, "y": 2}
    with pytest.raises(UndecodablePayload):
        codec.decode(encoded.payload, encoded.type_id, Car)
    assert codec.decode(codec.encode({"x": 1}).payload, 0, Point) == Point(1)


@pytest.mark.parametrize("codec", [MessagePackCodec(), JsonCodec()], ids=["msgpack", "json"])
def test_self_describing_types_have_the_id_0(codec: Any) -> None:
    kinds = (str, int, float, bool, bytes, None, type(None), Any, object, dict, list, UserId)
    assert {codec.type_id(kind) for kind in (*kinds, Annotated[str, "x"])} == {0}
    assert 0 not in {codec.type_id(kind) for kind in (Point, list[int], dict[str, Any], tuple)}
