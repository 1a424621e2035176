"""Entries as rows: where they are, how they are found, and how the listing index follows them."""

from __future__ import annotations

import functools
import hashlib
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from armature_cache import envelope
from armature_cache.envelope import Envelope, Flag

if TYPE_CHECKING:
    from armature_cache.sqliteio.transaction import Transaction

Execute = Callable[..., sqlite3.Cursor]

_FIND: Final = "SELECT key, dead_at, head FROM entries WHERE id = ?"
_BODY: Final = "SELECT body FROM entries WHERE id = ?"
_NEW: Final = "INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?, ?, ?, ?)"
_OVER: Final = "UPDATE entries SET dead_at = ?, touched = ?, head = ?, body = ? WHERE id = ?"
_LIST: Final = "INSERT OR IGNORE INTO listing VALUES (?, ?, ?)"
_UNLIST: Final = "DELETE FROM listing WHERE space = ? AND tag = ? AND id = ?"
_DROP: Final = "DELETE FROM entries WHERE id = ?"
TOMBSTONE: Final = Envelope(0, 0, flags=Flag.TOMBSTONE)


@functools.lru_cache(maxsize=32_768)
def number_of(name: str) -> int:
    """The number of a name, never 0. Entries whose names share one replace one another."""
    raw = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return int.from_bytes(raw, "big", signed=True) or 1


class Row(NamedTuple):
    """What is stored about an entry or tombstone, but its payload; `dead_at` is in ms."""

    key: bytes
    dead_at: int
    head: bytes

    @property
    def stamp(self) -> tuple[int, int]:
        """`(epoch, asof)`, below every other one if it cannot be read."""
        return envelope.read_stamp(self.head) or (0, 0)

    @property
    def named(self) -> bytes:
        """The tags as they stand in the header; none for a tombstone."""
        return named(self.head)


def named(head: bytes) -> bytes:
    """The tags as they stand in a header."""
    return head[envelope.HEADER_SIZE : envelope.head_size(head)]


class Sealed(NamedTuple):
    """An envelope, stamped and in two parts, and its end in ms."""

    head: bytes
    body: bytes | memoryview
    dead_at: int


class Rows:
    """The rows of one namespace."""

    def __init__(self, namespace: str) -> None:
        self.space = number_of(namespace)
        self._prefix = namespace + "\0"

    def id_of(self, key: str) -> int:
        """The number under which a key's entry is."""
        return number_of(self._prefix + key)

    def find(self, execute: Execute, number: int) -> Row | None:
        """The row of a number."""
        row = execute(_FIND, (number,)).fetchone()
        return None if row is None else Row(*row)

    def body(self, execute: Execute, number: int) -> bytes:
        """The payload of a row that is there."""
        found: bytes = execute(_BODY, (number,)).fetchone()[0]
        return found

    def put(self, transaction: Transaction, key: str, sealed: Sealed, old: Row | None) -> None:
        """Store an entry in place of what was found there."""
        number, name, execute = self.id_of(key), key.encode(), transaction.execute
        head, body, dead_at = sealed
        touched = transaction.now
        if old is not None and old.key == name:
            execute(_OVER, (dead_at, touched, head, body, number))
        else:
            execute(_NEW, (number, self.space, name, dead_at, touched, head, body))
        if old is None or old.named != named(head):
            self._relist(execute, number, old, Row(name, dead_at, head))
        transaction.grown += len(head) + len(body)
        transaction.stored.add(number)

    def bury(
        self, transaction: Transaction, key: str, old: Row | None, *, stamp: tuple[int, int],
        life: int,
    ) -> None:  # fmt: skip
        """Put a tombstone in place of what was found there, for `life` ms."""
        epoch, asof = stamp
        head = envelope.close(key, TOMBSTONE).stamped(asof, epoch)
        self.put(transaction, key, Sealed(head, b"", transaction.now + life), old)

    def move(self, execute: Execute, number: int, dead_at: int, head: bytes) -> None:
        """Give a row another end and header, but the same tags."""
        execute("UPDATE entries SET dead_at = ?, head = ? WHERE id = ?", (dead_at, head, number))

    def _relist(self, execute: Execute, number: int, old: Row | None, new: Row) -> None:
        before = set() if old is None else _tags(old)
        after = _tags(new)
        unlist(execute, self.space, number, before - after)
        for tag in after - before:
            execute(_LIST, (self.space, number_of(tag), number))


def _tags(row: Row) -> set[str]:
    return tags_of(row.head)


def tags_of(head: bytes) -> set[str]:
    """The tags in a header, as far as they can be read."""
    parsed = envelope.parse_head(head)
    return set() if parsed is None else set(parsed.tags)


def unlist(execute: Execute, space: int, number: int, tags: Iterable[str]) -> None:
    """Take an entry out of the lists of tags."""
    for tag in tags:
        execute(_UNLIST, (space, number_of(tag), number))


def drop(execute: Execute, space: int, number: int, head: bytes) -> None:
    """Remove a row, and its places in the listing index."""
    unlist(execute, space, number, tags_of(head))
    execute(_DROP, (number,))


def marks(count: int) -> str:
    """Question marks for so many values or more, so that few statements differ."""
    size = 1
    while size < count:
        size *= 4
    return ", ".join("?" * size)


def padded(values: Sequence[Any], count: int) -> list[Any]:
    """Values for the question marks of `marks`: the last one again and again."""
    size = 1
    while size < count:
        size *= 4
    return [*values, *([values[-1]] * (size - len(values)))]
