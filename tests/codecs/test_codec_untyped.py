"""Payloads that describe themselves, and what is refused there."""

from __future__ import annotations

import collections
import datetime as dt
import enum
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from codec_shapes import (
    Access,
    Bag,
    Base,
    Car,
    Cat,
    Colour,
    Derived,
    Email,
    Known,
    Pair,
    Person,
    Shape,
    Suit,
    Unknown,
)
from codec_support import round_trip, same
from hypothesis import given, settings
from hypothesis import strategies as st

from armature_cache.codecs.json import JsonCodec
from armature_cache.codecs.msgpack import MessagePackCodec
from armature_cache.errors import UnsupportedValue

pytestmark = pytest.mark.slow

MSGPACK, JSON = MessagePackCodec(), JsonCodec()
SETTINGS = settings(max_examples=120, deadline=None, derandomize=True, database=None)

offsets = st.integers(-86399, 86399).map(lambda s: dt.timezone(dt.timedelta(seconds=s)))
zones = st.none() | offsets
plain = st.none() | st.booleans() | st.integers() | st.text()
finite = plain | st.floats(allow_nan=False, allow_infinity=False)
hashable = (
    plain
    | st.floats(allow_nan=False)
    | st.binary()
    | st.datetimes(timezones=zones)
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.uuids()
    | st.decimals(allow_nan=False)
    | st.sampled_from([Suit.HEARTS, Access.READ | Access.WRITE, Email("a@b"), Pair(1, "x")])
)


@st.composite
def keys_of_any_depth(draw: st.DrawFn) -> Any:
    """A hashable value; a function, because it has a short repr."""
    if draw(st.integers(0, 3)):
        return draw(hashable)
    members = draw(st.lists(keys_of_any_depth(), max_size=3))
    return draw(st.sampled_from([tuple, frozenset]))(members)


keys = keys_of_any_depth()
leaves = keys | st.floats() | st.binary().map(bytearray) | st.just(Derived(1, 2))
values = st.recursive(
    leaves,
    lambda v: (
        st.lists(v, max_size=4)
        | st.lists(v, max_size=4).map(tuple)
        | st.dictionaries(keys, v, max_size=4)
        | st.dictionaries(st.text(), v, max_size=4)
        | st.sets(keys, max_size=4)
        | v.map(Known)
    ),
    max_leaves=12,
)
documents = st.recursive(
    finite, lambda v: st.lists(v, max_size=4) | st.dictionaries(st.text(), v, max_size=4)
)


@SETTINGS
@given(values)
def test_msgpack_restores_exactly(value: Any) -> None:
    assert same(round_trip(MSGPACK, value), value)


@SETTINGS
@given(documents)
def test_json_restores_documents_exactly(value: Any) -> None:
    assert same(round_trip(JSON, value), value)
    assert same(round_trip(MSGPACK, value), value)


@SETTINGS
@given(values)
def test_json_restores_or_refuses(value: Any) -> None:
    try:
        encoded = JSON.encode(value)
    except UnsupportedValue:
        return
    assert same(JSON.decode(encoded.payload, encoded.type_id), value)


INSTANCES = [
    Derived(1, 2),
    Known(Known([Derived(1), (1, {2})])),
    Pair(1),
    Cat(9),
    Car(4),
    Person(name="A", other=1),
    Suit.HEARTS,
    Access.READ,
    Access.READ | Access.WRITE,
    Email("a@b"),
    Bag(a=1),
    dt.datetime(2024, 1, 1, fold=1),  # noqa: DTZ001
    dt.time(1, 2, 3, 4, tzinfo=dt.timezone(dt.timedelta(hours=-3))),
    Decimal("-0.00"),
    {1: "int", True + 1: "two", (1, 2): "tuple", None: 0, 1.5: b""},
    [True, 1, 1.0],
    -(2**63),
    2**64 - 1,
    2**64,
    -(2**63) - 1,
]


