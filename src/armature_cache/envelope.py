"""Envelope v1: an entry as bytes in a shared store.

All integers are big-endian and at fixed offsets, so that a script on the server can read and
write the stamp (asof, epoch and their check) without touching the rest::

    0  magic 'AC'     2  version     3  flags
    4  asof           12 epoch       20 check of asof and epoch
    24 created        32 fresh_until 40 dead_at       server time, ms
    48 load cost, µs  52 codec       53 reserved      54 key id
    56 type id        64 bytes of tags                68 bytes of etag   70 reserved
    72 CRC-32 of key, flags, everything from 24 on (of a counter: without its payload)
    76 tags (each: 16-bit length, UTF-8), etag, payload

An unknown version, a wrong check or any other damage makes `parse` return None: a miss.
"""

from __future__ import annotations

import dataclasses
import struct
import zlib
from typing import Final

MAGIC: Final = b"AC"
VERSION: Final = 1
HEADER: Final = struct.Struct(">2sBBQQIQQQIBBHQIHHI")
HEADER_SIZE: Final = HEADER.size
STAMP_AT: Final = 4
BODY_AT: Final = 24
_STAMP: Final = struct.Struct(">QQI")
_LENGTH: Final = struct.Struct(">H")
_PRIME: Final = 4_294_967_291
_CHECKSUM_AT: Final = HEADER_SIZE - 4


class Flag:
    """What is special about an entry, as bits; unknown ones make it a miss.

    Plain integers: an `IntFlag` would cost more than all the rest of reading a header.
    """

    TOMBSTONE: Final = 1
    COUNTER: Final = 2
    NO_EXPIRY: Final = 4
    SLIDING: Final = 64


_KNOWN: Final = Flag.TOMBSTONE | Flag.COUNTER | Flag.NO_EXPIRY | Flag.SLIDING


@dataclasses.dataclass(slots=True)
class Envelope:
    """The parts of an entry in a shared store; times in ms of the server, cost in µs.

    Where each read starts the lifetime anew, `dead_at` less `created` is how long it is, and the
    server's own expiry is when it ends.
    """

    asof: int
    epoch: int
    flags: int = 0
    created: int = 0
    fresh_until: int = 0
    dead_at: int = 0
    cost: int = 0
    codec: int = 0
    type_id: int = 0
    tags: tuple[str, ...] = ()
    etag: str = ""
    payload: bytes | memoryview = b""

    @property
    def tombstone(self) -> bool:
        """Whether it marks a deleted key."""
        return bool(self.flags & Flag.TOMBSTONE)

    @property
    def counter(self) -> bool:
        """Whether its payload is a decimal integer that `increment` changes on the server."""
        return bool(self.flags & Flag.COUNTER)

    @property
    def no_expiry(self) -> bool:
        """Whether its owner gave no lifetime."""
        return bool(self.flags & Flag.NO_EXPIRY)

    @property
    def sliding(self) -> bool:
        """Whether each read starts its lifetime anew."""
        return bool(self.flags & Flag.SLIDING)

    @property
    def stamp(self) -> tuple[int, int]:
        """`(epoch, asof)`: the order in which entries of one key replace one another."""
        return (self.epoch, self.asof)


def pack_stamp(asof: int, epoch: int) -> bytes:
    """The 20 bytes at offset 4."""
    return _STAMP.pack(asof, epoch, (asof % _PRIME + 7 * (epoch % _PRIME)) % _PRIME)


def read_stamp(raw: bytes) -> tuple[int, int] | None:
    """`(epoch, asof)` of an envelope of any version; None when there is none that is intact."""
    if len(raw) < BODY_AT or raw[:2] != MAGIC:
        return None
    asof, epoch, _ = _STAMP.unpack_from(raw, STAMP_AT)
    return (epoch, asof) if pack_stamp(asof, epoch) == raw[STAMP_AT:BODY_AT] else None


