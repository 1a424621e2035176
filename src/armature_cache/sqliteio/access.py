"""Reads and writes of a cache file: done as a whole, and again where the file has changed."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Generic, NoReturn, TypeVar

from armature_cache.errors import CacheError
from armature_cache.sqliteio.database import ATTEMPTS, Database, Patience
from armature_cache.sqliteio.failures import (
    Busy,
    Dropped,
    Moved,
    Resync,
    is_busy,
    is_damage,
    too_slow,
    translate,
)
from armature_cache.sqliteio.opening import unusable
from armature_cache.sqliteio.transaction import Transaction

if TYPE_CHECKING:
    from armature_cache.sqliteio.links import Link

T = TypeVar("T")
Read = Callable[["Link", int], T]
"""Reads from a connection, up to so many bytes: `Busy` says that there is more, `Moved` that its
file is not the one."""
Write = Callable[[Transaction], T]
"""Writes within a transaction. What it raises before it has changed anything concerns only itself:
an error of its caller's, or `Resync`."""


def read_now(database: Database, work: Read[T], seconds: float) -> T:
    """What `work` reads, with patience for those who hold locks; raises `BackendError`."""
    patience = Patience(seconds, database.time)
    return _patiently(database, patience, lambda: _read(database, work, patience))


def _patiently(database: Database, patience: Patience, attempt: Callable[[], T]) -> T:
    """What an attempt returns, made again where others hold a lock or the file has changed."""
    moves = 0
    while moves < ATTEMPTS:
        try:
            return attempt()
        except Moved:
            moves += 1
        except Busy:
            if not patience.wait():
                raise too_slow(database.place, patience.seconds) from None
    raise unusable(database.place)


def _read(database: Database, work: Read[T], patience: Patience) -> T:
    era = database.era
    try:
        link = database.reader(patience)
        era = link.era
        try:
            return work(link, sys.maxsize)
        finally:
            database.give_back(link)
    except (Moved, sqlite3.Error) as error:
        _react(database, error, era)


def try_read(database: Database, work: Read[T], limit: int) -> T:
    """What `work` reads, if that can be done at once and is not too much; else `Busy`."""
    link = database.idle_reader()
    try:
        return work(link, limit)
    except (Moved, sqlite3.Error):
        raise Busy from None
    finally:
        database.give_back(link)


class Turn(Generic[T]):
    """A write that somebody waits for; who no longer does drops it, unless it has begun.

    So a write that was given up does not come after those that were asked for later.
    """

    __slots__ = ("_work", "dropped")

    def __init__(self, work: Write[T]) -> None:
        self._work = work
        self.dropped = False

    def __call__(self, transaction: Transaction) -> T:
        """Do it."""
        if self.dropped:
            raise Dropped
        return self._work(transaction)


def write_now(database: Database, works: Sequence[Turn[T]], seconds: float) -> list[T | Exception]:
    """What each of `works` returns or raises, all done in one transaction.

    Raises `BackendError` where nothing was done.
    """

    def wanted() -> bool:
        return not all(work.dropped for work in works)

    patience = Patience(seconds, database.time, wanted)
    return _patiently(database, patience, lambda: _write(database, works, patience))


def _write(database: Database, works: Sequence[Turn[T]], patience: Patience) -> list[T | Exception]:
    era = database.era
    try:
        link, witness = database.writer(patience)
        era = link.era
        try:
            transaction = Transaction(link.connection, witness, database.time())
            outcomes: list[T | Exception] = [_outcome(work, transaction) for work in works]
            database.upkeep.within(transaction)
            transaction.end()
            if transaction.vouches:
                database.check(era)
        finally:
            database.release_writer(link)
    except (Moved, sqlite3.Error) as error:
        _react(database, error, era)
    for act in transaction.after:
        act()
    database.upkeep.after()
    return outcomes


def _outcome(work: Write[T], transaction: Transaction) -> T | Exception:
    try:
        return work(transaction)
    except (CacheError, Resync, Dropped) as error:
        return error


def _react(database: Database, error: Moved | sqlite3.Error, era: int) -> NoReturn:
    """Do what an error asks for, and say whether to try again."""
    if isinstance(error, sqlite3.Error) and is_busy(error):
        raise Busy from None
    if isinstance(error, Moved) or database.has_moved(era):
        database.leave(era, error)
        raise Moved from error
    if is_damage(error):
        database.damaged(error, era)
        raise Moved from error
    raise translate(error, database.place) from error