@pytest.mark.parametrize("value", INSTANCES)
def test_instances(value: Any) -> None:
    back = round_trip(MSGPACK, [value])[0]
    assert same(back, value)
    assert getattr(back, "fold", 0) == getattr(value, "fold", 0)


def generator() -> Any:
    yield 1


class Sub(str):
    __slots__ = ()


class Zoned(dt.datetime):
    pass


class Anonymous(enum.Enum):
    A = 1


REFUSED = [
    (Shape(), "value", "codec_shapes.Shape"),
    ({"items": [1, 2, 3, Shape()]}, "value['items'][3]", "codec_shapes.Shape"),
    ({"a": ({1: Unknown()},)}, "value['a'][0][1]", "codec_shapes.Unknown"),
    ({(Shape(),): 1}, "value.keys()[(<codec_", "codec_shapes.Shape"),
    ({Shape()}, "value{...}", "codec_shapes.Shape"),
    (Known([Shape()]), "value.value[0]", "codec_shapes.Shape"),
    ([Sub("x")], "value[0]", "Sub"),
    ([collections.OrderedDict(a=1)], "value[0]", "collections.OrderedDict"),
    ([collections.defaultdict(int)], "value[0]", "defaultdict"),
    ([Colour.RED], "value[0]", "codec_shapes.Colour"),
    ([Anonymous.A], "value[0]", "Anonymous"),
    ([Base()], "value[0]", "codec_shapes.Base"),
    ([generator()], "value[0]", "generator"),
    ([generator], "value[0]", "function"),
    ([Shape], "value[0]", "type"),
    ([Zoned(2024, 1, 1)], "value[0]", "Zoned"),
    ([dt.time(1, tzinfo=ZoneInfo("Europe/Paris"))], "value[0]", "datetime.time"),
    ([1j], "value[0]", "complex"),
    ("\ud800", "value", "str"),
]


@pytest.mark.parametrize(("value", "path", "kind"), REFUSED)
def test_refusals(value: Any, path: str, kind: str) -> None:
    with pytest.raises(UnsupportedValue) as caught:
        MSGPACK.encode(value)
    text = str(caught.value)
    assert text.startswith(path)
    assert kind in text
    cures = ("register_type()", "Store ")
    assert any(cure in text for cure in cures)
    assert caught.value.value_type is not None
    with pytest.raises(UnsupportedValue):
        JSON.encode(value)


def cyclic() -> list[Any]:
    ring: list[Any] = []
    ring.append({"ring": ring})
    own = Known()
    own.value = own
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    deep_tuple: Any = 1
    for _ in range(200):
        deep_tuple = (deep_tuple,)
    return [ring, own, deep, deep_tuple]


@pytest.mark.parametrize("index", range(4))
@pytest.mark.parametrize("as_type", [None, list, list[Any], Known])
def test_cycles_and_depth(index: int, as_type: Any) -> None:
    for codec in (MSGPACK, JSON):
        with pytest.raises(UnsupportedValue):
            codec.encode(cyclic()[index], as_type)


def test_the_same_value_gives_the_same_bytes() -> None:
    one = MSGPACK.encode({"s": {f"{n}" for n in range(50)}}).payload
    two = MSGPACK.encode({"s": {f"{n}" for n in reversed(range(50))}}).payload
    assert one == two


def test_a_moment_keeps_its_offset() -> None:
    moment = dt.datetime(2024, 7, 1, tzinfo=ZoneInfo("Europe/Paris"))
    back = round_trip(MSGPACK, [moment])[0]
    assert (back, back.utcoffset()) == (moment, moment.utcoffset())


@pytest.mark.parametrize("value", [UUID(int=1), (1,), {1: 2}, b"x", float("nan"), Derived()])
def test_json_advises(value: Any) -> None:
    with pytest.raises(UnsupportedValue, match="MessagePackCodec"):
        JSON.encode([value])
