"""Envelope v1: an entry as bytes in a shared store.

All integers are big-endian and at fixed offsets, so that a script on the server can read and
write the stamp (asof, epoch and their check) without touching the rest::

    0  magic 'AC'     2  version     3  flags
    4  asof           12 epoch       20 check of asof and epoch
    24 created        32 fresh_until 40 dead_at       server time, ms
    48 load cost, µs  52 codec       53 compressor    54 key id
    56 type id        64 bytes of tags                68 bytes of etag   70 reserved
    72 CRC-32 of key, flags, everything from 24 on (of a counter: without its payload)
    76 tags (each: 16-bit length, UTF-8), etag, seal, payload

The seal belongs to an encrypted or signed payload, and the flags tell its size. An unknown
version, a wrong check or any other damage makes `parse` return None: a miss.
"""

from __future__ import annotations

import dataclasses
import functools
import struct
from typing import Final, NamedTuple
from zlib import crc32

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
_SMALL: Final = 256
"""Bytes of tags up to which they are remembered: entries of a kind share them."""
_COPIED: Final = 2048
"""Bytes of an envelope below which a part of it is copied: a view of it takes longer to make."""


class Flag:
    """What is special about an entry, as bits; unknown ones make it a miss.

    Plain integers: an `IntFlag` would cost more than all the rest of reading a header.
    """

    TOMBSTONE: Final = 1
    COUNTER: Final = 2
    NO_EXPIRY: Final = 4
    COMPRESSED: Final = 8
    ENCRYPTED: Final = 16
    SIGNED: Final = 32
    SLIDING: Final = 64
    SWAPPED: Final = 128
    """Stored by compare-and-set on a cluster: the key clock has nothing to say of it."""


PROTECTED: Final = Flag.ENCRYPTED | Flag.SIGNED
PACKED: Final = Flag.COMPRESSED | PROTECTED
_SIMPLE: Final = Flag.TOMBSTONE | Flag.COUNTER | Flag.NO_EXPIRY | Flag.SLIDING | Flag.SWAPPED
_COUNTER: Final = Flag.COUNTER
_SEAL_SIZES: Final = {0: 0, Flag.ENCRYPTED: 28, Flag.SIGNED: 32}


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
    compression: int = 0
    key_id: int = 0
    seal: bytes = b""

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
    def swapped(self) -> bool:
        """Whether its key is judged by what stands in the store alone."""
        return bool(self.flags & Flag.SWAPPED)

    @property
    def stamp(self) -> tuple[int, int]:
        """`(epoch, asof)`: the order in which entries of one key replace one another."""
        return (self.epoch, self.asof)


def pack_stamp(asof: int, epoch: int) -> bytes:
    """The 20 bytes at offset 4."""
    return _STAMP.pack(asof, epoch, _check(asof, epoch))


def _check(asof: int, epoch: int) -> int:
    return (asof + 7 * epoch) % _PRIME


def read_stamp(raw: bytes) -> tuple[int, int] | None:
    """`(epoch, asof)` of an envelope of any version; None when there is none that is intact."""
    if len(raw) < BODY_AT or raw[:2] != MAGIC:
        return None
    asof, epoch, _ = _STAMP.unpack_from(raw, STAMP_AT)
    return (epoch, asof) if pack_stamp(asof, epoch) == raw[STAMP_AT:BODY_AT] else None


class Closed(NamedTuple):
    """An envelope in its parts, complete but for its stamp."""

    start: bytes
    rest: bytes
    payload: bytes | memoryview

    def stamped(self, asof: int, epoch: int) -> bytes:
        """The bytes of the envelope with this stamp."""
        return b"".join((self.start, pack_stamp(asof, epoch), self.rest, self.payload))


def version_of(raw: bytes) -> int | None:
    """The version of an envelope, from its first bytes; None for what is none."""
    return raw[2] if len(raw) > len(MAGIC) and raw[:2] == MAGIC else None


def foreign_stamp(raw: bytes) -> tuple[int, int] | None:
    """Epoch and asof of what a release with other envelopes has stored, from its first bytes.

    All versions have magic, version, the bit of tombstones and the stamp in the same places. None
    for what is none, of this version, or a tombstone.
    """
    version = version_of(raw)
    if version in {None, VERSION} or len(raw) < BODY_AT or raw[3] & Flag.TOMBSTONE:
        return None
    asof, epoch, _ = _STAMP.unpack_from(raw, STAMP_AT)
    return (epoch, asof) if raw[STAMP_AT:BODY_AT] == pack_stamp(asof, epoch) else None


def build(key: str, envelope: Envelope) -> bytes:
    """The bytes of an envelope that belongs to `key`."""
    return close(key, envelope).stamped(envelope.asof, envelope.epoch)


