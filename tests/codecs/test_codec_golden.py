"""Bytes of every released kind of payload: they stay decodable for ever."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from codec_shapes import (
    Access,
    Bag,
    Car,
    Cat,
    Derived,
    Dog,
    Email,
    Known,
    Pair,
    Person,
    Point,
    Suit,
)
from codec_support import same

from armature_cache.codecs.json import JsonCodec
from armature_cache.codecs.msgpack import MessagePackCodec

PLUS2 = dt.timezone(dt.timedelta(hours=2))

# Never change a line; add new ones.
MSGPACK = [
    (None, None, 0, b"\xc0"),
    (True, None, 0, b"\xc3"),
    (-5, None, 0, b"\xfb"),
    (2**64 - 1, None, 0, b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff"),
    (2**70, None, 0, b"\xc7\t\x01@\x00\x00\x00\x00\x00\x00\x00\x00"),
    (-(2**70), None, 0, b"\xc7\t\x01\xc0\x00\x00\x00\x00\x00\x00\x00\x00"),
    (1.5, None, 0, b"\xcb?\xf8\x00\x00\x00\x00\x00\x00"),
    ("é", None, 0, b"\xa2\xc3\xa9"),
    (b"\xff", None, 0, b"\xc4\x01\xff"),
    (bytearray(b"\xff"), None, 0, b"\xd4\x0b\xff"),
    ([1, [2]], None, 0, b"\x92\x01\x91\x02"),
    ({"a": 1}, None, 0, b"\x81\xa1a\x01"),
    ({1: "a"}, None, 0, b"\x81\x01\xa1a"),
    ({(1, 2): None}, None, 0, b"\xd7\x0c\x92\xc7\x03\x02\x92\x01\x02\xc0"),
    ((1, "a"), None, 0, b"\xd6\x02\x92\x01\xa1a"),
    ({1, 2}, None, 0, b"\xc7\x03\x03\x92\x01\x02"),
    (frozenset({"a"}), None, 0, b"\xc7\x03\x04\x91\xa1a"),
    (dt.datetime(2024, 1, 2, 3, 4, 5, 6), None, 0, b"\xc7\x1a\x052024-01-02T03:04:05.000006"),  # noqa: DTZ001
    (dt.datetime(2024, 1, 2, fold=1), None, 0, b"\xc7\x14\x05~2024-01-02T00:00:00"),  # noqa: DTZ001
    (dt.datetime(2024, 1, 2, tzinfo=PLUS2), None, 0, b"\xc7\x19\x052024-01-02T00:00:00+02:00"),
    (dt.date(2024, 1, 2), None, 0, b"\xc7\n\x062024-01-02"),
    (dt.time(3, 4, 5), None, 0, b"\xd7\x0703:04:05"),
    (dt.timedelta(days=-1, seconds=2, microseconds=3), None, 0, b"\xd6\x08\x93\xff\x02\x03"),
    (
        UUID(int=7),
        None,
        0,
        b"\xd8\t\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07",
    ),
    (Decimal("1.50"), None, 0, b"\xd6\n1.50"),
    (Suit.HEARTS, None, 0, b"\xc7\x12\r\x92\xa9test.Suit\xa6HEARTS"),
    (Access.READ | Access.WRITE, None, 0, b"\xc7\x0e\r\x92\xabtest.Access\x03"),
    (Derived(1, 2), None, 0, b"\xc7\x15\x0e\x92\xactest.Derived\x82\xa1a\x01\xa1b\x02"),
    (
        Known((1,)),
        None,
        0,
        b"\xc7\x1a\x0e\x92\xaatest.Known\xc7\x0b\x0f\x81\xa5value\xd5\x02\x91\x01",
    ),
    (Pair(1, "x"), None, 0, b"\xc7\x0f\x0e\x92\xa9test.Pair\x92\x01\xa1x"),
    (Email("a@b"), None, 0, b"\xd8\x0e\x92\xaatest.Email\xa3a@b"),
    (Bag(a=1), None, 0, b"\xc7\x0e\x0e\x92\xa8test.Bag\x81\xa1a\x01"),
    (Cat(9), None, 0, b"\xc7\x1b\x0e\x92\xa8test.Cat\x82\xa4type\xa3Cat\xa5lives\t"),
    (Car(4), None, 0, b"\xc7\x1a\x0e\x92\xa8test.Car\x82\xa5doors\x90\xa6wheels\x04"),
    (
        Person(name="A"),
        None,
        0,
        b"\xc7!\x0e\x92\xabtest.Person\x83\xa4name\xa1A\xa4home\xc0\xa4site\xc0",
    ),
    (Point(1, 2), Point, 3974549819889516706, b"\x82\xa1x\x01\xa1y\x02"),
    (
        Point(2**70),
        Point,
        3974549819889516706,
        b"\xc7\x12\x0f\x82\xa1x\xc7\t\x01@\x00\x00\x00\x00\x00\x00\x00\x00\xa1y\x00",
    ),
    (
        [Dog(1.5)],
        list[Cat | Dog],
        8586454794982377904,
        b"\x91\x82\xa4type\xa3Dog\xaabarkVolume\xcb?\xf8\x00\x00\x00\x00\x00\x00",
    ),
    (Person(name="A"), Person, 17125594317703200932, b"\x83\xa4name\xa1A\xa4home\xc0\xa4site\xc0"),
    (
        dt.datetime(2024, 1, 2, tzinfo=PLUS2),
        dt.datetime,
        0,
        b"\xc7\x19\x052024-01-02T00:00:00+02:00",
    ),
]
JSON = [
    ([None, True, 1, 1.5, "é", {"a": []}], None, 0, b'[null,true,1,1.5,"\xc3\xa9",{"a":[]}]'),
    (2**70, None, 0, b"1180591620717411303424"),
    (Point(1, 2), Point, 3974549819889516706, b'{"x":1,"y":2}'),
    ([Dog(1.5)], list[Cat | Dog], 8586454794982377904, b'[{"type":"Dog","barkVolume":1.5}]'),
    (Person(name="A"), Person, 17125594317703200932, b'{"name":"A","home":null,"site":null}'),
    (
        dt.datetime(2024, 1, 2, tzinfo=PLUS2),
        dt.datetime,
        14443355725623679855,
        b'"2024-01-02T00:00:00+02:00"',
    ),
    ((1, 2), tuple[int, int], 14449701965630848114, b"[1,2]"),
    ({1: b"\xff"}, dict[int, bytes], 4169143757674555710, b'{"1":"/w=="}'),
    (UUID(int=7), UUID, 13948235048801951358, b'"00000000-0000-0000-0000-000000000007"'),
]


@pytest.mark.parametrize(("value", "as_type", "type_id", "payload"), MSGPACK)
def test_msgpack(value: Any, as_type: Any, type_id: int, payload: bytes) -> None:
    codec = MessagePackCodec()
    assert same(codec.decode(payload, type_id, as_type), value)
    assert codec.encode(value, as_type) == (payload, type_id)


@pytest.mark.parametrize(("value", "as_type", "type_id", "payload"), JSON)
def test_json(value: Any, as_type: Any, type_id: int, payload: bytes) -> None:
    codec = JsonCodec()
    assert same(codec.decode(payload, type_id, as_type), value)
    assert codec.encode(value, as_type) == (payload, type_id)


def test_codes_and_names() -> None:
    assert (MessagePackCodec.code, MessagePackCodec.name) == (1, "msgpack")
    assert (JsonCodec.code, JsonCodec.name) == (2, "json")
