"""What is around an entry: these bytes in every release, and nothing that is damaged."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from armature_cache.memcachedio import frame
from armature_cache.memcachedio.frame import Frame

GOLDEN = Frame((b"0123456789abcdef", b"fedcba9876543210"), "ein schlüssel", 61, b"the entry")
PACKED = bytes.fromhex(
    "414d01000002000e0000003dff27b079303132333435363738396162636465666665646362613938373635343332"
    "3130"
    "65696e207363686cc3bc7373656c74686520656e747279"
)


def test_these_bytes_stay_readable() -> None:
    assert frame.build(GOLDEN) == PACKED
    parsed = frame.parse(PACKED)
    assert parsed is not None
    assert parsed._replace(entry=bytes(parsed.entry)) == GOLDEN
    plain = Frame((b"0" * 16,), "", 0, b"")
    again = frame.parse(frame.build(plain))
    assert again is not None
    assert again._replace(entry=bytes(again.entry)) == plain


@given(st.integers(0, 75), st.integers(1, 255))
def test_damage_is_no_frame(at: int, change: int) -> None:
    packed = bytearray(frame.build(GOLDEN))
    head = len(packed) - len(GOLDEN.entry)
    packed[at % head] ^= change
    assert frame.parse(bytes(packed)) is None


@given(st.binary(max_size=200))
def test_anything_is_a_frame_or_none(raw: bytes) -> None:
    for each in (raw, b"AM\x01\0" + raw):
        parsed = frame.parse(each)
        assert parsed is None or frame.build(parsed) == each


def test_a_frame_that_is_cut_off_is_none() -> None:
    packed = frame.build(GOLDEN)
    head = len(packed) - len(GOLDEN.entry)
    assert all(frame.parse(packed[:size]) is None for size in range(head))


def test_later_versions_are_told_from_garbage() -> None:
    packed = bytearray(frame.build(GOLDEN))
    assert not frame.is_later(bytes(packed))
    packed[2] = 2
    assert frame.is_later(bytes(packed))
    assert not frame.is_later(b"AM\x09")
    assert not frame.is_later(b"")
