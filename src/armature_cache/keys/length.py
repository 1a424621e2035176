"""Keys that are too long end in a digest."""

from __future__ import annotations

import hashlib
from typing import Final

MAX_KEY_CHARS: Final = 512
"""Longer keys are shortened to their beginning and a digest."""

_SHOWN: Final = 120
_MARK: Final = "#blake2b:"


def shortened(key: str) -> str:
    """The key, or its beginning and digest if it is too long or looks like such a key."""
    if len(key) <= MAX_KEY_CHARS and _MARK not in key:
        return key
    digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=20).hexdigest()
    return f"{key[:_SHOWN]}{_MARK}{digest}"


def is_shortened(key: str) -> bool:
    """Whether a key ends in a digest."""
    return _MARK in key
