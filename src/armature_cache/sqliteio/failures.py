"""What SQLite says went wrong, in the words of this library."""

from __future__ import annotations

import sqlite3
from typing import Final

from armature_cache.errors import BackendError, BackendTimeout, BackendUnavailable
from armature_cache.sqliteio.place import Place

_PRIMARY: Final = 0xFF
BUSY: Final = frozenset((sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED))
DAMAGE: Final = frozenset((sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB))
_ADVICE: Final[dict[int, str]] = {
    sqlite3.SQLITE_FULL: "is full, or its disk is; free some space, or lower max_file_bytes",
    sqlite3.SQLITE_READONLY: "cannot be written; look at the rights of the file, of its folder and "
    "of the files beside it, and whether the disk is mounted read-only",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened; look at the rights of the file, of its folder and "
    "of the files beside it",
    sqlite3.SQLITE_PERM: "may not be opened by this user",
    sqlite3.SQLITE_IOERR: "could not be read or written; look at the disk",
    sqlite3.SQLITE_NOMEM: "needs more memory than there is",
}


class Busy(Exception):
    """Somebody else holds a lock at the moment."""


class Resync(Exception):
    """The clock of a namespace is not what a writer believes: it has to be read first."""


class Moved(Exception):
    """The name leads to another file, or to none, or the file was changed behind our back."""


class Dropped(Exception):
    """Nobody waits for a write any more, and it had not begun."""


def code_of(error: sqlite3.Error) -> int:
    """The primary code of an error; 0 where SQLite was not the one to complain."""
    return getattr(error, "sqlite_errorcode", 0) & _PRIMARY


def is_busy(error: sqlite3.Error) -> bool:
    """Whether it is only a lock of somebody else."""
    return code_of(error) in BUSY


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file is not what SQLite wrote."""
    return code_of(error) in DAMAGE


def translate(error: sqlite3.Error, place: Place) -> BackendError:
    """The error of this library for one of SQLite."""
    advice = _ADVICE.get(code_of(error), "failed")
    return BackendUnavailable(f"{place.shown} {advice}: {error}", backend=place.shown)


def too_slow(place: Place, seconds: float) -> BackendTimeout:
    """The error after waiting for others for too long."""
    return BackendTimeout(
        f"{place.shown} was locked by others for more than {seconds} s; look for a process that "
        "was stopped in a write, or raise operation_timeout",
        backend=place.shown,
    )
