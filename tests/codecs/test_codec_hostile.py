"""Bytes from elsewhere never raise anything but `UndecodablePayload`."""

from __future__ import annotations

import contextlib
import datetime as dt
import sys
import tracemalloc
from typing import Any

import codec_shapes
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw
from msgspec.msgpack import Ext, encode

from armature_cache.codecs.json import JsonCodec
from armature_cache.codecs.msgpack import MessagePackCodec
from armature_cache.errors import UndecodablePayload, UnsupportedValue

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


# -- bounds: depth, counts, memory, time -----------------------------------------------------

COUNTS = [
    b"\xdd\x7f\xff\xff\xff\x01",
    b"\xdf\x7f\xff\xff\xff\x01",
    b"\xc6\x7f\xff\xff\xff\x01",
    b"\xdb\x7f\xff\xff\xff\x01",
    b"\xc9\x7f\xff\xff\xff\x02\x01",
    b"\xdd\x7f\xff\xff\xff" * 500,
    encode(Ext(2, b"\xdd\x7f\xff\xff\xff\x01")),
    encode(Ext(3, b"\xdd\x7f\xff\xff\xff\x01")),
    encode(Ext(12, b"\xdd\x7f\xff\xff\xff\x01")),
    encode(Ext(15, b"\xdf\x7f\xff\xff\xff\x01")),
]


def peak_of(decode: Any) -> int:
    tracemalloc.start()
    try:
        with contextlib.suppress(UndecodablePayload):
            decode()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("payload", COUNTS, ids=range(len(COUNTS)))
@pytest.mark.parametrize("as_type", [None, list[int], dict[str, int], set[int], bytes, str])
def test_nothing_is_allocated_for_what_is_only_announced(payload: bytes, as_type: Any) -> None:
    for codec in CODECS:
        codec.type_id(as_type or str)
        for type_id in (0, 1):
            assert peak_of(lambda: codec.decode(payload, type_id, as_type)) < 500_000  # noqa: B023


def packed(count: int, item: bytes) -> bytes:
    return b"\xdd" + count.to_bytes(4, "big") + item * count


SWARMS = [
    packed(50_000, b"\x90"),
    packed(50_000, b"\x80"),
    packed(20_000, encode(Ext(3, b"\x90"))),
    packed(20_000, encode(Ext(11, b"x"))),
    packed(20_000, encode(Ext(10, b"1"))),
    packed(20_000, encode(Ext(14, encode(["test.Known", {}])))),
    b"[" + b"[]," * 20_000 + b"[]]",
    b"[" + b"{}," * 20_000 + b"{}]",
]


@pytest.mark.parametrize("payload", SWARMS, ids=range(len(SWARMS)))
def test_a_payload_takes_at_most_a_hundred_times_its_size(payload: bytes) -> None:
    codec = CODECS[1] if payload[:1] == b"[" else MSGPACK
    assert peak_of(lambda: codec.decode(payload, 0)) < 100 * len(payload)


HASH = sys.hash_info.modulus


def of_one_hash(count: int) -> list[int]:
    """Different integers that all have the hash 1."""
    return [1 + HASH * number for number in range(count)]


@pytest.mark.parametrize("code", [3, 4, 12])
def test_members_of_one_hash_are_refused_in_numbers(code: int) -> None:
    few, many = of_one_hash(900), of_one_hash(5000)
    for numbers, accepted in ((few, True), (many, False)):
        members = [Raw(MSGPACK.encode(number).payload) for number in numbers]
        flat = [part for member in members for part in (member, 1)] if code == 12 else members
        payload = encode(Ext(code, encode(flat)))
        if accepted:
            assert len(MSGPACK.decode(payload, 0)) == len(numbers)
            continue
        with pytest.raises(UndecodablePayload):
            MSGPACK.decode(payload, 0)


def test_so_they_are_when_they_are_to_be_stored() -> None:
    numbers = of_one_hash(1500)
    for value in (set(numbers), frozenset(numbers), dict.fromkeys(numbers), [{"a": set(numbers)}]):
        with pytest.raises(UnsupportedValue, match="same hash"):
            MSGPACK.encode(value)
    honest = set(range(-5000, 5000)) | {float(number) + 0.5 for number in range(5000)}
    assert MSGPACK.decode(MSGPACK.encode(honest).payload, 0) == honest


@pytest.mark.parametrize("depth", [50, 120, 300, 900, 3000, 100_000])
@pytest.mark.parametrize(
    ("before", "after"),
    [(b"\x91", b""), (b"\x81\xa1a", b""), (b"[", b"]"), (b'{"a":', b"}")],
    ids=range(4),
)
def test_any_depth_decodes_or_is_refused(depth: int, before: bytes, after: bytes) -> None:
    codec = CODECS[1] if after else MSGPACK
    payload = before * depth + (b"1" if after else b"\x01") + after * depth
    for as_type in (None, list[Any], dict[str, Any], codec_shapes.Loose):
        for type_id in (0, 1):
            with contextlib.suppress(UndecodablePayload):
                codec.decode(payload, type_id, as_type)


@pytest.mark.parametrize("depth", [10, 100, 200, 1000])
def test_registered_classes_inside_one_another(depth: int) -> None:
    payload = encode(b"x" * 1_000_000)
    for _ in range(depth):
        body = encode({"value": Raw(payload)})
        payload = encode(Ext(14, encode(["test.Known", Raw(body)])))
    with contextlib.suppress(UndecodablePayload):
        value = MSGPACK.decode(payload, 0)
        for _ in range(depth):
            value = value.value
        assert value == b"x" * 1_000_000
