"""What keeps a cache file small: done a little at a time, by those who write.

A hand goes round the entries in the order of their numbers, which is a random one. What has ended
or is dead by the clock leaves when the hand passes. Where the file is too large, those of each
handful leave that were read least recently; when an entry was read is noted rarely, and with the
next write.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from armature_cache import _forking, envelope
from armature_cache._runtime.background import crew
from armature_cache.envelope import Envelope
from armature_cache.sqliteio.rows import Row, Rows, drop

if TYPE_CHECKING:
    from armature_cache.sqliteio.database import Database
    from armature_cache.sqliteio.transaction import Transaction

IsDead = Callable[[str, Envelope], bool]
"""Whether an entry is surely dead, by all that its clock knows."""

EVERY: Final = 16
"""Writes from one handful to the next."""
HANDFUL: Final = 32
"""Entries that are looked at together."""
_EVICTED_PART: Final = 4
"""One in so many of a handful is evicted at a time."""
_ROUNDS: Final = 128
"""Handfuls at the most that leave room for one write."""
_GROWTH: Final = 256 * 1024
"""Bytes that are stored before room is made, at the most."""
_FREE_PART: Final = 4
"""Pages for each free one below which the file is not made smaller."""
_LEAST_FREE, _MOST_FREED = 64, 128
LOG_BYTES: Final = 4 * 1024 * 1024
"""Size of the log from which on it is copied into the file."""
UNTOUCHED: Final = 60_000
"""Milliseconds after which another read of an entry is noted."""
_MOST_TOUCHED: Final = 4096
_FLUSHED: Final = 256
_LOWEST: Final = -(2**63)
_HAND: Final = (
    "SELECT id, space, key, dead_at, touched, length(body), head FROM entries "
    "WHERE id > ? ORDER BY id LIMIT ?"
)
_MICROS_IN_MS: Final = 1000


class Space(NamedTuple):
    """What upkeep has to know of a namespace; `memory` is how long stamps count, in ms."""

    rows: Rows
    is_dead: IsDead
    memory: int


class Looked(NamedTuple):
    """An entry under the hand."""

    number: int
    space: int
    key: bytes
    dead_at: int
    touched: int
    length: int
    head: bytes


class Upkeep:
    """The upkeep of one file by this process."""

    def __init__(self, database: Database) -> None:
        self.max_bytes = 2**63
        self.evictions = 0
        self.expirations = 0
        self._database = database
        self._spaces: dict[int, Space] = {}
        self._hand = random.randrange(_LOWEST, -_LOWEST)  # noqa: S311 - each process begins elsewhere
        self._turn = 0
        self._grown = 0
        self._touched: dict[int, int] = {}
        self._copying = threading.Lock()
        _forking.register(self)

    def fork_locks(self) -> tuple[()]:
        """Nothing that others wait for."""
        return ()

    def after_fork(self) -> None:
        """No copy is under way in a child, and other entries are under its hand."""
        self._copying = threading.Lock()
        self._hand = random.SystemRandom().randrange(_LOWEST, -_LOWEST)

    def look_after(self, space: Space, max_bytes: int) -> None:
        """Take care of a namespace; the smallest bound of all counts for the file."""
        known = self._spaces.get(space.rows.space)
        memory = space.memory if known is None else max(space.memory, known.memory)
        self._spaces[space.rows.space] = space._replace(memory=memory)
        self.max_bytes = min(self.max_bytes, max_bytes)

    # -- reads -------------------------------------------------------------------------------

    def saw(self, number: int, touched: int, now: int) -> None:
        """An entry was read, which was last known to be read at `touched`; both in ms."""
        if now - touched >= UNTOUCHED and len(self._touched) < _MOST_TOUCHED:
            self._touched[number] = now

    # -- writes ------------------------------------------------------------------------------

    def within(self, transaction: Transaction) -> None:
        """Do a share of the work in a transaction that somebody else has begun."""
        self._turn += 1
        self._grown += transaction.grown + 1
        if self._turn % EVERY and self._grown < _GROWTH:
            return
        self._grown = 0
        self._flush(transaction)
        self._sweep(transaction)
        self._make_room(transaction)
        if not self._turn % (EVERY * 16):
            transaction.execute("DELETE FROM claims WHERE ends_at <= ?", (transaction.now,))

    def _flush(self, transaction: Transaction) -> None:
        """Note when entries were read."""
        for number in list(self._touched)[:_FLUSHED]:
            at = self._touched.pop(number)
            transaction.execute(
                "UPDATE entries SET touched = ? WHERE id = ? AND touched < ?", (at, number, at)
            )

    def _handful(self, transaction: Transaction) -> list[Looked]:
        rows = transaction.execute(_HAND, (self._hand, HANDFUL)).fetchall()
        self._hand = rows[-1][0] if len(rows) == HANDFUL else _LOWEST
        return [Looked(*row) for row in rows]

    def _sweep(self, transaction: Transaction) -> list[Looked]:
        """Let go of what has ended or is dead; returns the others."""
        left = []
        for one in self._handful(transaction):
            tombstone = _is_tombstone(one.head)
            if one.dead_at <= transaction.now:
                self.expirations += not tombstone
                drop(transaction.execute, one.space, one.number, one.head)
            elif not tombstone and self._is_dead(one):
                self._let_go(transaction, one)
            else:
                left.append(one)
        return left

    def _is_dead(self, one: Looked) -> bool:
        space, parsed = self._spaces.get(one.space), envelope.parse_head(one.head)
        if space is None or parsed is None:
            return False
        return space.is_dead(one.key.decode("utf-8", "replace"), parsed)

    def _make_room(self, transaction: Transaction) -> None:
        """Evict until the file is below its bound, or enough was done for one write."""
        execute = transaction.execute
        size = _number(execute, "page_size")
        pages, free = _number(execute, "page_count"), _number(execute, "freelist_count")
        surplus = (pages - free) * size - self.max_bytes
        rounds = 0
        while surplus > -(self.max_bytes // 64) and rounds < _ROUNDS and (rounds or surplus > 0):
            surplus -= self._evict(transaction)
            rounds += 1
        too_large = pages * size > self.max_bytes or free > pages // _FREE_PART
        if too_large and free > _LEAST_FREE:
            for _ in range(min(free, _MOST_FREED)):
                execute("PRAGMA incremental_vacuum(1)")  # Python's module takes one step of more

    def _evict(self, transaction: Transaction) -> int:
        """Evict those of a handful that were read least recently; the bytes that leave."""
        alive = [
            one for one in self._sweep(transaction)
            if not (_is_tombstone(one.head) or one.number in transaction.stored)
        ]  # fmt: skip
        alive.sort(key=lambda one: self._touched.get(one.number, one.touched))
        gone = alive[: -(-len(alive) // _EVICTED_PART)]
        for one in gone:
            self._let_go(transaction, one)
        self.evictions += len(gone)
        return sum(one.length + len(one.head) for one in gone)

    def _let_go(self, transaction: Transaction, one: Looked) -> None:
        """Remove an entry, but for what older loads of its key have to know."""
        space = self._spaces.get(one.space)
        stamp = envelope.read_stamp(one.head)
        if space is not None and stamp is not None:
            left = stamp[1] // _MICROS_IN_MS + space.memory - transaction.now
            if left > 0:
                old = Row(one.key, one.dead_at, one.head)
                key = one.key.decode("utf-8", "replace")
                space.rows.bury(transaction, key, old, stamp=stamp, life=left)
                return
        drop(transaction.execute, one.space, one.number, one.head)

    # -- the log -----------------------------------------------------------------------------

    def after(self) -> None:
        """See to the log, after a write; it is copied by another thread."""
        if self._grown:  # no handful was due
            return
        if self._database.place.log_size() < LOG_BYTES:
            return
        if self._copying.acquire(blocking=False):
            copying = self._copying

            def work() -> None:
                try:
                    self._database.copy_log()
                finally:
                    copying.release()

            if not crew.send("armature-cache-log", work):
                work()


def _is_tombstone(head: bytes) -> bool:
    return bool(head[3:4]) and bool(head[3] & envelope.Flag.TOMBSTONE)


def _number(execute: Callable[..., Any], pragma: str) -> int:
    found: int = execute(f"PRAGMA {pragma}").fetchone()[0]
    return found