def build(key: str, envelope: Envelope) -> bytes:
    """The bytes of an envelope that belongs to `key`."""
    tags = pack_tags(envelope.tags)
    etag = envelope.etag.encode()
    header = HEADER.pack(
        MAGIC,
        VERSION,
        envelope.flags,
        0,
        0,
        0,
        envelope.created,
        envelope.fresh_until,
        envelope.dead_at,
        min(envelope.cost, 0xFFFF_FFFF),
        envelope.codec,
        0,
        0,
        envelope.type_id,
        len(tags),
        len(etag),
        0,
        0,
    )
    body = header[BODY_AT:_CHECKSUM_AT]
    sealed = b"" if envelope.counter else envelope.payload
    checksum = _checksum(key, envelope.flags, body, tags + etag, sealed)
    return b"".join(
        (
            header[:STAMP_AT],
            pack_stamp(envelope.asof, envelope.epoch),
            body,
            checksum.to_bytes(4, "big"),
            tags,
            etag,
            envelope.payload,
        )
    )


def parse(key: str, raw: bytes) -> Envelope | None:
    """The envelope in `raw`, if it is one of this version, intact, and belongs to `key`."""
    if len(raw) < HEADER_SIZE:
        return None
    (magic, version, flags, asof, epoch, _, created, fresh_until, dead_at, cost, codec, extra,
     key_id, type_id, tags_size, etag_size, spare, checksum) = HEADER.unpack_from(raw)  # fmt: skip
    etag_at = HEADER_SIZE + tags_size
    payload_at = etag_at + etag_size
    unknown = version != VERSION or flags & ~_KNOWN or extra or key_id or spare
    if magic != MAGIC or unknown or payload_at > len(raw):
        return None
    if raw[STAMP_AT:BODY_AT] != pack_stamp(asof, epoch):
        return None
    named = raw[HEADER_SIZE:payload_at]
    payload = memoryview(raw)[payload_at:]
    sealed = b"" if flags & Flag.COUNTER else payload
    if checksum != _checksum(key, flags, raw[BODY_AT:_CHECKSUM_AT], named, sealed):
        return None
    names = _unpack_tags(named[:tags_size])
    if names is None:
        return None
    etag = str(named[tags_size:], "utf-8", "replace") if etag_size else ""
    return Envelope(asof, epoch, flags, created, fresh_until, dead_at, cost, codec, type_id,
                    names, etag, payload)  # fmt: skip


def head_size(raw: bytes) -> int:
    """How many bytes header and tags have together, by what the header says."""
    return HEADER_SIZE + int.from_bytes(raw[64:68], "big")


def parse_head(raw: bytes) -> Envelope | None:
    """Everything but the payload, from the first bytes of an envelope; its CRC is not checked."""
    if len(raw) < HEADER_SIZE or len(raw) < head_size(raw):
        return None
    (magic, version, flags, asof, epoch, _, created, fresh_until, dead_at, cost, codec, _,
     _, type_id, size, _, _, _) = HEADER.unpack_from(raw)  # fmt: skip
    names = _unpack_tags(raw[HEADER_SIZE : HEADER_SIZE + size])
    intact = raw[STAMP_AT:BODY_AT] == pack_stamp(asof, epoch)
    if magic != MAGIC or version != VERSION or flags & ~_KNOWN or names is None or not intact:
        return None
    return Envelope(asof, epoch, flags, created, fresh_until, dead_at, cost, codec, type_id, names)


def _checksum(key: str, flags: int, body: bytes, named: bytes, sealed: bytes | memoryview) -> int:
    crc = zlib.crc32(key.encode(), flags)
    return zlib.crc32(sealed, zlib.crc32(named, zlib.crc32(body, crc)))


def pack_tags(tags: tuple[str, ...]) -> bytes:
    """The tags as they stand in an envelope."""
    if not tags:
        return b""
    parts: list[bytes] = []
    for tag in tags:
        raw = tag.encode()
        parts += (_LENGTH.pack(len(raw)), raw)
    return b"".join(parts)


def _unpack_tags(raw: bytes) -> tuple[str, ...] | None:
    names = []
    at = 0
    try:
        while at < len(raw):
            (size,) = _LENGTH.unpack_from(raw, at)
            at += 2
            names.append(str(raw[at : at + size], "utf-8"))
            at += size
    except (struct.error, UnicodeDecodeError):
        return None
    return tuple(names) if at == len(raw) else None
