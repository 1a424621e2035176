"""What is in a cache file, and the settings of a connection to it."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Final

APPLICATION: Final = 0x41434331
"""What marks a file as a cache of this library: 'ACC1'."""
VERSION: Final = 1
OLDEST_SQLITE: Final = (3, 35, 0)
LAST_OF_FILE: Final = "SELECT coalesce(max(last), 0) FROM clocks"
"""The last sequence of all namespaces: it tells how far a file has come."""

_RESET_FIXED: Final = (3, 51, 3)
_RESET_BACKPORTS: Final = ((3, 44, 6), (3, 50, 7))


def resets_safely(version: tuple[int, int, int] = sqlite3.sqlite_version_info) -> bool:
    """Whether this SQLite lets others write while the log is being copied into the file.

    Before 3.51.3 a writer that begins the log anew at the wrong moment makes a checkpoint skip
    what was never copied (https://sqlite.org/wal.html, the WAL-reset bug): there, nobody may write
    meanwhile.
    """
    return version >= _RESET_FIXED or any(
        version[:2] == fixed[:2] and version >= fixed for fixed in _RESET_BACKPORTS
    )


TABLES: Final = (
    # Which file this is, and in which run of the machine its times count.
    "CREATE TABLE file (identity BLOB NOT NULL, boot TEXT NOT NULL)",
    # One row for each namespace; tags and logged are numbers of rows in the two tables below.
    """CREATE TABLE clocks (
        space INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, last INTEGER NOT NULL,
        floor INTEGER NOT NULL, keys_floor INTEGER NOT NULL, bound INTEGER NOT NULL,
        longest INTEGER NOT NULL, tags INTEGER NOT NULL, logged INTEGER NOT NULL
    )""",
    # The tag clock: when each tag was last invalidated.
    """CREATE TABLE tag_clock (
        space INTEGER NOT NULL, mark BLOB NOT NULL, seq INTEGER NOT NULL,
        PRIMARY KEY (space, mark)
    ) WITHOUT ROWID""",
    "CREATE INDEX tag_news ON tag_clock (space, seq)",
    # The key clock's news: which keys were deleted or set, in order. When, is in the entries.
    """CREATE TABLE key_log (
        space INTEGER NOT NULL, seq INTEGER NOT NULL, mark BLOB NOT NULL,
        PRIMARY KEY (space, seq, mark)
    ) WITHOUT ROWID""",
    # Entries and tombstones, by a digest of namespace and key. The envelope is head and body.
    """CREATE TABLE entries (
        id INTEGER PRIMARY KEY, space INTEGER NOT NULL, key BLOB NOT NULL,
        dead_at INTEGER NOT NULL, touched INTEGER NOT NULL, head BLOB NOT NULL, body BLOB NOT NULL
    )""",
    "CREATE INDEX entries_by_key ON entries (space, key)",
    # The listing index: which entries carry a tag.
    """CREATE TABLE listing (
        space INTEGER NOT NULL, tag INTEGER NOT NULL, id INTEGER NOT NULL,
        PRIMARY KEY (space, tag, id)
    ) WITHOUT ROWID""",
    # Who loads what.
    "CREATE TABLE claims (id INTEGER PRIMARY KEY, holder TEXT NOT NULL, ends_at INTEGER NOT NULL)",
)

NEW_FILE: Final = (
    "PRAGMA page_size = 4096",
    "PRAGMA auto_vacuum = INCREMENTAL",
    # Before the log is used: these are read without it.
    f"PRAGMA application_id = {APPLICATION}",
    f"PRAGMA user_version = {VERSION}",
    "PRAGMA journal_mode = WAL",
)
SETTINGS: Final = (
    # A crash of the machine begins the cache anew, so nothing needs to be on the disk at a time.
    "PRAGMA synchronous = OFF",
    "PRAGMA wal_autocheckpoint = 0",
    "PRAGMA journal_size_limit = 0",
    "PRAGMA secure_delete = OFF",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA trusted_schema = OFF",
    "PRAGMA cache_size = -4096",
    "PRAGMA mmap_size = 0",
)
READING: Final = "PRAGMA query_only = ON"


def marks_of_file(path: str) -> tuple[int, int]:
    """Application and version, from the main file alone: no log is looked at, no lock is taken."""
    with contextlib.closing(
        sqlite3.connect(f"{Path(path).as_uri()}?mode=ro&immutable=1", uri=True)
    ) as connection:
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        return application, connection.execute("PRAGMA user_version").fetchone()[0]


def connect(path: str) -> sqlite3.Connection:
    """A connection that any one thread at a time may use; it never waits for a lock."""
    return sqlite3.connect(
        path, timeout=0, isolation_level=None, check_same_thread=False, cached_statements=128
    )
