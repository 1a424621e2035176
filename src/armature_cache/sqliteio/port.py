"""The port to a cache file: what a store and its clock talk through, in either face."""

from __future__ import annotations

import weakref
from collections.abc import Awaitable, Sequence
from typing import Any, Final, Protocol, TypeVar

from armature_cache import _forking
from armature_cache._runtime.aio import Loop, running_loop
from armature_cache._runtime.gathering import Gatherer
from armature_cache._runtime.offloading import wait_elsewhere
from armature_cache.errors import ClosedError
from armature_cache.sqliteio.access import Read, Turn, Write, read_now, try_read, write_now
from armature_cache.sqliteio.database import Database
from armature_cache.sqliteio.failures import Busy

T = TypeVar("T")

LIGHT: Final = 64 * 1024
"""Bytes of values that an event loop may read itself."""
_TOO_LONG: Final = 0.01
"""Seconds that a read on an event loop may take before the next ones are done by a thread."""
_REST: Final = 0.25
"""Seconds for which they are."""


class Port(Protocol):
    """Reads and writes of one cache file."""

    backend: str
    """The file's address."""
    closed: bool
    database: Database

    async def read(self, work: Read[T], *, light: bool = False) -> T:
        """What `work` reads; a light one may be done without leaving the event loop.

        Raises `BackendError`.
        """
        ...

    async def write(self, work: Write[T]) -> T:
        """What `work` returns, committed, or raises; raises `BackendError`, too."""
        ...

    async def aclose(self) -> None:
        """No longer use the file."""
        ...

    def close_now(self) -> None:
        """`aclose`, for what is not on an event loop."""
        ...


class _Port:
    """What both have in common. Those that do not count go when all others have gone."""

    def __init__(self, database: Database, seconds: float, *, counts: bool = True) -> None:
        self.database = database
        self.backend = database.place.shown
        self.closed = False
        self._seconds = seconds
        self._counts = counts
        self._entered = False

    def _check(self) -> None:
        if self._counts and not (self._entered or self.closed):
            self._entered = True
            self.database.enter()
        if self.closed or not self.database.users:
            raise ClosedError(f"the cache over {self.backend} was closed")

    def close_now(self) -> None:
        """`aclose`, for what is not on an event loop."""
        if not self.closed:
            self.closed = True
            if self._entered:
                self.database.quit()


class BlockingPort(_Port):
    """The port for threads."""

    async def read(self, work: Read[T], *, light: bool = False) -> T:
        self._check()
        return read_now(self.database, work, self._seconds)

    async def write(self, work: Write[T]) -> T:
        self._check()
        return _result(write_now(self.database, [Turn(work)], self._seconds)[0])

    async def aclose(self) -> None:
        self.close_now()


class AsyncPort(_Port):
    """The port for event loops.

    Readers never wait for writers in SQLite, so a light read takes microseconds, less than it
    would take to hand it to a thread; should the disk be slow, threads read for a while. Writes
    are done by threads, those of many tasks in one transaction.
    """

    def __init__(self, database: Database, seconds: float) -> None:
        super().__init__(database, seconds)
        self._away_until = 0.0
        self._writers: weakref.WeakKeyDictionary[Loop, Gatherer[Turn[Any], Any]] = (
            weakref.WeakKeyDictionary()
        )
        _forking.register(self)

    def fork_locks(self) -> tuple[()]:
        """Nothing here is locked."""
        return ()

    def after_fork(self) -> None:
        """A child has event loops of its own."""
        self._writers = weakref.WeakKeyDictionary()

    async def read(self, work: Read[T], *, light: bool = False) -> T:
        self._check()
        database, seconds = self.database, self._seconds
        if light:
            began = database.time()
            if began >= self._away_until:
                try:
                    return try_read(database, work, LIGHT)
                except Busy:
                    pass
                finally:
                    ended = database.time()
                    if ended - began > _TOO_LONG:
                        self._away_until = ended + _REST
        return await wait_elsewhere(lambda: read_now(database, work, seconds))

    async def write(self, work: Write[T]) -> T:
        self._check()
        turn = Turn(work)
        try:
            outcome: T | Exception = await self._writer().ask(turn)
        except BaseException:
            turn.dropped = True
            raise
        return _result(outcome)

    def _writer(self) -> Gatherer[Turn[Any], Any]:
        loop = running_loop()
        writer = self._writers.get(loop)
        if writer is None:
            writer = self._writers[loop] = Gatherer(self._write_all, most=1, whole=True)
        return writer

    def _write_all(self, works: Sequence[Turn[Any]]) -> Awaitable[list[Any]]:
        database, seconds = self.database, self._seconds
        return wait_elsewhere(lambda: write_now(database, works, seconds))

    async def aclose(self) -> None:
        if not self.closed:
            await wait_elsewhere(self.close_now)


def _result(outcome: T | Exception) -> T:
    if isinstance(outcome, Exception):
        raise outcome
    return outcome
