"""What was acknowledged when: the judge of staleness, shared by the processes of one machine.

An update is entered after its invalidation was acknowledged, with the version that it committed
to the database and the time on the system's monotonic clock, which all processes share.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple, Self

_KEPT: Final = 16
_FIELDS: Final = 3
_LATEST, _COUNT, _FIRST = 0, 1, 2
_RECORD: Final = _FIRST + _KEPT * _FIELDS
_WIDTH: Final = 8


class Old(NamedTuple):
    """A read that returned less than was acknowledged when it began, `delay` ns before.

    `stale` says that it broke the promise. `judged` is False if too many updates came within one
    bound to tell.
    """

    delay: int
    stale: bool
    judged: bool = True


class Ledger:
    """The last acknowledged updates of each object, in a file that the processes map.

    The latest version is read without a lock; all else under the lock of the file, which the
    system releases when a process dies.
    """

    def __init__(self, path: Path, rank: int, bound: float) -> None:
        self._rank = rank
        self._bound = round(bound * 1e9)
        self._file = os.open(path, os.O_RDWR)
        self._map = mmap.mmap(self._file, 0)
        self._cells = memoryview(self._map).cast("q")

    @classmethod
    def create(cls, path: Path, objects: int) -> None:
        """Make the file, for objects numbered from 0."""
        with path.open("wb") as file:
            file.truncate(max(1, objects) * _RECORD * _WIDTH)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._cells.release()
        self._map.close()
        os.close(self._file)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def acknowledge(self, number: int, version: int, at: int) -> None:
        """Enter that the invalidation after this version was acknowledged at this time, in ns."""
        cells, base = self._cells, number * _RECORD
        with self._locked():
            count = cells[base + _COUNT]
            start = base + _FIRST + count % _KEPT * _FIELDS
            cells[start], cells[start + 1], cells[start + 2] = version, at, self._rank
            cells[base + _COUNT] = count + 1
            cells[base + _LATEST] = max(version, cells[base + _LATEST])

    def judge(self, number: int, version: int, began: int) -> Old | None:
        """Judge a read that began then and returned this version; None if it was not old.

        Another process's update must be seen when the bound has passed since its
        acknowledgement, this process's own at once.
        """
        if version >= self._cells[number * _RECORD + _LATEST]:
            return None
        count, kept = self._entries(number)
        newer = [(at, rank) for newest, at, rank in kept if newest > version and at <= began]
        judged = count <= _KEPT or min(at for _, at, _ in kept) + self._bound < began
        if not newer:
            return None if judged else Old(0, stale=False, judged=False)
        stale = any(at + (0 if rank == self._rank else self._bound) < began for at, rank in newer)
        return Old(began - min(at for at, _ in newer), stale=stale, judged=judged or stale)

    def _entries(self, number: int) -> tuple[int, list[tuple[int, int, int]]]:
        base = number * _RECORD
        with self._locked():
            count = self._cells[base + _COUNT]
            cells = self._cells[base + _FIRST : base + _RECORD].tolist()
        kept = range(0, min(count, _KEPT) * _FIELDS, _FIELDS)
        return count, [(cells[at], cells[at + 1], cells[at + 2]) for at in kept]
