"""The recorder: a process that puts the events of all workers in order and has them judged."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import math
import signal
import threading
import time
from multiprocessing.connection import Connection, Listener, wait
from typing import Any, Final, NamedTuple

from armature_cache._time import boottime as now
from tests.torture.checker import Checker, Tally, Violation
from tests.torture.events import Event, Vanished
from tests.torture.journal import Batch, Bye, Expect, Hello

_STATUS_EVERY: Final = 0.5
_SHOWN: Final = 50


class Status(NamedTuple):
    """How far the recorder is."""

    tally: Tally
    counted: int
    violations: int
    shown: list[Violation]


class Order:
    """Events of many workers, let go in order up to the moment for which all are complete."""

    def __init__(self, workers: list[str]) -> None:
        self._complete: dict[str, float] = dict.fromkeys(workers, 0.0)
        self._events: list[tuple[float, int, Event]] = []
        self._ties = itertools.count()

    @property
    def workers(self) -> set[str]:
        """Those who have not taken leave."""
        return set(self._complete)

    def expect(self, worker: str, since: float) -> None:
        """One more worker."""
        self._complete.setdefault(worker, since)

    def add(self, worker: str, batch: Batch) -> None:
        """What a worker has told."""
        for event in batch.events:
            heapq.heappush(self._events, (event.at, next(self._ties), event))
        self._complete[worker] = batch.complete

    def leave(self, worker: str) -> None:
        """A worker tells nothing more."""
        self._complete.pop(worker, None)

    def lose(self, worker: str) -> None:
        """A worker is gone: what it had begun has no end."""
        heapq.heappush(self._events, (now(), next(self._ties), Vanished(now(), worker)))
        self.leave(worker)

    def ready(self) -> list[Event]:
        """The events that nothing can come before any more."""
        complete = min(self._complete.values(), default=math.inf)
        events = []
        while self._events and self._events[0][0] <= complete:
            events.append(heapq.heappop(self._events)[2])
        return events


class Recorder:
    """Serves workers until all that were expected have taken leave."""

    def __init__(self, address: str, bound: float, workers: list[str]) -> None:
        self._listener = Listener(address, "AF_UNIX", backlog=64)
        self.checker = Checker(bound)
        self.order = Order(workers)
        self._pipes: dict[Connection[Any, Any], str] = {}
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                pipe = self._listener.accept()
                hello = pipe.recv()
                if isinstance(hello, Hello):
                    with self._lock:
                        self._pipes[pipe] = hello.worker

    def serve(self, owner: Connection[Any, Any]) -> None:
        """Until the end, telling the owner of the progress."""
        told = time.monotonic()
        while self.order.workers:
            with self._lock:
                pipes = list(self._pipes)
            for pipe in wait(pipes, 0.05) if pipes else ():
                if isinstance(pipe, Connection):
                    self._receive(pipe)
            self.checker.feed(self.order.ready())
            if not pipes:
                time.sleep(0.02)
            if time.monotonic() - told > _STATUS_EVERY:
                told = time.monotonic()
                owner.send(self.status(0))
        self.checker.feed(self.order.ready())
        owner.send(self.status(_SHOWN))

    def _receive(self, pipe: Connection[Any, Any]) -> None:
        worker = self._pipes[pipe]
        try:
            message = pipe.recv()
        except (EOFError, OSError):
            message = None
        match message:
            case Batch():
                self.order.add(worker, message)
            case Expect():
                self.order.expect(message.worker, message.since)
            case Bye() | None:
                (self.order.lose if message is None else self.order.leave)(worker)
                with self._lock:
                    del self._pipes[pipe]
                pipe.close()

    def status(self, shown: int) -> Status:
        """What is known by now."""
        found = self.checker.violations
        counted = self.checker.counting.judged
        tally = self.checker.tally
        if not shown:  # the samples of delays are many
            tally = Tally(tally.operations, tally.outcomes, tally.faults, reads=tally.reads)
        return Status(tally, counted, len(found), found[:shown])


def main(address: str, bound: float, workers: list[str], owner: Connection[Any, Any]) -> None:
    """The process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    recorder = Recorder(address, bound, workers)
    owner.send("ready")
    recorder.serve(owner)
