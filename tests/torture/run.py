"""One run: servers, proxies, recorder, workers, faults, and the outcome."""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import os
import random
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, Final

from armature_cache.config import OnFailover
from tests.torture import recorder, worker
from tests.torture.faults import Do, Faults
from tests.torture.group_faults import kinds_of
from tests.torture.journal import Journal
from tests.torture.mutate import mutate
from tests.torture.recorder import Status
from tests.torture.space import Truth
from tests.torture.topology import Topology, open_topology
from tests.torture.wires import Wires

_SPAWN: Final = multiprocessing.get_context("spawn")
_START_WITHIN: Final = 60.0
_END_WITHIN: Final = 40.0
_SETTLE: Final = 2.0


@dataclasses.dataclass(frozen=True)
class Options:
    """What a run is like."""

    server: str = "valkey"
    topology: str = "standalone"
    seconds: float = 60.0
    seed: int = 1
    workers: int = 4
    tasks: int = 3
    pace: float = 0.004
    bound: float = 0.1
    timeout: float = 0.5
    faults: tuple[str, ...] | None = None
    forks: bool = True
    on_failover: OnFailover = "reset"
    mutation: str | None = None


class Unfinished(Exception):
    """The run could not be made, which says nothing of the library."""


def torture(options: Options, progress: Callable[[Status, float], None]) -> Status:
    """Make one run and return what was found."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="armature-torture-")))
        mutate(options.mutation)
        topology = stack.enter_context(open_topology(options.topology, options.server))
        wires = stack.enter_context(contextlib.closing(topology.wires(options.workers)))
        return _Run(options, topology, wires, folder, progress).run(stack)


class _Run:
    def __init__(
        self,
        options: Options,
        topology: Topology,
        wires: Wires,
        folder: Path,
        progress: Callable[[Status, float], None],
    ) -> None:
        self.options, self.topology, self.progress = options, topology, progress
        self.wires = wires
        self.truth = Truth.create(folder)
        self.address = str(folder / "recorder")
        self.names = [f"w{rank}" for rank in range(options.workers)]
        self.processes: list[SpawnProcess] = []
        self._began = time.monotonic()
        self._last: Status | None = None

    def run(self, stack: contextlib.ExitStack) -> Status:
        pipe = stack.enter_context(self._recorder())
        journal = Journal(self.address, "faults")
        stack.enter_context(self._workers())
        self._began = time.monotonic()
        ends = self._began + self.options.seconds
        faults = Faults(
            self.topology,
            self.wires,
            self.truth,
            journal,
            random.Random(self.options.seed),
            pids=[process.pid or 0 for process in self.processes],
            bound=self.options.bound,
            timeout=self.options.timeout,
        )

        def over() -> bool:
            self._look(pipe)
            return time.monotonic() > ends - _SETTLE

        faults.run(over, self._kinds())
        time.sleep(_SETTLE)
        self.truth.stop()
        journal.close()
        self._join()
        return self._outcome(pipe)

    def _kinds(self) -> dict[str, Do]:
        options = self.options
        kinds, wanted = kinds_of(options.topology, options.server), options.faults
        return {name: do for name, do in kinds.items() if wanted is None or name in wanted}

    @contextlib.contextmanager
    def _recorder(self) -> Iterator[Connection[Any, Any]]:
        ours, theirs = _SPAWN.Pipe()
        process = _SPAWN.Process(
            target=recorder.main,
            args=(self.address, self.options.bound, ["faults", *self.names], theirs),
            daemon=True,
        )
        process.start()
        theirs.close()
        try:
            if not ours.poll(_START_WITHIN):
                raise Unfinished("the recorder did not start")
            ours.recv()
            yield ours
        finally:
            process.kill()
            process.join()

    @contextlib.contextmanager
    def _workers(self) -> Iterator[None]:
        try:
            for rank, name in enumerate(self.names):
                process = _SPAWN.Process(target=worker.main, args=(self._job(rank, name),))
                process.start()
                self.processes.append(process)
            yield
        finally:
            for process in self.processes:
                if process.is_alive():
                    process.kill()
                process.join()

    def _job(self, rank: int, name: str) -> worker.Job:
        options = self.options
        return worker.Job(
            name=name,
            rank=rank,
            seed=options.seed,
            url=self.topology.url,
            roads=self.wires.of(rank),
            recorder=self.address,
            truth=self.truth.path,
            bound=options.bound,
            timeout=options.timeout,
            tasks=options.tasks,
            pace=options.pace,
            awaited=rank % 2 == 0,
            hints=rank % 4 < 2 or options.on_failover == "replay",
            strict=rank % 4 > 1,
            forks=options.forks,
            on_failover=options.on_failover,
            mutation=options.mutation,
        )

    def _look(self, pipe: Connection[Any, Any]) -> None:
        while pipe.poll():
            status = pipe.recv()
            if isinstance(status, Status):
                self._last = status
        if self._last is not None:
            self.progress(self._last, time.monotonic() - self._began)
        dead = [process.name for process in self.processes if not process.is_alive()]
        if dead:
            raise Unfinished(f"workers died: {dead}")

    def _join(self) -> None:
        deadline = time.monotonic() + _END_WITHIN
        for process in self.processes:
            process.join(max(0.0, deadline - time.monotonic()))
        stuck = [process for process in self.processes if process.is_alive()]
        for process in stuck:
            os.kill(process.pid or 0, signal.SIGUSR1)
            time.sleep(0.5)
            process.kill()
            process.join()

    def _outcome(self, pipe: Connection[Any, Any]) -> Status:
        deadline = time.monotonic() + _END_WITHIN
        last = None
        while time.monotonic() < deadline and pipe.poll(1.0):
            try:
                last = pipe.recv()
            except EOFError:
                break
        if not isinstance(last, Status):
            raise Unfinished("the recorder did not finish")
        return last
