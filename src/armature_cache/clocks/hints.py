"""Hints of invalidations from a Redis or Valkey server, heard by the listener's thread.

A hint only causes a sync; a lost one costs at most the staleness bound.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError, RedisError

from armature_cache._runtime.background import pause
from armature_cache.clocks.listener import Ear
from armature_cache.clocks.lookout import Lookout
from armature_cache.errors import BackendError
from armature_cache.redisio.scripts import WAKE

if TYPE_CHECKING:
    from armature_cache._time import TimeSource
    from armature_cache.clocks.redis import RedisClock
    from armature_cache.config import CacheConfig
    from armature_cache.redisio.connect import ThreadPort

GAP: Final = 0.005
"""Seconds between two syncs that hints cause, at least."""
_KINDS: Final = frozenset((b"message", b"smessage", "message", "smessage"))
_MOVED_AWAY: Final = frozenset((b"sunsubscribe", "sunsubscribe"))


class HintEar(Ear):
    """Subscribes to the hints of one clock."""

    def __init__(
        self, clock: RedisClock, port: ThreadPort, config: CacheConfig, time: TimeSource
    ) -> None:
        super().__init__(clock, time)
        self._lookout = Lookout(port, config, clock.replica, time)
        self._clock: RedisClock = clock
        self._port = port
        self._connection: Any = None

    def attend(self, wanted_at: float) -> None:
        if self._connection is None:
            self.sync()  # in a cluster, this finds out where to subscribe
            self._subscribe()
            self.sync()
        if self._heard(self.patience(wanted_at)):
            self._settle()
            self.sync()
        elif self.due(wanted_at) <= self._time():
            self.sync()
            if self._lookout.hears_nothing():
                self._hang_up()  # and listen anew: the connection may be dead at the other end
        self._lookout.look()

    def fails(self, error: Exception) -> bool:
        return isinstance(error, BackendError | RedisError | OSError)

    def pause(self) -> None:
        self._hang_up()
        self._lookout.look()

    def leave(self) -> None:
        self._hang_up()
        self._port.close_now()

    def _subscribe(self) -> None:
        self._connection = self._port.pool_of(self._clock.channel).make_connection()
        self._connection.connect()
        word = "SSUBSCRIBE" if self._clock.clustered else "SUBSCRIBE"
        self._connection.send_command(word, self._clock.channel)
        try:
            self._connection.read_response(disable_decoding=True)
        except NoPermissionError as error:
            self._lookout.cannot_hear(f"the server refuses the subscription ({error})")
            raise

    def _heard(self, timeout: float) -> bool:
        """Wait for hints and take all that are there; whether one tells something new."""
        news = False
        while self._connection.can_read(timeout):
            message = self._connection.read_response(disable_decoding=True)
            timeout = 0
            if isinstance(message, list) and message[0] in _KINDS:
                self._clock.replica.heard()
                news |= self._means_news(message[2])
            elif isinstance(message, list) and message[0] in _MOVED_AWAY:
                raise RedisConnectionError("the channel has moved to another node")
        return news

    def _means_news(self, payload: bytes) -> bool:
        """Take one message: a sequence, or the digest of a key whose load somebody waits for."""
        replica = self._clock.replica
        if payload.isdigit():
            return int(payload) > replica.last
        if payload.startswith(WAKE):
            replica.bells.ring(payload.removeprefix(WAKE))
        return False

    def _settle(self) -> None:
        """Keep hints from causing more than one sync each `GAP` seconds."""
        left = self._clock.replica.synced_at + GAP - self._time()
        if 0 < left <= GAP:
            pause(left * random.uniform(0.5, 1.0))  # noqa: S311 - spreads load

    def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()
