"""Access traces, as lists of keys."""

from __future__ import annotations

import array
import bisect
import itertools
import lzma
import random
import sys
from pathlib import Path

SYNTHETIC = ("loop", "scan", "zipf", "recency")


def read(path: Path, limit: int | None) -> list[str]:
    """The first accesses of an xz file of big-endian 32-bit numbers, as `type:id:index`."""
    with lzma.open(path) as file:
        numbers = array.array("I", file.read(-1 if limit is None else 4 * limit))
    if sys.byteorder == "little":
        numbers.byteswap()
    names: dict[int, str] = {}
    return [names.get(number) or names.setdefault(number, _name(number)) for number in numbers]


def _name(number: int) -> str:
    return f"{number >> 27}:{number >> 9 & 0x3FFFF}:{number & 0x1FF}"


def synthesise(kind: str, capacity: int) -> list[str]:
    """A made-up trace whose shape is relative to the capacity; the same at each call."""
    draw = random.Random(kind)
    return [f"k{number}" for number in globals()[f"_{kind}"](capacity, draw)]


def _loop(capacity: int, _draw: random.Random) -> list[int]:
    return list(range(capacity * 3 // 2)) * 40


def _zipf(capacity: int, draw: random.Random) -> list[int]:
    population = capacity * 10
    sums = list(itertools.accumulate(1 / (rank + 1) ** 0.9 for rank in range(population)))
    return [bisect.bisect_left(sums, draw.random() * sums[-1]) for _ in range(capacity * 100)]


def _scan(capacity: int, draw: random.Random) -> list[int]:
    accesses = _zipf(capacity, draw)
    fresh = itertools.count(capacity * 10)
    for start in range(0, len(accesses), capacity * 10):
        accesses[start:start] = itertools.islice(fresh, capacity * 3)
    return accesses


def _recency(capacity: int, draw: random.Random) -> list[int]:
    stack: list[int] = []
    accesses = []
    for number in range(capacity * 60):
        distance = int(draw.expovariate(1 / (capacity * 0.8))) + 1
        fresh = distance > len(stack) or draw.random() < 0.1
        stack.append(number if fresh else stack.pop(-distance))
        accesses.append(stack[-1])
    return accesses
