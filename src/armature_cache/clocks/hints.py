"""The listener: hears hints of invalidations, and renews trust ahead of its end under traffic.

Nothing here is needed for safety. A hint only causes a sync; a lost one costs at most the
staleness bound.
"""

from __future__ import annotations

import logging
import os
import random
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from armature_cache._runtime.background import pause, start_daemon
from armature_cache._runtime.ready import run_ready
from armature_cache.errors import BackendError, ClosedError
from armature_cache.redisio.scripts import WAKE

if TYPE_CHECKING:
    from armature_cache._time import TimeSource
    from armature_cache.clocks.redis import RedisClock
    from armature_cache.redisio.connect import ThreadPort

logger = logging.getLogger("armature_cache")

GAP: Final = 0.005
"""Seconds between two syncs that hints cause, at least."""
LINGER: Final = 10.0
"""Seconds for which trust is renewed after a reader had to wait for it."""
AHEAD: Final = 0.5
"""The part of the staleness bound after which trust is renewed."""
_IDLE: Final = 1.0
_KINDS: Final = frozenset((b"message", b"smessage", "message", "smessage"))
_MOVED_AWAY: Final = frozenset((b"sunsubscribe", "sunsubscribe"))
_LONGEST_PAUSE: Final = 1.0


class Listener:
    """One daemon thread for a replica, from the first reader that had to wait for a sync on.

    It ends when it is closed, or when nothing refers to its listener any more.
    """

    def __init__(
        self, make_clock: Callable[[], tuple[RedisClock, ThreadPort]], time: TimeSource
    ) -> None:
        self.closed = False
        self.wanted_at = time()
        self._time = time
        self._make_clock = make_clock
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
            me, make_clock, time = weakref.ref(self), self._make_clock, self._time
            start_daemon("armature-cache-hints", lambda: _Ear(*make_clock(), time).run(me))

    def after_fork(self) -> None:
        """The thread did not follow into the child; the next reader starts one."""
        self._lock = threading.Lock()
        self._pid = 0


class _Ear:
    """The thread's side: its connection, and the clock that it syncs."""

    def __init__(self, clock: RedisClock, port: ThreadPort, time: TimeSource) -> None:
        self._clock = clock
        self._port = port
        self._time = time
        self._connection: Any = None
        self._failures = 0

    def run(self, listener: weakref.ref[Listener]) -> None:
        try:
            while (owner := listener()) is not None and not owner.closed:
                wanted_at = owner.wanted_at
                del owner
                self._step(wanted_at)
        except ClosedError:
            pass
        finally:
            self._hang_up()
            self._port.close_now()

    def _step(self, wanted_at: float) -> None:
        try:
            if self._connection is None:
                self._sync()  # in a cluster, this finds out where to subscribe
                self._subscribe()
                self._sync()
            if self._heard(self._patience(wanted_at)):
                self._settle()
                self._sync()
            elif self._due(wanted_at) <= self._time():
                self._sync()
            self._failures = 0
        except (BackendError, RedisError, OSError) as error:
            self._hang_up()
            self._failures += 1
            if self._failures == 1:
                logger.info("hints are interrupted: %s", error)
            pause(min(_LONGEST_PAUSE, 0.02 * 2**self._failures) * random.uniform(0.5, 1.0))  # noqa: S311 - spreads load

    def _due(self, wanted_at: float) -> float:
        """When to sync next: now if something is owed; far away without readers."""
        now = self._time()
        if self._clock.replica.in_debt:
            return now
        if now - wanted_at > LINGER:
            return now + _IDLE
        return self._clock.replica.synced_at + self._clock.replica.shortest_bound * AHEAD

    def _patience(self, wanted_at: float) -> float:
        return min(_IDLE, max(0.0, self._due(wanted_at) - self._time()))

    def _subscribe(self) -> None:
        self._connection = self._port.pool_of(self._clock.channel).make_connection()
        self._connection.connect()
        word = "SSUBSCRIBE" if self._clock.clustered else "SUBSCRIBE"
        self._connection.send_command(word, self._clock.channel)
        self._connection.read_response(disable_decoding=True)

    def _heard(self, timeout: float) -> bool:
        """Wait for hints and take all that are there; whether one tells something new."""
        news = False
        while self._connection.can_read(timeout):
            message = self._connection.read_response(disable_decoding=True)
            timeout = 0
            if isinstance(message, list) and message[0] in _KINDS:
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

    def _sync(self) -> None:
        run_ready(self._clock.ensure(0.0, strong=True))

    def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()
