"""The circuit breaker: spares a shared store that fails, and the callers who would wait for it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from armature_cache import _forking
from armature_cache.errors import BackendUnavailable
from armature_cache.events import BreakerClosed, BreakerOpened

if TYPE_CHECKING:
    from armature_cache._time import TimeSource
    from armature_cache.events import Hook

_FIRST_PAUSE: Final = 0.02
_LONGEST_PROBE: Final = 30.0


class Spared(BackendUnavailable):
    """The store was not asked, because it failed a moment ago."""


class Breaker:
    """Closed while the store answers; open for a pause once it has failed `failures` times running.

    After the pause one caller tries it, and the others go on without it until he knows. Each time
    he fails, the pause is twice as long, from 20 ms up to `pause` seconds.
    """

    def __init__(self, time: TimeSource, hook: Hook, *, failures: int, pause: float) -> None:
        self._time = time
        self._hook = hook
        self._most = failures
        self._longest = pause
        self._lock = _forking.leaf_lock()
        self._failures = 0
        self._pause = min(_FIRST_PAUSE, pause)
        self._until = -math.inf
        self._probing_since = -math.inf
        self.opened = False
        _forking.register(self)

    def fork_locks(self) -> tuple[()]:
        """Its lock is a leaf."""
        return ()

    def after_fork(self) -> None:
        """Who tries the store in the parent tells nobody in the child."""
        self._probing_since = -math.inf

    def check(self) -> None:
        """Raise `BackendUnavailable` while the store is to be spared."""
        if not self.opened:
            return
        with self._lock:
            now = self._time()
            if now < self._until or now - self._probing_since < _LONGEST_PROBE:
                raise Spared(
                    "L2 failed a moment ago and is spared; it is tried again within "
                    f"{self._longest} s"
                )
            self._probing_since = now

    def failed(self) -> None:
        """The store has failed, or did not answer in time."""
        with self._lock:
            now = self._time()
            self._failures += 1
            probed = self._probing_since > -math.inf
            if self._failures < self._most or (self.opened and not probed):
                return
            pause = self._pause
            self._pause = min(pause * 2, self._longest)
            self._until, self._probing_since = now + pause, -math.inf
            self.opened = True
        if self._hook.listeners:
            self._hook.emit(BreakerOpened(pause))

    def over(self) -> None:
        """The store has answered."""
        if not self._failures and not self.opened:
            return
        with self._lock:
            was_open, self.opened = self.opened, False
            self._failures = 0
            self._pause = min(_FIRST_PAUSE, self._longest)
            self._until = self._probing_since = -math.inf
        if was_open and self._hook.listeners:
            self._hook.emit(BreakerClosed())
