"""Polls of a clock that tells nobody of changes, by the listener's thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from armature_cache._runtime.background import pause
from armature_cache.clocks.listener import Ear
from armature_cache.errors import BackendError

if TYPE_CHECKING:
    from armature_cache._time import TimeSource
    from armature_cache.clocks.memcached import MemcachedClock
    from armature_cache.memcachedio.blocking import BlockingPort


class PollingEar(Ear):
    """Renews trust ahead of its end, and pays debts."""

    def __init__(self, clock: MemcachedClock, port: BlockingPort, time: TimeSource) -> None:
        super().__init__(clock, time)
        self._port = port

    def attend(self, wanted_at: float) -> None:
        pause(self.patience(wanted_at))
        if self.due(wanted_at) <= self._time():
            self.sync()

    def fails(self, error: Exception) -> bool:
        return isinstance(error, BackendError | OSError)

    def pause(self) -> None:
        """Nothing to let go of: the port has closed what is broken."""

    def leave(self) -> None:
        self._port.close_now()
