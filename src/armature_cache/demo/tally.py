"""What a worker counts, small enough to be sent and summed."""

from __future__ import annotations

import dataclasses
import enum
from collections import Counter
from typing import Final

_DIGITS: Final = 5


class Histogram:
    """Times in nanoseconds, in buckets of 1/16 of their size; the largest is exact."""

    def __init__(self) -> None:
        self.count = 0
        self.largest = 0
        self._buckets: Counter[int] = Counter()

    def add(self, time: int) -> None:
        """Count one time."""
        shift = max(0, time.bit_length() - _DIGITS)
        self.count += 1
        self._buckets[time >> shift << shift] += 1
        self.largest = max(self.largest, time)

    def merge(self, other: Histogram) -> None:
        """Add another's times."""
        self.count += other.count
        self._buckets.update(other._buckets)
        self.largest = max(self.largest, other.largest)

    def percentile(self, share: float) -> int:
        """The time that this share of all times does not exceed, to 1/16; 0 if there are none."""
        seen = 0
        for floor in sorted(self._buckets):
            seen += self._buckets[floor]
            if seen >= share * self.count:
                width = 1 << max(0, floor.bit_length() - _DIGITS)
                return min(floor + width - 1, self.largest)
        return self.largest


class Tier(enum.IntEnum):
    """Where a read found its value."""

    L1 = 0
    L2 = 1
    LOAD = 2


@dataclasses.dataclass(slots=True)
class Counts:
    """The numbers that the progress display shows."""

    operations: int = 0
    l1: int = 0
    l2: int = 0
    loads: int = 0
    invalidations: int = 0
    old: int = 0
    stale: int = 0
    unjudged: int = 0

    @property
    def reads(self) -> int:
        """All reads."""
        return self.l1 + self.l2 + self.loads

    def merge(self, other: Counts) -> None:
        """Add another's counts."""
        for field in dataclasses.fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))


@dataclasses.dataclass(slots=True)
class Tally:
    """All that one worker, or all of them together, counted in one run.

    `l2_hits` is the cache's own count: less than `counts.l2` by the reads that had to wait but
    were answered by L1 after a sync, or by another caller's load.
    """

    counts: Counts = dataclasses.field(default_factory=Counts)
    latency: tuple[Histogram, ...] = dataclasses.field(
        default_factory=lambda: tuple(Histogram() for _ in Tier)
    )
    age: Histogram = dataclasses.field(default_factory=Histogram)
    l2_hits: int = 0
    seconds: float = 0.0
    finished: bool = False

    def merge(self, other: Tally) -> None:
        """Add another's counts; the seconds passed side by side."""
        self.counts.merge(other.counts)
        for mine, theirs in zip(self.latency, other.latency, strict=True):
            mine.merge(theirs)
        self.age.merge(other.age)
        self.l2_hits += other.l2_hits
        self.seconds = max(self.seconds, other.seconds)
        self.finished = self.finished or other.finished
