"""One process of the demo: it obeys its parent until told to end, or until the parent is gone."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import time
import traceback
from collections.abc import AsyncIterator, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from armature_cache import TieredCacheConfig
from armature_cache.address import FILE_SCHEME
from armature_cache.demo.ledger import Ledger, Old
from armature_cache.demo.tally import Tally, Tier
from armature_cache.demo.watch import Note, note_hit, take_note, watched
from armature_cache.demo.workload import Operation, Read, Session, Update, Workload

TASKS: Final = 8
_REPORT_EVERY: Final = 0.25
_REMEMBERED: Final = 500


@dataclasses.dataclass(frozen=True)
class Job:
    """What all workers are told when they start."""

    workload: Workload
    folder: Path
    url: str
    workers: int
    bound: float


@dataclasses.dataclass(frozen=True)
class Run:
    """Do operations for a time, or a number of them for each worker.

    They begin in a namespace given, or go on where the last run stopped.
    """

    namespace: str | None
    tiers: TieredCacheConfig
    seconds: float | None = None
    limits: tuple[int, ...] | None = None


@dataclasses.dataclass(frozen=True)
class Audit:
    """Read again what was read last, while nobody updates, and compare it with the database."""


@dataclasses.dataclass(frozen=True)
class Audited:
    """How many versions were compared, and how many differed."""

    compared: int
    different: int


@dataclasses.dataclass(frozen=True)
class Failure:
    """A command ended with an exception."""

    text: str


Command = Run | Audit
Answer = Tally | Audited | Failure


def main(rank: int, job: Job, pipe: Connection[Any, Any]) -> None:
    """The process. Ctrl-C is the parent's to handle, and blocked here."""
    with Ledger(job.folder / "ledger", rank, job.bound) as ledger, contextlib.suppress(OSError):
        asyncio.run(Worker(rank, job, pipe, ledger).serve())


class Worker:
    """Obeys commands, one after the other."""

    def __init__(self, rank: int, job: Job, pipe: Connection[Any, Any], ledger: Ledger) -> None:
        self.rank, self.job, self.pipe, self.ledger = rank, job, pipe, ledger
        self._commands: asyncio.Queue[Command | None] = asyncio.Queue()
        self._session: Session | None = None
        self._stopping = False
        self._operations: Iterator[Operation] = iter(())
        self._tally = Tally()
        self._recent: collections.deque[Read] = collections.deque(maxlen=_REMEMBERED)

    async def serve(self) -> None:
        """Until the parent closes the pipe."""
        asyncio.get_running_loop().add_reader(self.pipe.fileno(), self._receive)
        try:
            while (command := await self._commands.get()) is not None:
                self.pipe.send(await self._answer(command))
        finally:
            await self._close()

    def _receive(self) -> None:
        try:
            self._commands.put_nowait(self.pipe.recv())
        except (EOFError, OSError):
            self._stopping = True
            asyncio.get_running_loop().remove_reader(self.pipe.fileno())
            self._commands.put_nowait(None)

    async def _answer(self, command: Command) -> Answer:
        try:
            return await (self._run(command) if isinstance(command, Run) else self._audit())
        except Exception as error:  # noqa: BLE001 - the parent reports it
            return Failure("".join(traceback.format_exception(_first(error))))

    async def _close(self) -> None:
        if self._session is not None:
            session, self._session = self._session, None
            await session.aclose()

    # -- running -----------------------------------------------------------------------------

    async def _run(self, run: Run) -> Tally:
        session = await self._open(run)
        hits = session.cache.stats().tiers[-1].hits
        began = time.monotonic()
        until = None if run.seconds is None else began + run.seconds
        limit = None if run.limits is None else run.limits[self.rank]
        async with self._reporting(), asyncio.TaskGroup() as tasks:
            for _ in range(TASKS):
                tasks.create_task(self._work(until, limit))
        tally = self._tally
        tally.seconds = time.monotonic() - began
        tally.l2_hits = session.cache.stats().tiers[-1].hits - hits
        return tally

    async def _open(self, run: Run) -> Session:
        self._tally = Tally()
        if run.namespace is None and self._session is not None:
            return self._session
        await self._close()
        job = self.job
        session = job.workload.open(job.folder, job.url, run.namespace or "demo", run.tiers)
        if job.url.startswith(FILE_SCHEME):
            session.cache.subscribe(note_hit)
        self._session = session
        self._operations = session.operations(self.rank, job.workers)
        self._recent.clear()
        return session

    @contextlib.asynccontextmanager
    async def _reporting(self) -> AsyncIterator[None]:
        async def report() -> None:
            with contextlib.suppress(OSError):
                while True:
                    await asyncio.sleep(_REPORT_EVERY)
                    self.pipe.send(self._tally.counts)

        reports = asyncio.create_task(report())
        try:
            yield
        finally:
            reports.cancel()

    async def _work(self, until: float | None, limit: int | None) -> None:
        note = Note()
        take_note(note)
        counts = self._tally.counts
        while not self._stopping and (until is None or time.monotonic() < until):
            if limit is not None and counts.operations >= limit:
                return
            operation = next(self._operations, None)
            if operation is None:
                self._tally.finished = True
                return
            counts.operations += 1
            if isinstance(operation, Read):
                await self._read(operation, note)
            else:
                await self._update(operation)
            await asyncio.sleep(0)

    async def _read(self, read: Read, note: Note) -> None:
        note.forget()
        began = time.monotonic_ns()
        value, waited = await watched(read.call())
        took = time.monotonic_ns() - began
        asked = waited or note.in_file
        self._count(Tier.LOAD if note.queried else Tier.L2 if asked else Tier.L1, took)
        self._judge(read, value, began)
        self._recent.append(read)

    def _count(self, tier: Tier, took: int) -> None:
        counts = self._tally.counts
        self._tally.latency[tier].add(took)
        match tier:
            case Tier.L1:
                counts.l1 += 1
            case Tier.L2:
                counts.l2 += 1
            case Tier.LOAD:
                counts.loads += 1

    def _judge(self, read: Read, value: object, began: int) -> None:
        olds = (self.ledger.judge(*seen, began) for seen in read.versions(value))
        worst = max((old for old in olds if old is not None), key=_badness, default=None)
        if worst is None:
            return
        counts = self._tally.counts
        if not worst.judged:
            counts.unjudged += 1
        else:
            counts.old += 1
            counts.stale += worst.stale
            self._tally.age.add(worst.delay)

    async def _update(self, update: Update) -> None:
        committed = await update.call()
        acknowledged = time.monotonic_ns()
        self._tally.counts.invalidations += 1
        if committed is not None:
            self.ledger.acknowledge(*committed, acknowledged)

    # -- auditing ----------------------------------------------------------------------------

    async def _audit(self) -> Audited:
        session = self._session
        if session is None:
            raise RuntimeError("nothing was run")
        compared = different = 0
        for read in tuple(self._recent):
            for number, version in read.versions(await read.call()):
                compared += 1
                different += version != await session.truth(number)
        return Audited(compared, different)


def _first(error: BaseException) -> BaseException:
    """The first of the errors in a group, which the others as a rule repeat."""
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


def _badness(old: Old) -> tuple[bool, bool, int]:
    return old.stale, not old.judged, old.delay
