"""The lookout of a listener: tells of dangers of the set-up, and of hints that do not arrive."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Final

from armature_cache import advice
from armature_cache._runtime.ready import run_ready
from armature_cache.clocks import advisor
from armature_cache.errors import ClosedError

if TYPE_CHECKING:
    from armature_cache._time import TimeSource
    from armature_cache.clocks.server_replica import ServerReplica
    from armature_cache.config import CacheConfig
    from armature_cache.redisio.port import Port

logger = logging.getLogger("armature_cache")

LOOK_EVERY: Final = 3600.0
"""Seconds between two looks at how the server is set up."""
_LOOK_AGAIN: Final = 60.0
_UNANNOUNCED: Final = 10
_DEAF_AFTER: Final = 5.0


class Lookout:
    """Keeps an eye on one server, from the thread that listens to it."""

    def __init__(
        self, port: Port, config: CacheConfig, replica: ServerReplica, time: TimeSource
    ) -> None:
        self._port = port
        self._config = config
        self._replica = replica
        self._time = time
        self._look_at = -math.inf

    def look(self) -> None:
        """Look at how the server is set up, when it is time, and log what is dangerous."""
        if self._time() < self._look_at:
            return
        self._look_at = self._time() + LOOK_EVERY
        try:
            found = run_ready(advisor.advise(self._port, self._config, self._replica))
        except ClosedError:
            raise
        except Exception as error:  # noqa: BLE001 - what cannot be looked at must harm nobody
            logger.debug("no advice about %s: %s", self._port.backend, error)
            self._look_at = self._time() + _LOOK_AGAIN
        else:
            advice.tell(self._port.backend, found)

    def hears_nothing(self) -> bool:
        """Whether invalidations came again and again, but no hint of them; logs it."""
        replica = self._replica
        if replica.unannounced < _UNANNOUNCED:
            return False
        silence = self._time() - replica.unannounced_since
        if silence < _DEAF_AFTER:
            return False
        self.cannot_hear(f"invalidations came for {silence:.0f} s, and no hint of them")
        return True

    def cannot_hear(self, why: str) -> None:
        """Note that hints do not arrive, and log it."""
        self._replica.unannounced, self._replica.deaf = 0, True
        advice.tell(self._port.backend, [advisor.no_hints(why)])
