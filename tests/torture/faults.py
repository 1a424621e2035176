"""What is broken, how, and for how long."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from typing import Final

import redis

from tests.torture.events import Breaking, Fault
from tests.torture.journal import Journal
from tests.torture.proxy import Rule
from tests.torture.space import (
    NAMESPACE,
    OBJECTS,
    SPACES,
    Truth,
    key_of,
    space_of,
)
from tests.torture.topology import Topology, key_names

DESTROYING: Final = {"restart empty", "restart from snapshot", "flushall"}


class Faults:
    """Breaks one thing after another. All are drawn in turn, in an order that the seed gives."""

    def __init__(
        self,
        topology: Topology,
        truth: Truth,
        journal: Journal,
        rng: random.Random,
        *,
        pids: list[int],
        bound: float,
        timeout: float,
    ) -> None:
        self.topology, self.truth, self.journal, self.rng = topology, truth, journal, rng
        self.pids, self.bound, self.timeout = pids, bound, timeout
        self._queue: list[str] = []
        self._windows = 1
        truth.window = 1

    def run(self, until: Callable[[], bool], kinds: list[str]) -> None:
        """Break, wait, break, until told to stop."""
        while not until():
            time.sleep(self.rng.choice((0.05, 0.3, 0.3, 0.6, 1.0)))
            if not self._queue:
                self._queue = list(kinds)
                self.rng.shuffle(self._queue)
            if kinds:
                self.one(self._queue.pop())

    def one(self, kind: str) -> None:
        """One fault, from its start to its end."""
        window = 0
        if kind in DESTROYING:
            window, self.truth.window = self.truth.window, 0
        began = self.journal.tell(Breaking, kind, window)
        detail = ""
        try:
            detail = KINDS[kind](self)
        finally:
            if kind in DESTROYING:
                self._windows += 1
                self.truth.window = self._windows
            self.journal.tell(Fault, kind, began, detail)

    @contextlib.contextmanager
    def admin(self) -> Iterator[redis.Redis]:
        """A connection past the proxies."""
        with contextlib.closing(self.topology.admin()) as client:
            yield client

    # -- the server --------------------------------------------------------------------------

    def restart_empty(self) -> str:
        self.topology.lose_all()
        return ""

    def snapshot(self) -> str:
        with self.admin() as client:
            client.execute_command("SAVE")
        return ""

    def restart_from_snapshot(self) -> str:
        if self.rng.random() < 0.5:
            self.snapshot()
            time.sleep(self.rng.uniform(0.0, 0.5))
        self.topology.lose_recent()
        return ""

    def pause_short(self) -> str:
        return self._pause(self.rng.uniform(0.2, 0.9) * self.bound)

    def pause_beyond_bound(self) -> str:
        return self._pause(self.rng.uniform(1.1, 3.0) * self.bound)

    def pause_beyond_timeout(self) -> str:
        return self._pause(self.rng.uniform(1.2, 2.5) * self.timeout)

    def _pause(self, seconds: float) -> str:
        self.topology.pause(seconds)
        return f"{seconds:.3f} s"

    def flushall(self) -> str:
        with self.admin() as client:
            client.execute_command("FLUSHALL")
        return ""

    # -- keys --------------------------------------------------------------------------------

    def delete_clock(self) -> str:
        return self._unlink("clock")

    def delete_key_clock(self) -> str:
        return self._unlink("key clock")

    def _unlink(self, which: str) -> str:
        with self.admin() as client:
            client.unlink(key_names(NAMESPACE)[which])
        return ""

    def delete_values(self) -> str:
        """Values and tombstones alike."""
        prefix = key_names(NAMESPACE)["values"]
        objects = self.rng.sample(range(OBJECTS), 8)
        inner = [f"{SPACES[space_of(obj)]}\0" if space_of(obj) else "" for obj in objects]
        names = [
            f"{prefix}{inside}{key_of(obj)}" for inside, obj in zip(inner, objects, strict=True)
        ]
        with self.admin() as client:
            client.unlink(*names)
        return ""

    # -- connections -------------------------------------------------------------------------

    def kill_connections(self) -> str:
        return self._client_kill("normal")

    def kill_subscribers(self) -> str:
        return self._client_kill("pubsub")

    def _client_kill(self, kind: str) -> str:
        with self.admin() as client:
            return f"{client.execute_command('CLIENT', 'KILL', 'TYPE', kind, 'SKIPME', 'yes')}"

    def _some_workers(self) -> list[int]:
        count = len(self.pids)
        return self.rng.sample(range(count), self.rng.randint(1, count))

    def _route(self, rule: Rule, seconds: float, *, cut_after: bool = False) -> str:
        workers = self._some_workers()
        for worker in workers:
            self.topology.route(worker, rule)
        time.sleep(seconds)
        for worker in workers:
            self.topology.route(worker, Rule(), cut=cut_after)
        return f"workers {workers}, {seconds:.3f} s"

    def cut(self) -> str:
        return self._route(Rule(), 0.0, cut_after=True)

    def delay(self) -> str:
        return self._route(Rule(delay=self.rng.uniform(0.01, 0.15)), self.rng.uniform(0.5, 2.0))

    def partition(self) -> str:
        seconds = self.rng.choice((0.5, 1.5)) * self.timeout
        return self._route(Rule(up=False, down=False), seconds)

    def lose_replies(self) -> str:
        seconds = self.rng.uniform(0.1, 0.6)
        return self._route(Rule(down=False), seconds, cut_after=True)

    # -- workers -----------------------------------------------------------------------------

    def freeze_worker(self) -> str:
        pid = self.rng.choice(self.pids)
        seconds = self.rng.choice((0.5, 3.0)) * self.bound
        os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            os.kill(pid, signal.SIGCONT)
        return f"{pid}, {seconds:.3f} s"


KINDS: Final[dict[str, Callable[[Faults], str]]] = {
    "restart empty": Faults.restart_empty,
    "restart from snapshot": Faults.restart_from_snapshot,
    "snapshot": Faults.snapshot,
    "pause below the bound": Faults.pause_short,
    "pause beyond the bound": Faults.pause_beyond_bound,
    "pause beyond the timeout": Faults.pause_beyond_timeout,
    "flushall": Faults.flushall,
    "delete the clock": Faults.delete_clock,
    "delete the key clock": Faults.delete_key_clock,
    "delete values and tombstones": Faults.delete_values,
    "kill connections": Faults.kill_connections,
    "kill subscribers": Faults.kill_subscribers,
    "cut": Faults.cut,
    "delay": Faults.delay,
    "partition": Faults.partition,
    "lose replies": Faults.lose_replies,
    "freeze a worker": Faults.freeze_worker,
}
"""Every fault, by the name that `--faults` takes."""