def close(key: str, envelope: Envelope) -> Closed:
    """An envelope that belongs to `key`, to be stamped; its payload is not copied."""
    start, body, named = _facts(envelope)
    crc = crc32(key.encode(), envelope.flags)
    for part in (body, named, envelope.seal, b"" if envelope.counter else envelope.payload):
        crc = crc32(part, crc)
    rest = b"".join((body, crc.to_bytes(4, "big"), named, envelope.seal))
    return Closed(start, rest, envelope.payload)


def facts(envelope: Envelope) -> bytes:
    """All that stays as it is while an entry is stored, but its seal and payload."""
    return b"".join(_facts(envelope))


def _facts(envelope: Envelope) -> tuple[bytes, bytes, bytes]:
    """What is before the stamp, what is between it and the checksum, and tags and etag."""
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
        envelope.compression,
        envelope.key_id,
        envelope.type_id,
        len(tags),
        len(etag),
        0,
        0,
    )
    return header[:STAMP_AT], header[BODY_AT:_CHECKSUM_AT], tags + etag


def parse(key: str, raw: bytes) -> Envelope | None:
    """The envelope in `raw`, if it is one of this version, intact, and belongs to `key`."""
    if len(raw) < HEADER_SIZE:
        return None
    (magic, version, flags, asof, epoch, check, created, fresh_until, dead_at, cost, codec,
     compression, key_id, type_id, tags_size, etag_size, spare,
     checksum) = HEADER.unpack_from(raw)  # fmt: skip
    if magic != MAGIC or version != VERSION or spare or check != (asof + 7 * epoch) % _PRIME:
        return None
    seal_size = _seal_size(flags, compression, key_id) if flags or compression or key_id else 0
    tags_end = HEADER_SIZE + tags_size
    seal_at = tags_end + etag_size
    payload_at = seal_at + seal_size
    if seal_size < 0 or payload_at > len(raw):
        return None
    whole = raw if len(raw) < _COPIED else memoryview(raw)
    covered = whole[HEADER_SIZE:payload_at] if flags & _COUNTER else whole[HEADER_SIZE:]
    crc = crc32(raw[BODY_AT:_CHECKSUM_AT], crc32(key.encode(), flags))
    if checksum != crc32(covered, crc):
        return None
    unpack = _known_tags if tags_size <= _SMALL else _unpack_tags
    names = unpack(raw[HEADER_SIZE:tags_end]) if tags_size else ()
    if names is None:
        return None
    etag = str(raw[tags_end:seal_at], "utf-8", "replace") if etag_size else ""
    return Envelope(asof, epoch, flags, created, fresh_until, dead_at, cost, codec, type_id, names,
                    etag, whole[payload_at:], compression, key_id,
                    raw[seal_at:payload_at])  # fmt: skip


def _seal_size(flags: int, compression: int, key_id: int) -> int:
    """The size of the seal; -1 for what cannot be, and for flags of later versions."""
    if not flags & ~_SIMPLE:
        return -1 if compression or key_id else 0
    protection = flags & PROTECTED
    if (
        flags & ~(_SIMPLE | PACKED)
        or flags & (Flag.COUNTER | Flag.TOMBSTONE)
        or bool(flags & Flag.COMPRESSED) != bool(compression)
        or bool(protection) != bool(key_id)
    ):
        return -1
    return _SEAL_SIZES.get(protection, -1)


def head_size(raw: bytes) -> int:
    """How many bytes header and tags have together, by what the header says."""
    return HEADER_SIZE + int.from_bytes(raw[64:68], "big")


def parse_head(raw: bytes) -> Envelope | None:
    """Everything but the payload, from the first bytes of an envelope; its CRC is not checked."""
    if len(raw) < HEADER_SIZE or len(raw) < head_size(raw):
        return None
    (magic, version, flags, asof, epoch, _, created, fresh_until, dead_at, cost, codec, compression,
     key_id, type_id, size, _, _, _) = HEADER.unpack_from(raw)  # fmt: skip
    names = _unpack_tags(raw[HEADER_SIZE : HEADER_SIZE + size])
    intact = raw[STAMP_AT:BODY_AT] == pack_stamp(asof, epoch)
    known = magic == MAGIC and version == VERSION and _seal_size(flags, compression, key_id) >= 0
    if not known or names is None or not intact:
        return None
    return Envelope(asof, epoch, flags, created, fresh_until, dead_at, cost, codec, type_id, names,
                    compression=compression, key_id=key_id)  # fmt: skip


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
    at, end = 0, len(raw)
    try:
        while at < end:
            start = at + 2
            at = start + (raw[at] << 8 | raw[at + 1])
            names.append(raw[start:at].decode())
    except (IndexError, UnicodeDecodeError):
        return None
    return tuple(names) if at == end else None


_known_tags = functools.lru_cache(maxsize=8192)(_unpack_tags)
