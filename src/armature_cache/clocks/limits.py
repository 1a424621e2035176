"""How much the clock of a shared store remembers, and how much of it passes at a time."""

from __future__ import annotations

from typing import Final

MAX_SHARED_TAGS: Final = 1_000_000
MAX_SHARED_KEYS: Final = 100_000
KEY_MEMORY: Final = 600.0
"""Seconds for which the key clock remembers."""
DELTA_LIMIT: Final = 20_000
"""Members that a delta has at most; who is further behind starts from the newest."""
BACKFILL: Final = 5000
"""Tags that a process which starts cold takes over."""
ATTEMPTS: Final = 4
"""How often an operation is tried with a clock that is lost again and again."""
CHUNK: Final = 1000
"""Tags, and keys, of one step of an invalidation; values of one step of a batch."""
EPOCH_NONCES: Final = 1 << 20
"""How many epochs differ in their random bits alone."""


def load_micros(max_load_time: float) -> int:
    """For how long, in µs, a fill may come after its load has begun, and more."""
    return int(max_load_time * 2_000_000)


def tombstone_life(max_load_time: float) -> int:
    """How long a tombstone stays, in ms."""
    return int(max_load_time * 2000)
