"""The worker's side of the recorder: events go out in batches, complete up to a moment."""

from __future__ import annotations

import itertools
import threading
import time
from multiprocessing.connection import Client, Connection
from typing import Any, Final, NamedTuple

from armature_cache._time import boottime as now
from tests.torture.events import Event, Token

_EVERY: Final = 0.02


class Hello(NamedTuple):
    """The first message of a worker."""

    worker: str


class Expect(NamedTuple):
    """Another worker is about to join; nothing later than `since` is complete without it."""

    worker: str
    since: float


class Batch(NamedTuple):
    """All that a worker has to tell up to `complete`."""

    complete: float
    events: list[Event]


class Bye(NamedTuple):
    """A worker has told everything."""


class Journal:
    """Takes events from any thread; a thread of its own sends them.

    With `prompt`, each is sent at once: for a worker that may be killed at any moment.
    """

    def __init__(self, address: str, worker: str, *, prompt: bool = False) -> None:
        self.address, self.worker = address, worker
        self._events: list[Event] = []
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._tokens = itertools.count()
        self._closed = False
        self._prompt = prompt
        self._pipe: Connection[Any, Any] = Client(address, "AF_UNIX")
        self._pipe.send(Hello(worker))
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def token(self) -> Token:
        """A name for a call."""
        return self.worker, next(self._tokens)

    def tell(self, kind: type[Any], *fields: Any) -> float:
        """Record an event of now; its moment. No event before it is told after it."""
        with self._lock:
            at = now()
            self._events.append(kind(at, self.worker, *fields))
        if self._prompt:
            self._flush()
        return at

    def expect(self, worker: str) -> None:
        """Announce a child."""
        with self._sending:
            self._pipe.send(Expect(worker, now()))

    def close(self) -> None:
        """Send the rest, and take leave."""
        self._closed = True
        self._thread.join()
        self._flush()
        self._pipe.send(Bye())
        self._pipe.close()

    def _run(self) -> None:
        while not self._closed:
            self._flush()
            time.sleep(_EVERY)

    def _flush(self) -> None:
        with self._sending:
            with self._lock:
                batch = Batch(now(), self._events)
                self._events = []
            self._pipe.send(batch)
