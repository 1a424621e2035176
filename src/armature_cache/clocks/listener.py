"""The listener: a thread that keeps a replica up to date ahead of its readers, under traffic.

Nothing here is needed for safety: without it only the cost changes.
"""

from __future__ import annotations

import logging
import os
import random
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from armature_cache._runtime.background import pause, start_daemon
from armature_cache._runtime.ready import run_ready
from armature_cache.clocks.failover import HEARTBEAT
from armature_cache.errors import ClosedError

if TYPE_CHECKING:
    from armature_cache._time import TimeSource
    from armature_cache.clocks.shared import SharedClock

logger = logging.getLogger("armature_cache")

LINGER: Final = 10.0
"""Seconds for which trust is renewed after the last read."""
AHEAD: Final = 0.5
"""The part of the staleness bound after which trust is renewed."""
IDLE: Final = 1.0
"""Seconds after which a thread without readers looks whether it is still needed."""
_LONGEST_PAUSE: Final = 1.0


class Listener:
    """One daemon thread for a replica, from the first reader that had to wait for a sync on.

    It ends when it is closed, or when nothing refers to its listener any more.
    """

    def __init__(self, make_ear: Callable[[], Ear], time: TimeSource) -> None:
        self.closed = False
        self.wanted_at = time()
        self._time = time
        self._make_ear = make_ear
        self._pid = 0
        self._lock = threading.Lock()

    def want(self) -> None:
        """A reader had to wait for a sync: renew trust for a while."""
        self.wanted_at = self._time()
        if self._pid != os.getpid() and not self.closed:
            with self._lock:
                if self._pid == os.getpid():
                    return
                self._pid = os.getpid()
            me, make_ear = weakref.ref(self), self._make_ear
            start_daemon("armature-cache-hints", lambda: make_ear().run(me))

    def after_fork(self) -> None:
        """The thread did not follow into the child; the next reader starts one."""
        self._lock = threading.Lock()
        self._pid = 0


class Ear(ABC):
    """The thread's side: what it listens to, and the clock that it syncs."""

    def __init__(self, clock: SharedClock, time: TimeSource) -> None:
        self._clock = clock
        self._time = time
        self._failures = 0
        self._hits = 0

    def run(self, listener: weakref.ref[Listener]) -> None:
        """Attend until the listener has gone."""
        try:
            while (owner := listener()) is not None and not owner.closed:
                if self._is_read():
                    owner.wanted_at = self._time()
                wanted_at = owner.wanted_at
                del owner
                self._step(wanted_at)
        except ClosedError:
            pass
        finally:
            self.leave()

    def _is_read(self) -> bool:
        """Whether this process has answered reads since the last step, though none had to wait."""
        before, self._hits = self._hits, self._clock.replica.hits
        return self._hits > before > 0

    def _step(self, wanted_at: float) -> None:
        try:
            self.attend(wanted_at)
            self._failures = 0
        except Exception as error:
            if isinstance(error, ClosedError) or not self.fails(error):
                raise
            self.pause()
            self._failures += 1
            if self._failures == 1:
                logger.info("hints are interrupted: %s", error)
            pause(min(_LONGEST_PAUSE, 0.02 * 2**self._failures) * random.uniform(0.5, 1.0))  # noqa: S311 - spreads load

    @abstractmethod
    def attend(self, wanted_at: float) -> None:
        """Wait for news or for the end of patience, and sync where that is due."""

    @abstractmethod
    def fails(self, error: Exception) -> bool:
        """Whether an error is one of the shared store, to be tried again after a while."""

    @abstractmethod
    def pause(self) -> None:
        """Let go of what may be broken."""

    @abstractmethod
    def leave(self) -> None:
        """Let go of everything."""

    def sync(self) -> None:
        """Read the clock's news now."""
        run_ready(self._clock.ensure(0.0, strong=True))

    def due(self, wanted_at: float) -> float:
        """When to sync next: now if something is owed; far away without readers."""
        now = self._time()
        if self._clock.replica.in_debt:
            return now
        if now - wanted_at > LINGER:
            replays = self._clock.replica.failover.replays
            return self._clock.replica.synced_at + HEARTBEAT if replays else now + IDLE
        return self._clock.replica.synced_at + self._clock.replica.shortest_bound * AHEAD

    def patience(self, wanted_at: float) -> float:
        """For how many seconds to wait for news at the most."""
        return min(IDLE, max(0.0, self.due(wanted_at) - self._time()))
