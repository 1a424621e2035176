"""Connections to a cache file, each used by one thread at a time."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from typing import Final

from armature_cache.sqliteio import schema
from armature_cache.sqliteio.failures import is_busy

MOST_LINKS: Final = 32
"""Connections that read at the same time at the most, in one process."""


class Link:
    """One connection. Whoever uses it holds its lock; it is of no use after its era."""

    __slots__ = ("__weakref__", "connection", "era", "lock")

    def __init__(self, path: str, era: int, *, reads_only: bool) -> None:
        self.lock = threading.Lock()
        self.era = era
        self.connection = schema.connect(path)
        try:
            for setting in schema.SETTINGS:
                self.connection.execute(setting)
            if reads_only:
                self.connection.execute(schema.READING)
        except BaseException:
            self.close()
            raise

    def begin(self) -> bool:
        """Begin a write; False if another process is writing."""
        try:
            self.connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if is_busy(error):
                return False
            raise
        return True

    def roll_back(self) -> None:
        """Undo what was begun, if anything."""
        if self.connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                self.connection.execute("ROLLBACK")

    def close(self) -> None:
        """Close the connection."""
        with contextlib.suppress(sqlite3.Error):
            self.connection.close()
