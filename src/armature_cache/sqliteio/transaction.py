"""One write to a cache file: it takes effect as a whole, and in the order of sequences."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, Final

from armature_cache.sqliteio.failures import Moved
from armature_cache.sqliteio.schema import LAST_OF_FILE

if TYPE_CHECKING:
    from armature_cache.sqliteio.witness import Sequences, Witness

_MICROS: Final = 1_000_000


class Transaction:
    """A transaction under way, which several writers may share.

    `began` is when it held the lock, in seconds. `closing` is done before it ends, `after` when it
    has ended well. What writers have in common is in `shared`. With `vouches` the file is looked
    at once more after the end: it is to be the one that the name leads to. `grown` counts bytes
    that were stored, under the numbers in `stored`.
    """

    def __init__(self, connection: sqlite3.Connection, witness: Witness, began: float) -> None:
        self.execute = connection.execute
        self.began = began
        self.shared: dict[Hashable, Any] = {}
        self.closing: list[Callable[[], None]] = []
        self.after: list[Callable[[], None]] = []
        self.vouches = False
        self.grown = 0
        self.stored: set[int] = set()
        self._witness = witness
        self._known: Sequences | None = None
        self._before = self._serial = 0

    @property
    def now(self) -> int:
        """The time in ms."""
        return int(self.began * 1000)

    def issue(self) -> int:
        """The next sequence: above every other one of the file, and µs of the time if it can."""
        if not self._serial:
            self._begin()
        self._serial = max(self._serial + 1, int(self.began * _MICROS))
        self.vouches = True
        return self._serial

    def _begin(self) -> None:
        serial: int = self.execute(LAST_OF_FILE).fetchone()[0]
        self._known = self._witness.sequences()
        if self._known is None or not self._known.fits(serial):
            raise Moved(f"it is at {serial}, and was left at {self._known}")
        self._before = self._serial = serial

    def end(self) -> None:
        """Do what is left, commit, and leave the witness in agreement with the file."""
        for close in self.closing:
            close()
        issued = self._serial > self._before
        if issued:
            self._witness.announce(self._before, self._serial, self._known)
        self.execute("COMMIT")
        if issued:
            self._witness.confirm(self._serial)
