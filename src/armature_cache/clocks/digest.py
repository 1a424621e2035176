"""Digests: the 8 bytes that stand for a tag or a key in the clocks, and marks made of them."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable
from typing import Final

_SIZE: Final = 8
_SOFTLY: Final = "\0\0"


@functools.lru_cache(maxsize=32_768)
def digest(name: str) -> bytes:
    """The digest of a tag or key. Two names of one digest are only invalidated together."""
    raw = hashlib.blake2b(name.encode(), digest_size=_SIZE).digest()
    return raw if raw[0] else b"\x01" + raw[1:]


def softly(tag: str) -> str:
    """The name under which a tag is invalidated softly; no tag of any namespace ends like this."""
    return tag + _SOFTLY


def hardly(name: str) -> str:
    """The tag in a name that may be that of a soft invalidation."""
    return name.removesuffix(_SOFTLY)


def mark_of(name: str) -> bytes:
    """What stands for an invalidation of a tag: its digest, or its soft mark."""
    tag = hardly(name)
    return digest(tag) if tag == name else soft_mark(tag)


def soft_mark(tag: str) -> bytes:
    """What stands for soft invalidations of a tag."""
    return digest(tag) + b"~"


def is_soft(mark: bytes) -> bool:
    """Whether it is a soft mark."""
    return len(mark) == _SIZE + 1


def marks_of(tags: Iterable[str]) -> list[bytes]:
    """The digest and the soft mark of each tag."""
    return [mark for tag in tags for mark in (digest(tag), soft_mark(tag))]
