"""Which entry leaves when the cache is full: S3-FIFO with a window that adapts.

Two FIFO queues and ghosts, after J. Yang et al., "FIFO Queues are All You Need for Cache Eviction"
(SOSP 2023): what is new goes to the window; from there to the main queue if it was visited often
enough, else out, leaving a ghost; what returns while its ghost is remembered goes straight to the
main queue, which is a clock (F. J. Corbato, "A Paging Experiment with the Multics System", 1968)
with a few lives an entry. So a hit need only be counted on the entry. Two things are added.

A ghost is admitted to the main queue only if it returned sooner than the oldest entry there has
waited for its next look, as LIRS compares the reuse distance of the one with the recency of the
other (S. Jiang and X. Zhang, SIGMETRICS 2002). Both are counted in evictions from the window. So in
a loop longer than the cache the main queue keeps what it has instead of exchanging it for its like.

The share of the window is not fixed at 10 %. Recency-friendly loads want a large one, loops, scans
and steady popularity a small one. As in ARC (N. Megiddo and D. Modha, FAST 2003), ghosts tell: a
return soon after leaving the window would have been a hit with a window a little larger, a return
soon after leaving the main queue one with a main queue a little larger. Each moves the border by
one entry; it rests where both queues gain alike. Only marginal ghosts count, those among the last
few evictions of their queue, so that a loop longer than the cache does not draw the window open.
"""

from __future__ import annotations

from array import array

from armature_cache.engine.chains import Chains
from armature_cache.engine.expiry import HEADS
from armature_cache.engine.ghosts import STAMP, Ghosts
from armature_cache.entry import Entry

WINDOW = 0
MAIN = 1

_FIRST_SHARE = 0.1
_LEAST_SHARE = 0.02
_GREATEST_SHARE = 0.9
_MARGIN = 0.08
_PROMOTION = 2
_MOST_LIVES = 5
_MOST_STEPS = 32


class Policy:
    """Orders the slots of one shard; it knows entries only by key and `visits`."""

    __slots__ = ("_chains", "_entries", "_ghosts", "_queue_of", "_since", "_sizes", "share")

    def __init__(self, entries: list[Entry | None]) -> None:
        self._entries = entries
        self._chains = Chains(HEADS)
        self._queue_of = bytearray(HEADS)
        self._since = array("I", bytes(4 * HEADS))
        self._ghosts = Ghosts()
        self._sizes = [0, 0]
        self.share = _FIRST_SHARE

    def __len__(self) -> int:
        return self._sizes[WINDOW] + self._sizes[MAIN]

    def grow(self) -> None:
        """Make room for one more slot."""
        self._chains.grow()
        self._queue_of.append(WINDOW)
        self._since.append(0)

    def clear(self) -> None:
        """Forget all slots and ghosts."""
        self._chains.clear()
        self._queue_of = bytearray(HEADS)
        self._since = array("I", bytes(4 * HEADS))
        self._ghosts.clear()
        self._sizes = [0, 0]

    def add(self, slot: int, entry: Entry) -> None:
        """A new resident; while there is room, what the window has no share for goes on to main."""
        self.attach(slot, self._entrance(hash(entry.key)))
        if self._sizes[WINDOW] > 1.0 + self.share * len(self):
            oldest = self._chains.next[WINDOW]
            self._requeue(oldest, WINDOW)

    def attach(self, slot: int, queue: int) -> None:
        """Put a slot at the end of a queue."""
        self._queue_of[slot] = queue
        self._since[slot] = self._ghosts.counts[WINDOW] & STAMP
        self._sizes[queue] += 1
        self._chains.append(queue, slot)

    def detach(self, slot: int) -> int:
        """Take a slot out of its queue, which is returned."""
        queue = self._queue_of[slot]
        self._sizes[queue] -= 1
        self._chains.unlink(slot)
        return queue

    def victim(self) -> int:
        """The slot whose entry is to be evicted next; it stays in its queue until detached.

        After a bounded search the least visited of those seen will do.
        """
        residents = len(self)
        following, entries, sizes = self._chains.next, self._entries, self._sizes
        allowed = max(1.0, self.share * residents)
        least, spared = _MOST_LIVES, 0
        for _ in range(_MOST_STEPS):
            queue = WINDOW if sizes[WINDOW] >= allowed or not sizes[MAIN] else MAIN
            slot = following[queue]
            entry = entries[slot]
            visits = 0 if entry is None else entry.visits
            if visits < (_PROMOTION if queue == WINDOW else 1):
                return self._leave(slot, queue, residents)
            self._requeue(slot, queue)
            lives = 0 if queue == WINDOW else min(visits, _MOST_LIVES) - 1
            if entry is not None:
                entry.visits = lives
            if lives < least:
                least, spared = lives, slot
        return self._leave(spared, MAIN, residents)

    def _requeue(self, slot: int, queue: int) -> None:
        if queue == WINDOW:
            self._queue_of[slot] = MAIN
            self._sizes[WINDOW] -= 1
            self._sizes[MAIN] += 1
        self._since[slot] = self._ghosts.counts[WINDOW] & STAMP
        chains = self._chains
        chains.unlink(slot)
        chains.append(MAIN, slot)

    def _leave(self, slot: int, queue: int, residents: int) -> int:
        entry = self._entries[slot]
        if entry is not None:
            self._ghosts.remember(hash(entry.key), queue, residents)
        return slot

    def _entrance(self, known: int) -> int:
        ghost = self._ghosts.recall(known)
        if ghost is None:
            return WINDOW
        queue, age = ghost
        residents = len(self) + 1
        if age < max(1.0, _MARGIN * residents):
            step = 1.0 / residents
            share = self.share + (step if queue == WINDOW else -step)
            self.share = min(max(share, _LEAST_SHARE), _GREATEST_SHARE)
        return MAIN if queue == WINDOW and self._deserves_main(age) else WINDOW

    def _deserves_main(self, age: int) -> bool:
        if not self._sizes[MAIN]:
            return True
        oldest = self._chains.next[MAIN]
        waited = self._ghosts.counts[WINDOW] - self._since[oldest] & STAMP
        return age + self._sizes[WINDOW] < waited
