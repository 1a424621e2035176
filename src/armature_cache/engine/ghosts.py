"""Memory of keys that were evicted, without the keys."""

from __future__ import annotations

from array import array

_WAYS = 4
STAMP = (1 << 32) - 1
"""Evictions are numbered modulo 2**32."""

_QUEUE_BIT = 32
_TAG_SHIFT = 33
_TAG_MASK = (1 << 31) - 1
_INDEX_SHIFT = 16
_FEWEST_SETS = 8


class Ghosts:
    """Recently evicted keys: from which of two queues, and how many evictions of that queue ago.

    A ghost is one 64-bit word (a 31-bit tag of the key's hash, the queue, the number of the
    eviction) in a four-way associative table; the oldest of a set makes way. There is room for
    1.6 to 2 ghosts a resident, 13 to 16 bytes. The table is made anew, empty, when the number of
    residents outgrows it, which happens while the cache fills and nothing is evicted. `counts`
    are the evictions from each queue so far.
    """

    __slots__ = ("_most", "_sets", "_words", "counts")

    def __init__(self) -> None:
        self.counts = [0, 0]
        self._allot(0)

    def _allot(self, residents: int) -> None:
        self._most = residents + residents // 4
        self._sets = self._most * 2 // 5 + _FEWEST_SETS if residents else 0
        self._words = array("Q", bytes(8 * _WAYS * self._sets))

    def clear(self) -> None:
        """Forget all."""
        self._allot(0)

    def __len__(self) -> int:
        return len(self._words)

    def remember(self, known: int, queue: int, residents: int) -> None:
        """A key of this hash was evicted from a queue (0 or 1)."""
        if residents > self._most:
            self._allot(residents)
        count = self.counts[queue] = self.counts[queue] + 1
        first = (known >> _INDEX_SHIFT) % self._sets * _WAYS
        words = self._words
        words[first + 1 : first + _WAYS] = words[first : first + _WAYS - 1]
        tag = known >> _TAG_SHIFT & _TAG_MASK
        words[first] = tag << _TAG_SHIFT | queue << _QUEUE_BIT | count & STAMP

    def recall(self, known: int) -> tuple[int, int] | None:
        """The queue and the age of the ghost of this hash, which is then forgotten."""
        if not self._sets:
            return None
        first = (known >> _INDEX_SHIFT) % self._sets * _WAYS
        tag = known >> _TAG_SHIFT & _TAG_MASK
        for index in range(first, first + _WAYS):
            word = self._words[index]
            if word >> _TAG_SHIFT == tag and word:
                self._words[index] = 0
                queue = word >> _QUEUE_BIT & 1
                return queue, self.counts[queue] - word & STAMP
        return None
