"""The parent's side of the workers."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, Final, Self, TypeVar

from armature_cache.demo.tally import Counts
from armature_cache.demo.worker import Command, Failure, Job, main

T = TypeVar("T")

_PATIENCE: Final = 5.0


class WorkerError(Exception):
    """A worker failed or died."""


@contextlib.contextmanager
def _ctrl_c_waits() -> Iterator[None]:
    """Processes that are started meanwhile never get Ctrl-C, this one gets it later."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Fleet:
    """The worker processes; all of them end with the `with` block."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self._processes: list[SpawnProcess] = []
        self._pipes: list[Connection[Any, Any]] = []

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    @property
    def pids(self) -> list[int]:
        """The process ids of the workers."""
        return [process.pid for process in self._processes if process.pid is not None]

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        resource_tracker.ensure_running()  # which lets SIGINT through when it is started
        for rank in range(self.job.workers):
            ours, theirs = context.Pipe()
            self._pipes.append(ours)
            process = context.Process(target=main, args=(rank, self.job, theirs), daemon=True)
            with theirs, _ctrl_c_waits():
                process.start()
            self._processes.append(process)

    def _end(self) -> None:
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join(_PATIENCE)
            if process.is_alive():
                process.kill()
                process.join()

    def order(
        self, command: Command, kind: type[T], progress: Callable[[Counts], None] | None = None
    ) -> list[T]:
        """Have every worker obey; their answers, by rank."""
        for rank, pipe in enumerate(self._pipes):
            with self._naming(rank):
                pipe.send(command)
        answers: dict[int, T] = {}
        latest: dict[int, Counts] = {}
        while len(answers) < len(self._pipes):
            waiting = [pipe for rank, pipe in enumerate(self._pipes) if rank not in answers]
            ready = wait(waiting)
            for rank in (rank for rank, pipe in enumerate(self._pipes) if pipe in ready):
                answer = self._receive(rank)
                if isinstance(answer, Counts):
                    latest[rank] = answer
                elif isinstance(answer, kind):
                    answers[rank] = answer
            if progress is not None and latest:
                progress(_sum(latest))
        return [answers[rank] for rank in sorted(answers)]

    def _receive(self, rank: int) -> object:
        with self._naming(rank):
            answer: object = self._pipes[rank].recv()
        if isinstance(answer, Failure):
            raise WorkerError(f"worker {rank} failed:\n{answer.text}")
        return answer

    @contextlib.contextmanager
    def _naming(self, rank: int) -> Any:
        try:
            yield
        except (EOFError, OSError):
            process = self._processes[rank]
            process.join(_PATIENCE)
            raise WorkerError(f"worker {rank} {_fate(process.exitcode)}") from None


def _fate(code: int | None) -> str:
    if code is None:
        return "closed its pipe"
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended early with exit code {code}"


def _sum(counts: dict[int, Counts]) -> Counts:
    total = Counts()
    for each in counts.values():
        total.merge(each)
    return total
