"""Whether one address leads to one server: the run_ids that answer at it, in turn.

A run_id belongs to one life of one server. A restart or a failover changes it once, and the old
one does not come back. Where it does, again and again, a proxy or a load balancer spreads
connections over servers that know nothing of one another's invalidations: no read of such a place
can be judged, and none is.
"""

from __future__ import annotations

import logging
import math
import threading
from collections import deque
from typing import Final

from armature_cache import _forking
from armature_cache.errors import BackendUnavailable

logger = logging.getLogger("armature_cache")

WINDOW: Final = 10.0
"""Seconds within which returns of run_ids are counted."""
RETURNS: Final = 4
"""Returns within the window that a failover, even one that wavers, does not make."""
FIRST_REST: Final = 5.0
LONGEST_REST: Final = 60.0
"""Seconds for which nothing is asked once run_ids were found to change in turn."""


class RunWatch:
    """Notes who answers, and calls a halt where that changes to and fro.

    A halt lasts `FIRST_REST` seconds, and twice as long each time it does not help, up to
    `LONGEST_REST`. Whoever asks meanwhile gets `BackendUnavailable` at once.
    """

    def __init__(self) -> None:
        self.halts = 0
        self._lock = threading.Lock()
        self._forget()

    def _forget(self) -> None:
        self._current = ""
        self._left: dict[str, float] = {}
        self._returns: deque[float] = deque(maxlen=RETURNS)
        self._until = -math.inf
        self._rest = FIRST_REST

    def fork_locks(self) -> tuple[_forking.Lock, ...]:
        """What may not be held while the process forks."""
        return (self._lock,)

    def after_fork(self) -> None:
        """A child finds out for itself."""
        self._forget()

    def check(self, backend: str, now: float) -> None:
        """Raise `BackendUnavailable` during a halt."""
        if now < self._until:
            raise BackendUnavailable(
                f"{backend} answered with changing run_ids: several servers behind one address. "
                "Nothing of it is used for some seconds; connect to the primary directly",
                backend=backend,
            )

    def saw(self, run_id: str, backend: str, now: float) -> None:
        """Note that a server has answered; raises during a halt, and where one has to begin."""
        if run_id != self._current:
            with self._lock:
                self._change(run_id, backend, now)
        self.check(backend, now)

    def _change(self, run_id: str, backend: str, now: float) -> None:
        left = self._left.get(run_id, -math.inf)
        if self._current:
            self._left[self._current] = now
        self._left = {run: at for run, at in self._left.items() if now - at < WINDOW}
        self._current = run_id
        if now - left < WINDOW:
            self._returns.append(now)
            if len(self._returns) == RETURNS and now - self._returns[0] < WINDOW:
                self.halt(backend, now)

    def halt(self, backend: str, now: float) -> None:
        """Use nothing of this place for a while."""
        if now < self._until:
            return
        self._rest = min(LONGEST_REST, self._rest * 2) if now - self._until < WINDOW else FIRST_REST
        self._until = now + self._rest
        self._returns.clear()
        self.halts += 1
        logger.warning(
            "%s answers with changing run_ids: a proxy or load balancer in front of several "
            "servers. Invalidations cannot be relied on there, so it counts as failed for %.0f s, "
            "and is tried again then; connect to the primary directly, or through Sentinel or "
            "Cluster addresses",
            backend,
            self._rest,
        )
