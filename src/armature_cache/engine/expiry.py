"""When entries die: a hierarchical timer wheel over slots.

After G. Varghese and A. Lauck, "Hashed and Hierarchical Timing Wheels" (SOSP 1987), as Caffeine
applies it to caches: a deadline goes to a bucket whose width grows with its distance, and falls to
finer buckets as it comes nearer. Each slot is moved at most once a level, so the cost is amortised
O(1), and a large bucket is poured out a few slots at a time.
"""

from __future__ import annotations

import heapq
import math

from armature_cache.engine.chains import Chains
from armature_cache.entry import Entry

_TICKS_PER_SECOND = 16
_BITS = 6
_SPAN = 1 << _BITS
_MASK = _SPAN - 1
_LEVELS = 5
_TOP = _LEVELS - 1
_POURING = _LEVELS * _SPAN
_FURTHEST = 1 << (_BITS * _LEVELS + 20)

HEADS = _POURING + 1
"""How many list heads the wheel needs: slots are numbered from here on."""


def _tick(when: float) -> int:
    ticks = when * _TICKS_PER_SECOND
    return math.floor(ticks) if -math.inf < ticks < math.inf else _FURTHEST


class TimerWheel:
    """Finds the slots whose entries have died, without looking at the living.

    `due` is a heap of `(dead_at, slot)` for the tick that is under way; an item that no longer
    matches its slot is skipped, so removal need not search for it. `pouring` are the slots of
    coarse buckets that the cursor has reached and that were not yet sorted into finer ones.
    """

    __slots__ = ("_chains", "_cursor", "_due", "_entries", "_filled", "_scheduled")

    def __init__(self, entries: list[Entry | None]) -> None:
        self._entries = entries
        self._chains = Chains(HEADS)
        self._due: list[tuple[float, int]] = []
        self._filled = [0] * _LEVELS
        self._cursor = 0
        self._scheduled = 0

    def grow(self) -> None:
        """Make room for one more slot."""
        self._chains.grow()

    def clear(self) -> None:
        """Forget all slots."""
        self._chains.clear()
        self._due.clear()
        self._filled = [0] * _LEVELS
        self._scheduled = 0

    def start(self, now: float) -> None:
        """Set the wheel to the present when it is empty, so that it need not turn to get there."""
        if not self._scheduled:
            self._due.clear()
            self._filled = [0] * _LEVELS
            self._cursor = _tick(now)

    def schedule(self, slot: int, dead_at: float) -> None:
        """Note when the entry in a slot dies; the slot must not be scheduled yet."""
        if dead_at == math.inf:
            return
        self._scheduled += 1
        self._sort_in(slot, dead_at)

    def cancel(self, slot: int, dead_at: float) -> None:
        """Forget a slot that was scheduled for `dead_at`."""
        if dead_at == math.inf:
            return
        self._scheduled -= 1
        self._chains.unlink(slot)
        if len(self._due) > 64 + 2 * self._scheduled:
            self._due = list({item for item in self._due if self._holds(item)})
            heapq.heapify(self._due)

    def _sort_in(self, slot: int, dead_at: float) -> None:
        tick = _tick(dead_at)
        cursor = self._cursor
        if tick <= cursor:
            heapq.heappush(self._due, (dead_at, slot))
            return
        for level in range(_LEVELS):
            shift = level * _BITS
            if (tick >> shift) - (cursor >> shift) < _SPAN:
                bucket = (tick >> shift) & _MASK
                break
        else:
            level, bucket = _TOP, ((cursor >> (_TOP * _BITS)) - 1) & _MASK
        self._filled[level] |= 1 << bucket
        self._chains.append(level * _SPAN + bucket, slot)

    def _holds(self, item: tuple[float, int]) -> bool:
        dead_at, slot = item
        entry = self._entries[slot] if slot < len(self._entries) else None
        return entry is not None and entry.dead_at == dead_at

    def turn(self, now: float) -> None:
        """Advance the cursor; the buckets that it passes or enters are to be poured out."""
        old, new = self._cursor, _tick(now)
        if new <= old:
            return
        self._cursor = new
        for level in range(_LEVELS):
            first, last = old >> (level * _BITS), new >> (level * _BITS)
            if first == last:
                break
            if self._filled[level]:
                self._pour(level, first + 1, min(last, first + _SPAN))

    def _pour(self, level: int, first: int, last: int) -> None:
        for number in range(first, last + 1):
            bucket = number & _MASK
            if self._filled[level] >> bucket & 1:
                self._filled[level] &= ~(1 << bucket)
                self._chains.splice(level * _SPAN + bucket, _POURING)

    def pop(self, now: float, effort: int) -> int | None:
        """A slot whose entry is dead at `now`, or None if none was found with this effort.

        The caller removes the entry, which cancels the slot.
        """
        self._settle(effort)
        due = self._due
        while due and due[0][0] <= now:
            item = heapq.heappop(due)
            if self._holds(item):
                return item[1]
        return None

    def _settle(self, effort: int) -> None:
        chains, entries = self._chains, self._entries
        following = chains.next
        for _ in range(effort):
            slot = following[_POURING]
            if slot == _POURING:
                return
            chains.unlink(slot)
            entry = entries[slot]
            if entry is not None:
                self._sort_in(slot, entry.dead_at)

    def earliest(self) -> float:
        """A time before which no scheduled entry dies."""
        if not self._scheduled:
            return math.inf
        if self._chains.next[_POURING] != _POURING:
            return -math.inf
        bound = self._due[0][0] if self._due else math.inf
        for level in range(_LEVELS):
            filled = self._filled[level]
            if filled:
                bound = min(bound, self._start_of_next(level, filled) / _TICKS_PER_SECOND)
        return bound

    def _start_of_next(self, level: int, filled: int) -> int:
        at = self._cursor >> (level * _BITS)
        turn = (at + 1) & _MASK
        ahead = (filled >> turn) | (filled << (_SPAN - turn))
        return (at + (ahead & -ahead).bit_length()) << (level * _BITS)
