"""Which of several servers has a name: consistent hashing.

Each server has points on a ring, and a name belongs to the server of the next point. Only the names
of the servers decide where they are, not their order in a list; one more server takes over the
names of its points, and no others move. After D. Karger et al., "Consistent Hashing and Random
Trees" (STOC 1997).
"""

from __future__ import annotations

import bisect
import hashlib
from collections.abc import Sequence
from typing import Final

POINTS: Final = 160
"""Points of each server: with these, shares differ by less than a quarter."""


class Ring:
    """The places of some servers; `servers` are their names, whose positions stand for them."""

    def __init__(self, servers: Sequence[str]) -> None:
        points = sorted(
            (_place(f"{server}#{number}".encode()), server, index)
            for index, server in enumerate(servers)
            for number in range(POINTS if len(servers) > 1 else 1)
        )
        self._places = [place for place, _, _ in points]
        self._owners = [index for _, _, index in points]
        self._only = len(servers) == 1

    def owner(self, name: bytes) -> int:
        """The position of the server that has a name."""
        if self._only:
            return 0
        at = bisect.bisect(self._places, _place(name))
        return self._owners[at % len(self._owners)]


def _place(name: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "big")
