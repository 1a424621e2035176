"""What is broken, how, and for how long: everything that any topology can suffer."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from typing import Final

from armature_cache import open_cache
from armature_cache.testing import RedisServer
from tests.torture.events import Breaking, Fault
from tests.torture.journal import Journal
from tests.torture.proxy import Rule
from tests.torture.space import NAMESPACE, OBJECTS, SPACES, Truth, key_of, space_of
from tests.torture.topology import Topology
from tests.torture.wires import Wires

DESTROYING: Final = {
    "restart empty",
    "restart from snapshot",
    "restart from snapshot, a stranger first",
    "restart of all",
    "flushall",
    "evict",
    "fail over",
    "fail over in order",
    "freeze a primary until it is replaced",
    "promote a replica that lags",
}
"""Faults that may take what was acknowledged: counters are not judged across them."""
_REST: Final = 6.0
_UNTIL_NOTICED: Final = 1.0
"""Until every worker has noticed that data is lost. Whoever knew more begins another epoch."""


class Faults:
    """Breaks one thing after another. All are drawn in turn, in an order that the seed gives."""

    def __init__(
        self,
        topology: Topology,
        wires: Wires,
        truth: Truth,
        journal: Journal,
        rng: random.Random,
        *,
        pids: list[int],
        bound: float,
        timeout: float,
    ) -> None:
        self.topology, self.wires = topology, wires
        self.truth, self.journal, self.rng = truth, journal, rng
        self.pids, self.bound, self.timeout = pids, bound, timeout
        self._queue: list[str] = []
        self._windows = 1
        truth.window = 1

    def run(self, until: Callable[[], bool], kinds: dict[str, Callable[[Faults], str]]) -> None:
        """Break, wait, break, until told to stop. After each round a rest."""
        while not until():
            time.sleep(self.rng.choice((0.05, 0.3, 0.3, 0.6, 1.0)))
            if not kinds:
                continue
            if not self._queue:
                self._queue = list(kinds)
                self.rng.shuffle(self._queue)
                self._rest(until)
            kind = self._queue.pop()
            self.one(kind, kinds[kind])

    def _rest(self, until: Callable[[], bool]) -> None:
        ends = time.monotonic() + _REST
        while time.monotonic() < ends and not until():
            time.sleep(0.1)

    def one(self, kind: str, do: Callable[[Faults], str]) -> None:
        """One fault, from its start to its end."""
        window = 0
        destroys = self._destroys(kind)
        if destroys:
            window, self.truth.window = self.truth.window, 0
        began = self.journal.tell(Breaking, kind, window)
        detail = ""
        try:
            detail = do(self)
        finally:
            self.journal.tell(Fault, kind, began, detail)
        if destroys:
            time.sleep(_UNTIL_NOTICED)
            self._windows += 1
            self.truth.window = self._windows

    def _destroys(self, kind: str) -> bool:
        """A primary that is frozen may be replaced by one that lacks something."""
        frozen = kind == "pause beyond the timeout" and self.topology.group is not None
        return frozen or kind in DESTROYING

    def primary(self) -> RedisServer:
        """One of the primaries."""
        return self.rng.choice(self.topology.primaries())

    # -- servers -----------------------------------------------------------------------------

    def restart_empty(self) -> str:
        server = self.primary()
        server.kill()
        with contextlib.suppress(FileNotFoundError):
            (server.directory / "dump.rdb").unlink()
        return self._again(server)

    def snapshot(self) -> str:
        for server in self.topology.primaries():
            server.command("SAVE")
        return ""

    def restart_from_snapshot(self) -> str:
        if self.rng.random() < 0.5:
            self.snapshot()
            time.sleep(self.rng.uniform(0.0, 0.5))
        server = self.primary()
        server.kill()
        return self._again(server)

    def restart_with_stranger(self) -> str:
        """Before any worker notices, a process that knew nothing of the past raises the clock.

        What is lost is known to one worker alone.
        """
        self.snapshot()
        alone = self.rng.choice(self.pids)
        server = self.primary()
        with self._frozen([pid for pid in self.pids if pid != alone]):
            time.sleep(self.rng.uniform(0.1, 0.4))
            with self._frozen([alone]):
                server.kill()
                said = self._again(server)
                stack = open_cache(self.topology.url, namespace=NAMESPACE, hints=False)
                with stack.sync() as stranger:
                    stranger.invalidate_tag("of nobody")
        return said

    def restart_all(self) -> str:
        for server in self.topology.data:
            server.kill()
        return self._again(*self.topology.data)

    def _again(self, *servers: RedisServer) -> str:
        for server in servers:
            server.start()
        self.topology.heal()
        return f"ports {[server.port for server in servers]}"

    def pause_short(self) -> str:
        return self._pause(self.rng.uniform(0.2, 0.9) * self.bound)

    def pause_beyond_bound(self) -> str:
        return self._pause(self.rng.uniform(1.1, 3.0) * self.bound)

    def pause_beyond_timeout(self) -> str:
        return self._pause(self.rng.uniform(1.2, 2.5) * self.timeout)

    def _pause(self, seconds: float) -> str:
        server = self.primary()
        server.pause()
        try:
            time.sleep(seconds)
        finally:
            server.resume()
        self.topology.heal()
        return f"port {server.port}, {seconds:.3f} s"

    def flushall(self) -> str:
        servers = self.topology.primaries()
        if self.rng.random() < 0.5:
            servers = [self.rng.choice(servers)]
        for server in servers:
            server.command("FLUSHALL")
        return f"ports {[server.port for server in servers]}"

    def evict(self) -> str:
        """Let a server evict whatever it likes for a moment."""
        server = self.primary()
        server.command("CONFIG", "SET", "maxmemory-policy", "allkeys-random")
        server.command("CONFIG", "SET", "maxmemory", "1mb")
        time.sleep(self.rng.uniform(0.02, 0.2))
        server.command("CONFIG", "SET", "maxmemory", "0")
        server.command("CONFIG", "SET", "maxmemory-policy", "noeviction")
        return f"port {server.port}"

    # -- keys --------------------------------------------------------------------------------

    def delete_clock(self) -> str:
        return self._unlink(self.topology.names.clock)

    def delete_key_clock(self) -> str:
        return self._unlink(self.topology.names.keys)

    def delete_values(self) -> str:
        """Values and tombstones alike."""
        names = []
        for obj in self.rng.sample(range(OBJECTS), 8):
            inner = f"{SPACES[space_of(obj)]}\0" if space_of(obj) else ""
            names.append(self.topology.names.value(f"{inner}{key_of(obj)}"))
        return self._unlink(*names)

    def delete_indexes(self) -> str:
        bucket = self.rng.randrange(self.topology.names.buckets)
        names = self.topology.names
        return self._unlink(names.registries()[bucket], names.indexes("g0")[bucket])

    def _unlink(self, *names: str) -> str:
        for name in names:
            self.topology.holder(name).command("UNLINK", name)
        return ""

    # -- connections -------------------------------------------------------------------------

    def kill_connections(self) -> str:
        return self._client_kill("normal")

    def kill_subscribers(self) -> str:
        return self._client_kill("pubsub")

    def _client_kill(self, kind: str) -> str:
        words = ("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
        return f"{[server.command(*words) for server in self.topology.primaries()]}"

    def false_hints(self) -> str:
        """Hints that are old, far ahead, repeated, or no numbers at all."""
        names = self.topology.names
        holder = self.topology.holder(names.clock)
        word = "SPUBLISH" if names.clustered else "PUBLISH"
        for said in ("1", "9" * 18, "1", "", "no number", "-1", "\xff"):
            holder.command(word, names.channel, said)
        return ""

    def lose_hints(self) -> str:
        return self._treat(Rule(hints=False), self.rng.uniform(0.3, 1.5))

    def delay_hints(self) -> str:
        return self._treat(Rule(hint_delay=self.rng.uniform(0.05, 0.5)), 1.5)

    def _treat(self, rule: Rule, seconds: float, *, cut_after: bool = False) -> str:
        count = len(self.pids)
        workers = self.rng.sample(range(count), self.rng.randint(1, count))
        place = self.rng.choice((None, None, *self.wires.places))
        for worker in workers:
            self.wires.treat(worker, rule, place=place)
        time.sleep(seconds)
        for worker in workers:
            self.wires.treat(worker, Rule(), place=place, cut=cut_after)
        return f"workers {workers}, {place or 'all servers'}, {seconds:.3f} s"

    def cut(self) -> str:
        return self._treat(Rule(), 0.0, cut_after=True)

    def delay(self) -> str:
        return self._treat(Rule(delay=self.rng.uniform(0.01, 0.15)), self.rng.uniform(0.5, 2.0))

    def partition(self) -> str:
        seconds = self.rng.choice((0.5, 1.5)) * self.timeout
        return self._treat(Rule(up=False, down=False), seconds)

    def lose_replies(self) -> str:
        return self._treat(Rule(down=False), self.rng.uniform(0.1, 0.6), cut_after=True)

    # -- workers -----------------------------------------------------------------------------

    def freeze_worker(self) -> str:
        pid = self.rng.choice(self.pids)
        seconds = self.rng.choice((0.5, 3.0)) * self.bound
        with self._frozen([pid]):
            time.sleep(seconds)
        return f"{pid}, {seconds:.3f} s"

    @contextlib.contextmanager
    def _frozen(self, pids: list[int]) -> Iterator[None]:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)


Do = Callable[[Faults], str]

EVERYWHERE: Final[dict[str, Do]] = {
    "restart empty": Faults.restart_empty,
    "restart from snapshot": Faults.restart_from_snapshot,
    "restart from snapshot, a stranger first": Faults.restart_with_stranger,
    "snapshot": Faults.snapshot,
    "pause below the bound": Faults.pause_short,
    "pause beyond the bound": Faults.pause_beyond_bound,
    "pause beyond the timeout": Faults.pause_beyond_timeout,
    "flushall": Faults.flushall,
    "evict": Faults.evict,
    "delete the clock": Faults.delete_clock,
    "delete the key clock": Faults.delete_key_clock,
    "delete values and tombstones": Faults.delete_values,
    "delete listing indexes": Faults.delete_indexes,
    "kill connections": Faults.kill_connections,
    "kill subscribers": Faults.kill_subscribers,
    "false hints": Faults.false_hints,
    "lose hints": Faults.lose_hints,
    "delay hints": Faults.delay_hints,
    "cut": Faults.cut,
    "delay": Faults.delay,
    "partition": Faults.partition,
    "lose replies": Faults.lose_replies,
    "freeze a worker": Faults.freeze_worker,
}
