"""The probe: how late this process learns of invalidations, and whether it ever should have sooner.

Sequences are times of the server in µs unless it was bumped more often than once a microsecond,
so each delta that a sync brings tells how old its news are. News from before the sync before are
a violation: that sync was answered by a server that did not know what it should.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterable
from typing import Final

from armature_cache import _forking

_KEPT: Final = 2048
_SAMPLED: Final = 64


@dataclasses.dataclass(frozen=True, slots=True)
class CoherenceStats:
    """How this process kept up with the invalidations of others.

    `observed` counts invalidations that syncs brought; the delays, in seconds, run from the
    server's record to this process's knowledge of it, over the last 2,048 of them (`delay_max`
    over all). `violations` counts news that an earlier sync should have brought, beyond the error
    of the estimate of the server's time: any above 0 means a server that forgets or lags. `halts`
    counts how often the address was found to lead to several servers in turn, and was not used
    for a while, `resets` how often the clock began anew while this process lived, `inherited` how
    many of these epochs took over what was stored before (the others began with an empty cache),
    and `replayed` the tags and keys that were sent again after failovers.
    """

    observed: int = 0
    violations: int = 0
    delay_p50: float = 0.0
    delay_p99: float = 0.0
    delay_max: float = 0.0
    halts: int = 0
    resets: int = 0
    inherited: int = 0
    replayed: int = 0


class CoherenceMeter:
    """Counts and delays of one replica; cheap enough to be always on."""

    def __init__(self) -> None:
        self._lock = _forking.leaf_lock()
        self._delays: deque[float] = deque(maxlen=_KEPT)
        self._observed = 0
        self._violations = 0
        self._worst = 0.0

    def observe(self, news: Iterable[int], *, asked: float, now: float, slack: float) -> None:
        """Note sequences that a sync brought.

        `asked` is when the last sync before it was sent, `now` when this one's reply was there,
        both in µs of the server as far as it can be told, give or take `slack`.
        """
        sequences = sorted(set(news))
        if not sequences:
            return
        with self._lock:
            self._observed += len(sequences)
            self._violations += sum(sequence < asked - slack for sequence in sequences)
            for sequence in sequences[-_SAMPLED:]:
                delay = max(0.0, (now - sequence) / 1_000_000)
                self._delays.append(delay)
                self._worst = max(self._worst, delay)

    def report(self) -> CoherenceStats:
        """The counts and delays as they stand now."""
        with self._lock:
            delays = sorted(self._delays)
            if not delays:
                return CoherenceStats(self._observed, self._violations)
            return CoherenceStats(
                self._observed,
                self._violations,
                delays[len(delays) // 2],
                delays[len(delays) * 99 // 100],
                self._worst,
            )
