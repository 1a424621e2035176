"""Which slot of a cluster a command belongs to."""

from __future__ import annotations

import binascii
from typing import Final

from armature_cache.redisio.port import Command

SLOTS: Final = 16_384
BUCKETS: Final = 256
_KEYLESS: Final = frozenset(("PING", "TIME", "INFO", "CLUSTER", "ASKING", "SCAN"))
_SCRIPTED: Final = frozenset(("EVALSHA", "EVAL"))


def crc16(text: str) -> int:
    """CRC-16/XMODEM, as Redis Cluster computes it."""
    return binascii.crc_hqx(text.encode(), 0)


def bucket_of(key: str) -> int:
    """The bucket of a key: what its value and index share a slot by."""
    return crc16(key) % BUCKETS


def slot_of(name: str) -> int:
    """The slot of a server key, by its hash tag if it has one."""
    start = name.find("{")
    if start >= 0:
        end = name.find("}", start + 1)
        if end > start + 1:
            name = name[start + 1 : end]
    return crc16(name) % SLOTS


def slot_of_command(command: Command) -> int | None:
    """The slot of a command's first key; None for a command without keys."""
    word = command[0]
    if word in _KEYLESS:
        return None
    key = command[3] if word in _SCRIPTED else command[1]
    return slot_of(key.decode() if isinstance(key, bytes) else str(key))
