"""What is around an entry on Memcached: nonces, its lifetime there, the key if that is needed.

All integers are big-endian::

    0  magic 'AM'     2  version     3  reserved
    4  number of nonces              6  bytes of the key, 0 where the item's name says it
    8  seconds of life that Memcached was given, 0 for none that it can tell
    12 CRC-32 of all up to the entry
    16 nonces (16 bytes each: of the root, then of each tag), key, entry

An unknown version, a wrong check or any other damage makes `parse` return None: a miss.
"""

from __future__ import annotations

import struct
import zlib
from typing import Final, NamedTuple

MARK: Final = 16
"""Bytes of the nonces of one tag."""
VALUE: Final = 1
"""The flags of an item with a value in it; those of what only holds a place are 0."""
_MAGIC: Final = b"AM"
_VERSION: Final = 1
_HEAD: Final = struct.Struct(">2sBBHHII")


class Frame(NamedTuple):
    """An entry on Memcached: its bytes, and those around them. `key` is '' where it is not said."""

    marks: tuple[bytes, ...]
    key: str
    life: int
    entry: memoryview | bytes


def build(frame: Frame) -> bytes:
    """The bytes of a frame."""
    key = frame.key.encode()
    rest = b"".join((*frame.marks, key))
    head = _HEAD.pack(_MAGIC, _VERSION, 0, len(frame.marks), len(key), frame.life, 0)
    check = zlib.crc32(rest, zlib.crc32(head))
    return b"".join((head[:12], check.to_bytes(4, "big"), rest, frame.entry))


def parse(raw: bytes) -> Frame | None:
    """The frame in what was stored, if it is an intact one of this version."""
    if len(raw) < _HEAD.size:
        return None
    magic, version, spare, count, size, life, check = _HEAD.unpack_from(raw)
    key_at = _HEAD.size + count * MARK
    entry_at = key_at + size
    if magic != _MAGIC or version != _VERSION or spare or entry_at > len(raw):
        return None
    head = raw[:12] + b"\0\0\0\0"
    if check != zlib.crc32(raw[_HEAD.size : entry_at], zlib.crc32(head)):
        return None
    try:
        key = raw[key_at:entry_at].decode()
    except UnicodeDecodeError:
        return None
    marks = tuple(raw[at : at + MARK] for at in range(_HEAD.size, key_at, MARK))
    return Frame(marks, key, life, memoryview(raw)[entry_at:])


def is_later(raw: bytes) -> bool:
    """Whether it is of a later version, which this one must not replace unread."""
    return len(raw) >= _HEAD.size and raw[:2] == _MAGIC and raw[2] > _VERSION
