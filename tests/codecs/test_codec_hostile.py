"""Bytes from elsewhere never raise anything but `UndecodablePayload`."""

from __future__ import annotations

import datetime as dt
from typing import Any

import codec_shapes
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.msgpack import Ext, encode

from armature_cache.codecs.json import JsonCodec
from armature_cache.codecs.msgpack import MessagePackCodec
from armature_cache.errors import UndecodablePayload

CODECS: list[Any] = [MessagePackCodec(), JsonCodec()]
MSGPACK = CODECS[0]
SETTINGS = settings(max_examples=150, deadline=None, derandomize=True, database=None)
TYPES: list[Any] = [
    None,
    str,
    dict,
    codec_shapes.Point,
    list[codec_shapes.Person],
    codec_shapes.Household,
    set[int],
]
TYPES += [dict[str, Any], codec_shapes.Email, dt.datetime, codec_shapes.Base | codec_shapes.Point]

SAMPLE = {
    "a": [1, (2, {3}), frozenset({b"x"}), 2**70, dt.timedelta(1), bytearray(b"y")],
    "b": codec_shapes.Known(codec_shapes.Derived(1)),
    (1, 2): [codec_shapes.Suit.HEARTS, dt.datetime(2024, 1, 1, tzinfo=dt.timezone.utc)],  # noqa: UP017
}
PAYLOADS = [
    MSGPACK.encode(SAMPLE).payload,
    MSGPACK.encode(
        codec_shapes.Household(codec_shapes.Person(name="x"), []), codec_shapes.Household
    ).payload,
    MSGPACK.encode(codec_shapes.Point(2**70), codec_shapes.Point).payload,
    CODECS[1].encode([codec_shapes.Person(name="x")], list[codec_shapes.Person]).payload,
]


def attempt(payload: bytes) -> None:
    for codec in CODECS:
        for as_type in TYPES:
            for type_id in (0, 1, codec.type_id(codec_shapes.Household)):
                try:
                    codec.decode(payload, type_id, as_type)
                except UndecodablePayload:
                    continue


@SETTINGS
@given(st.binary(max_size=60))
def test_random_bytes(payload: bytes) -> None:
    attempt(payload)


@SETTINGS
@given(st.integers(-128, 127), st.binary(max_size=40))
def test_random_extensions(code: int, data: bytes) -> None:
    attempt(encode(Ext(code, data)))
    attempt(encode({"meta": [Ext(code, data)]}))


@pytest.mark.parametrize("payload", PAYLOADS, ids=range(len(PAYLOADS)))
def test_truncations(payload: bytes) -> None:
    for size in range(len(payload)):
        attempt(payload[:size])


@SETTINGS
@given(st.sampled_from(PAYLOADS), st.integers(0, 10**6))
def test_bit_flips(payload: bytes, where: int) -> None:
    byte, bit = divmod(where % (len(payload) * 8), 8)
    flipped = bytearray(payload)
    flipped[byte] ^= 1 << bit
    attempt(bytes(flipped))


def nested_extension(code: int, depth: int) -> bytes:
    payload = b"\xc0"
    for _ in range(depth):
        payload = encode(Ext(code, b"\x91" + payload))
    return payload


HOSTILE = [
    b"",
    b"\x91" * 100_000 + b"\xc0",
    b"\x81\xa1a" * 100_000 + b"\xc0",
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b"\xdd\xff\xff\xff\xff\x01",
    b"\xdf\xff\xff\xff\xff\x01",
    b"\xc6\xff\xff\xff\xff\x01",
    b"\xc1",
    b"\x01\x01",
    nested_extension(2, 3000),
    encode(Ext(15, nested_extension(2, 3000))),
    encode(Ext(14, encode(["os.system", "rm"]))),
    encode(Ext(14, encode(["builtins.int", 1]))),
    encode(Ext(13, encode(["test.Derived", "a"]))),
    encode(Ext(13, encode(["test.Suit", "NO"]))),
    encode(Ext(10, b"sNaNx")),
    encode(Ext(3, encode([[1]]))),
    encode(Ext(3, encode([Ext(10, b"sNaN")]))),
    encode(Ext(12, encode([1]))),
    encode(Ext(99, b"")),
]


@pytest.mark.parametrize("payload", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("as_type", [None, dict, codec_shapes.Point, list[Any], dict[str, Any]])
def test_hostile(payload: bytes, as_type: Any) -> None:
    for codec in CODECS:
        for type_id in (0, codec.type_id(codec_shapes.Point)):
            with pytest.raises(UndecodablePayload):
                codec.decode(payload, type_id, as_type)


def test_unknown_ids_and_names_say_what_to_do() -> None:
    with pytest.raises(UndecodablePayload, match=r"no type with the id .*register_type"):
        MSGPACK.decode(b"\xc0", 99)
    with pytest.raises(UndecodablePayload) as caught:
        MSGPACK.decode(encode(Ext(14, encode(["os.system", "x"]))), 0)
    assert "os.system" not in str(caught.value)


def test_a_constructor_that_fails() -> None:
    encoded = MSGPACK.encode(codec_shapes.Person(name="x"), codec_shapes.Person)
    with pytest.raises(UndecodablePayload):
        MSGPACK.decode(b"\x80", encoded.type_id, codec_shapes.Person)
