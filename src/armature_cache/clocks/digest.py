"""Digests: the 8 bytes that stand for a tag or a key in the clocks."""

from __future__ import annotations

import functools
import hashlib


@functools.lru_cache(maxsize=32_768)
def digest(name: str) -> bytes:
    """The digest of a tag or key. Two names of one digest are only invalidated together."""
    raw = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return raw if raw[0] else b"\x01" + raw[1:]
