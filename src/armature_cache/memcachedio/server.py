"""One of the servers, as a port knows it: whether it answers, which run of it, and its limits."""

from __future__ import annotations

import math
import secrets
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from armature_cache import _forking
from armature_cache.errors import (
    AuthenticationFailed,
    BackendError,
    BackendTimeout,
    BackendUnavailable,
)
from armature_cache.memcachedio.names import RUN
from armature_cache.memcachedio.wire import (
    Command,
    Reply,
    WireError,
    fetch,
    login,
    settings,
    store,
)

if TYPE_CHECKING:
    from armature_cache._runtime.streams import Endpoint
    from armature_cache._time import TimeSource

_LEAST_PAUSE: Final = 0.01
_LONGEST_PAUSE: Final = 1.0


class Server:
    """A server, by one port.

    `largest` is how many bytes an item may have there, once that is known. After a failure it is
    spared for 20 ms to 1 s, where there are others; then it is tried again. No other server ever
    takes its place: what it has would be valid again when it comes back. `age` rises when another
    run of it is met, and connections from before are not used any more.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        shown: str,
        *,
        time: TimeSource,
        credentials: tuple[str, str] | None,
    ) -> None:
        self.endpoint = endpoint
        self.shown = shown
        self.largest: int | None = None
        self.age = 0
        self._credentials = credentials
        self._time = time
        self._failures = 0
        self._until = -math.inf
        self._run = b""
        self._lock = threading.Lock()
        _forking.register(self)

    def fork_locks(self) -> tuple[_forking.Lock, ...]:
        """What may not be held while the process forks."""
        return (self._lock,)

    def after_fork(self) -> None:
        """A child learns by itself whether the server answers."""
        self.answered()

    # -- whether it answers ------------------------------------------------------------------

    @property
    def resting(self) -> bool:
        """Whether the server failed a moment ago."""
        return self._failures > 0 and self._time() < self._until

    def failed(self) -> None:
        """The server did not answer, or not as it should."""
        with self._lock:
            now = self._time()
            if now >= self._until:
                self._failures = min(self._failures + 1, 8)
                self._until = now + min(_LONGEST_PAUSE, _LEAST_PAUSE * 2**self._failures)

    def answered(self) -> None:
        """The server has answered."""
        self._failures = 0
        self._until = -math.inf

    def refusal(self) -> BackendUnavailable:
        """The error while the server is spared."""
        return BackendUnavailable(
            f"{self.shown} failed a moment ago and is tried again within a second",
            backend=self.shown,
        )

    # -- greeting ----------------------------------------------------------------------------

    def greeting(self) -> list[Command]:
        """What is sent first on a new connection."""
        commands = [] if self._credentials is None else [login(0, *self._credentials)]
        commands.append(fetch(0, RUN))
        if self.largest is None:
            commands.append(settings(0))
        return commands

    def introduction(self) -> list[Command]:
        """What is sent next where nobody has marked the run of the server yet."""
        return [store(0, RUN, secrets.token_hex(8).encode(), add=True), fetch(0, RUN)]

    def greeted(self, replies: Sequence[Reply]) -> bytes:
        """The run of the server, '' where it has no mark; raises `BackendError`."""
        for reply in replies:
            if reply.code == b"VA" and not reply.cas:
                raise BackendUnavailable(
                    f"{self.shown} was started with -C; without CAS values nothing keeps a late "
                    "value from replacing a newer one",
                    backend=self.shown,
                )
            for line in reply.lines:
                size = line.rpartition(b" ")[2]
                if size.isdigit():
                    self.largest = int(size)
        return next((reply.value for reply in replies if reply.code == b"VA"), b"")

    def meet(self, run: bytes) -> int:
        """Note the run that a new connection leads to; the age of that connection."""
        with self._lock:
            if run != self._run:
                self._run = run
                self.age += 1
            return self.age

    # -- errors ------------------------------------------------------------------------------

    def translate(self, error: Exception) -> BackendError:
        """The error of this library for what went wrong with the server."""
        if isinstance(error, WireError):
            for words, kind, advice in _TRANSLATIONS:
                if words in error.text:
                    return kind(f"{self.shown} {advice}: {error.text}", backend=self.shown)
        if isinstance(error, TimeoutError):
            return BackendTimeout(
                f"{self.shown} did not answer in time; look at its load, or raise "
                "operation_timeout",
                backend=self.shown,
            )
        return BackendUnavailable(
            f"{self.shown} cannot be reached; check that the server runs and that the url is "
            f"right: {error}",
            backend=self.shown,
        )


_TRANSLATIONS: Final[tuple[tuple[str, type[BackendError], str], ...]] = (
    ("unauthenticated", AuthenticationFailed, "wants a user and a password; name them in the url"),
    ("authentication", AuthenticationFailed, "refused the user or the password; check the url"),
    (
        "Too many open connections",
        BackendUnavailable,
        "has no room for another connection; raise its -c, or lower max_connections",
    ),
    (
        "'ERROR'",
        BackendUnavailable,
        "has no meta commands; Memcached 1.6 or later is needed, and no proxy in between",
    ),
    ("", BackendUnavailable, "said what is not Memcached's meta protocol; check the port"),
)
