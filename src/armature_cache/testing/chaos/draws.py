"""Draws that depend on a seed and on what is asked for, not on who asks first."""

from __future__ import annotations

import hashlib
import threading
from typing import Final, NamedTuple

_PART: Final = 6
_RANGE: Final = 256.0**_PART


class Draw(NamedTuple):
    """Numbers from 0 to below 1, each for one question."""

    delay: float
    seconds: float
    hang: float
    fail: float
    late: float
    slow: float
    error: float
    lose: float
    corrupt: float
    place: float


class Draws:
    """The draws of one seed.

    The n-th draw for a name is the same in every run, process and interleaving; how many there
    were is counted for each name apart.
    """

    def __init__(self, seed: int | str) -> None:
        self._key = hashlib.blake2b(repr(seed).encode(), digest_size=32).digest()
        self._counts: dict[bytes, int] = {}
        self._lock = threading.Lock()

    def next(self, *names: str) -> Draw:
        """The next draw for these names taken together."""
        name = b"\0".join(each.encode("utf-8", "surrogatepass") for each in names)
        mark = hashlib.blake2b(name, digest_size=16, key=self._key).digest()
        with self._lock:
            number = self._counts[mark] = self._counts.get(mark, 0) + 1
        size = _PART * len(Draw._fields)
        raw = hashlib.blake2b(
            mark + number.to_bytes(8, "big"), digest_size=size, key=self._key
        ).digest()
        parts = (raw[at : at + _PART] for at in range(0, size, _PART))
        return Draw(*(int.from_bytes(part, "big") / _RANGE for part in parts))
