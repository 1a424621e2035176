"""What is in the items of a clock on Memcached.

A tag's item has a hard nonce, a soft nonce, and the moment of the last soft invalidation, in ms of
the wall clock of who made it: 8 bytes each.
"""

from __future__ import annotations

import re
import secrets
import struct
from typing import TYPE_CHECKING, Final

from armature_cache import envelope
from armature_cache.clocks.nonces import Nonces
from armature_cache.memcachedio import frame, wire

if TYPE_CHECKING:
    from armature_cache.memcachedio.names import Place
    from armature_cache.memcachedio.wire import Command, Reply

TAG_LIFE: Final = 30 * 86_400
"""Seconds without a read after which Memcached forgets the nonces of a tag."""
_BOUND: Final = re.compile(rb"\d{1,18}")
_NONCES: Final = struct.Struct(">8s8sQ")


def pack_nonces(*, hard: bytes = b"", softened: int = 0) -> bytes:
    """The item of a tag with new nonces; given the hard one, only the soft one is new."""
    return _NONCES.pack(hard or secrets.token_bytes(8), secrets.token_bytes(8), softened)


def nonces_in(reply: Reply, since_wall: float) -> Nonces | None:
    """The nonces in an item, if it has some; `since_wall` is our time less that of the wall."""
    if reply.code != b"VA" or len(reply.value) != _NONCES.size:
        return None
    hard, soft, softened = _NONCES.unpack(reply.value)
    return Nonces(hard, soft, softened / 1000 + since_wall, reply.at)


def moment_of(wall: float) -> int:
    """A moment of the wall clock, in ms."""
    return max(0, int(wall * 1000))


def bound_in(reply: Reply) -> int:
    """The largest staleness bound that was declared, in µs."""
    return int(reply.value) if _BOUND.fullmatch(reply.value) else 0


def anew(place: Place, value: bytes, old: Reply, *, ttl: int = 0) -> Command:
    """Store an item that was lost, or is not what it should be, unless somebody else was faster."""
    if old.done:
        return wire.store(place.node, place.name, value, ttl=ttl, over=old.at)
    return wire.store(place.node, place.name, value, ttl=ttl, add=True)


def is_later(value: bytes) -> bool:
    """Whether a later release has stored it: its values are not replaced unread by loads."""
    framed = frame.parse(value)
    if framed is None:
        return frame.is_later(value)
    return (envelope.version_of(bytes(framed.entry[:4])) or 0) > envelope.VERSION
