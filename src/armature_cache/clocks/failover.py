"""What a process remembers for the case that its server is replaced by one that lags.

With `on_failover="replay"` each process keeps the invalidations that were acknowledged to it. A
promoted server that goes on with the clock of the lost one inherits what was stored up to the
last sequence that it knew, once every writer has sent again what came after that.
"""

from __future__ import annotations

import math
import secrets
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from armature_cache.redisio.scripts.parts import ENROLLED

if TYPE_CHECKING:
    from armature_cache.clocks.heritage import Heritage

WINDOW: Final = ENROLLED / 1_000_000
"""Seconds for which acknowledged invalidations are remembered, and an enrolment holds."""
MOST_REMEMBERED: Final = 20_000
"""Tags and keys that are remembered at the most."""
REPORT_WITHIN: Final = 15.0
"""Seconds that writers have to report to a promoted server; then everything older is dead."""
CONFIRM_WITHIN: Final = 1.0
"""Seconds that replicas have to confirm an enrolment, or half of an operation's time if that is
less; and until it is tried again."""
HEARTBEAT: Final = 1.0
"""Seconds between two syncs of a process without readers: it has to notice a failover."""


class Done(NamedTuple):
    """An acknowledged invalidation."""

    sequence: int
    at: float
    tags: tuple[str, ...]
    keys: tuple[str, ...]


class ReplayLog:
    """The invalidations of one epoch that were acknowledged to this process lately."""

    def __init__(self) -> None:
        self._done: deque[Done] = deque()
        self._size = 0
        self._forgotten = 0

    def __len__(self) -> int:
        return self._size

    def note(self, done: Done) -> None:
        """Remember one; forget what is too old, or too much."""
        self._done.append(done)
        self._size += len(done.tags) + len(done.keys)
        while self._size > MOST_REMEMBERED or self._done[0].at < done.at - WINDOW:
            oldest = self._done.popleft()
            self._size -= len(oldest.tags) + len(oldest.keys)
            self._forgotten = max(self._forgotten, oldest.sequence)

    def above(self, limit: int) -> list[Done] | None:
        """Those with a higher sequence; None if it does not remember all of them."""
        if self._forgotten > limit:
            return None
        return [done for done in self._done if done.sequence > limit]

    def clear(self) -> None:
        """Forget everything: it was of an epoch that is over."""
        self._done.clear()
        self._size = self._forgotten = 0


class Failover:
    """What one process does so that a failover need not empty the cache; nothing if it resets.

    `member` is the process's name among the writers, `enrolled_until` how long the server and its
    replicas know it surely, `report_due` the epoch in which it has to report that it has sent
    everything again, and `replayed` how many tags and keys it has sent again so far.
    """

    def __init__(self) -> None:
        self._declared: bool | None = None
        self.log = ReplayLog()
        self.replayed = 0
        self._begin()

    def _begin(self) -> None:
        self.member = secrets.token_hex(8)
        self.enrolled_until = -math.inf
        self.report_due = 0
        self.log.clear()

    def after_fork(self) -> None:
        """A child is a writer of its own, and has acknowledged nothing."""
        self._begin()

    @property
    def replays(self) -> bool:
        """Whether all stores of this process replay."""
        return bool(self._declared)

    def declare(self, *, replays: bool) -> None:
        """Say what one store wants; all have to want the same."""
        self._declared = replays if self._declared is None else self._declared and replays

    def lost(self, before: int, epoch: int, heritage: Heritage | None) -> list[Done] | None:
        """What is to be sent again by a process that leaves the epoch `before` for `epoch`.

        None where that cannot be told, or where a clear was lost: then everything has to die.
        """
        done: list[Done] | None = []
        self.report_due = 0
        if heritage is not None and heritage.parent:
            self.report_due = 0 if heritage.complete else epoch
            if heritage.parent == before:
                done = self.log.above(heritage.limit)
            elif before > heritage.parent:
                done = None
        self.log.clear()
        self.replayed += sum(len(each.tags) + len(each.keys) for each in done or ())
        return done
