"""The tag clock in a cache file: how it is read, and how a transaction writes to it.

The rules are those of the scripts for Redis: a sequence above all others for each bump, a complete
delta, floors that rise with what is forgotten, a new epoch where the clock cannot be trusted.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from armature_cache.clocks.judgement import Stamp
from armature_cache.clocks.limits import (
    BACKFILL,
    DELTA_LIMIT,
    EPOCH_NONCES,
    KEY_MEMORY,
    MAX_SHARED_KEYS,
    MAX_SHARED_TAGS,
)
from armature_cache.clocks.replica import Delta
from armature_cache.sqliteio.failures import Resync

if TYPE_CHECKING:
    from armature_cache.clocks.server_replica import ServerReplica
    from armature_cache.sqliteio.transaction import Transaction

Execute = Callable[[str, Sequence[Any]], Any]

_COLUMNS: Final = "epoch, last, floor, keys_floor, bound, longest"
_STATE: Final = f"SELECT {_COLUMNS} FROM clocks WHERE space = ?"
_REPLACE: Final = "INSERT OR REPLACE INTO clocks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_TAG_NEWS: Final = "SELECT mark, seq FROM tag_clock WHERE space = ? AND seq > ? LIMIT ?"
_KEY_NEWS: Final = "SELECT mark, seq FROM key_log WHERE space = ? AND seq > ? LIMIT ?"
_NEWEST_TAGS: Final = (
    "SELECT mark, seq FROM tag_clock WHERE space = ? AND seq > ? ORDER BY seq DESC LIMIT ?"
)
_MICROS: Final = 1_000_000
_TRIMMING_EVERY: Final = 8
"""One in so many bumps looks for what can be forgotten."""
_TRIMMED: Final = 256
_TRIMMED_AT_ONCE: Final = 2048


class State(NamedTuple):
    """What the clock of a namespace says of itself; the bound in µs, the longest life in ms."""

    epoch: int
    last: int
    floor: int
    keys_floor: int
    bound: int
    longest: int

    def is_behind(self, known: Stamp) -> bool:
        """Whether it has not come as far as somebody knows it to have been."""
        return Stamp(self.epoch, self.last) < known


class News(NamedTuple):
    """What a replica has to learn: a delta and, for one that starts cold, the newest older tags."""

    state: State
    delta: Delta
    older: dict[bytes, int]
    known_above: int | None

    @property
    def size(self) -> int:
        """How many marks."""
        return len(self.delta.tags) + len(self.delta.keys) + len(self.older)

    def tell(self, replica: ServerReplica, sent_at: float | None) -> bool:
        """Let a replica take it in; False if it knows of a later epoch already."""
        if not replica.merge(self.delta, sent_at):
            return False
        replica.note_bound(self.state.bound)
        if self.known_above is not None:
            replica.learn(self.state.epoch, self.older, self.known_above)
        return True


def read_state(execute: Execute, space: int) -> State | None:
    """The state of a namespace's clock; None if there is none yet."""
    row = execute(_STATE, (space,)).fetchone()
    return None if row is None else State(*row)


def read_news(execute: Execute, space: int, known: Stamp, state: State) -> News:
    """All that the clock has recorded since somebody knew it, within the same snapshot as `state`.

    Who knows another epoch, or is too far behind, starts from the newest, and takes the newest
    tags along.
    """
    if state.epoch == known.epoch:
        tags = _pairs(execute, _TAG_NEWS, space, known.asof, DELTA_LIMIT)
        keys = _pairs(execute, _KEY_NEWS, space, known.asof, DELTA_LIMIT)
        if len(tags) < DELTA_LIMIT and len(keys) < DELTA_LIMIT:
            return News(state, _delta(state, known.asof, tags, keys), {}, None)
    older = _pairs(execute, _NEWEST_TAGS, space, state.floor, BACKFILL)
    low = state.floor if len(older) < BACKFILL else min(older.values())
    return News(state, _delta(state, state.last, {}, {}), older, low)


def _pairs(execute: Execute, query: str, space: int, above: int, limit: int) -> dict[bytes, int]:
    return dict(execute(query, (space, above, limit)).fetchall())


def _delta(state: State, cursor: int, tags: dict[bytes, int], keys: dict[bytes, int]) -> Delta:
    return Delta(
        epoch=state.epoch,
        cursor=cursor,
        last=state.last,
        floor=state.floor,
        keys_floor=state.keys_floor,
        tags=tags,
        keys=keys,
    )


def read_scores(execute: Execute, space: int, marks: Iterable[bytes]) -> dict[bytes, int]:
    """When these marks were last recorded; nothing for those that never were."""
    found: dict[bytes, int] = {}
    for mark in marks:
        row = execute(
            "SELECT seq FROM tag_clock WHERE space = ? AND mark = ?", (space, mark)
        ).fetchone()
        if row is not None:
            found[mark] = row[0]
    return found


class Book:
    """The clock of one namespace within a transaction, which all writers there share."""

    def __init__(self, transaction: Transaction, space: int) -> None:
        self.transaction = transaction
        self.space = space
        self._execute = transaction.execute
        row = self._execute(
            f"SELECT {_COLUMNS}, tags, logged FROM clocks WHERE space = ?", (space,)
        ).fetchone()
        self.state = None if row is None else State(*row[:-2])
        self._tags: int = 0 if row is None else row[-2]
        self._logged: int = 0 if row is None else row[-1]
        self._found = self.state
        self._changed = self._asked = False
        self._new_tags: dict[bytes, int] = {}
        self._new_keys: dict[bytes, int] = {}
        self._load_micros = 0
        self._readers: dict[int, tuple[ServerReplica, News | None]] = {}
        transaction.closing.append(self._close)
        transaction.after.append(self._tell)

    @classmethod
    def of(cls, transaction: Transaction, space: int) -> Book:
        """The one of a transaction."""
        book = transaction.shared.get((cls, space))
        if book is None:
            book = transaction.shared[cls, space] = cls(transaction, space)
        return book

    def standing(self, replica: ServerReplica, load_micros: int) -> State:
        """The clock's state, which is not behind what a replica knows; else `Resync`.

        The replica is told the news, once the transaction has ended.
        """
        if self.state is None or self.state.is_behind(replica.stamp()):
            raise Resync
        self._load_micros = max(self._load_micros, load_micros)
        self._readers[id(replica)] = (replica, None)
        return self.state

    def synchronise(self, replica: ServerReplica, *, restart: bool) -> None:
        """Declare what a replica's process needs, and begin a new epoch where that is needed."""
        known, state = replica.stamp(), self.state
        if state is None or restart or state.is_behind(known):
            old = state or State(0, 0, 0, 0, 0, 0)
            sequence = self.transaction.issue()
            epoch = _later(max(old.epoch, known.epoch))
            self.state = state = old._replace(
                epoch=epoch, last=sequence, floor=sequence, keys_floor=sequence
            )
            self._changed = True
        bound = max(state.bound, replica.largest_bound)
        longest = max(state.longest, replica.declared_ttl)
        if (bound, longest) != (state.bound, state.longest):
            self.state = state._replace(bound=bound, longest=longest)
            self._changed = True
        self._readers[id(replica)] = (replica, None)
        self._asked = self.transaction.vouches = True

    def bump(self, marks: Iterable[bytes] = (), keys: Iterable[bytes] = ()) -> Stamp:
        """Record an invalidation of tags and keys; its stamp."""
        if self.state is None:
            raise Resync
        sequence, execute, space = self.transaction.issue(), self._execute, self.space
        for mark in marks:
            found = execute(
                "UPDATE tag_clock SET seq = ? WHERE space = ? AND mark = ?", (sequence, space, mark)
            )
            if not found.rowcount:
                execute("INSERT INTO tag_clock VALUES (?, ?, ?)", (space, mark, sequence))
                self._tags += 1
            self._new_tags[mark] = sequence
        for mark in keys:
            execute("INSERT OR IGNORE INTO key_log VALUES (?, ?, ?)", (space, sequence, mark))
            self._logged += 1
            self._new_keys[mark] = sequence
        self.state = self.state._replace(last=sequence)
        self._changed = True
        return Stamp(self.state.epoch, sequence)

    # -- the end -----------------------------------------------------------------------------

    def _close(self) -> None:
        if self.state is None or not (self._changed or self._asked):
            return
        added = len(self._new_tags) + len(self._new_keys)
        if added:
            self.state = self._compacted(self.state, added)
        if self._changed:
            self._execute(_REPLACE, (self.space, *self.state, self._tags, self._logged))
        for key, (replica, _) in self._readers.items():
            self._readers[key] = (replica, self._news_for(replica.stamp(), self.state))

    def _news_for(self, known: Stamp, state: State) -> News:
        """What somebody has to learn: as a rule, just what was recorded here."""
        found = self._found
        if found is not None and known == (found.epoch, found.last) and known.epoch == state.epoch:
            return News(state, _delta(state, known.asof, self._new_tags, self._new_keys), {}, None)
        return read_news(self._execute, self.space, known, state)

    def _tell(self) -> None:
        for replica, news in self._readers.values():
            if news is not None:
                news.tell(replica, self.transaction.began)

    def _compacted(self, state: State, added: int) -> State:
        """Forget what is too old or too much, a little now and then; the floors rise with it."""
        surplus = max(self._tags - MAX_SHARED_TAGS, self._logged - MAX_SHARED_KEYS)
        if surplus <= 0 and state.last % _TRIMMING_EVERY:
            return state
        limit = min(added + _TRIMMED, _TRIMMED_AT_ONCE)
        now = int(self.transaction.began * _MICROS)
        horizon = now - state.longest * 1000 - self._load_micros if state.longest else 0
        gone, floor = self._trim(
            "tag_clock", self._tags - MAX_SHARED_TAGS, horizon, limit, state.floor
        )
        self._tags -= gone
        horizon = now - int(KEY_MEMORY * _MICROS)
        gone, keys_floor = self._trim(
            "key_log", self._logged - MAX_SHARED_KEYS, horizon, limit, state.keys_floor
        )
        self._logged -= gone
        return state._replace(floor=floor, keys_floor=keys_floor)

    def _trim(
        self, table: str, surplus: int, horizon: int, limit: int, floor: int
    ) -> tuple[int, int]:
        """Remove the oldest rows of a table; how many, and its floor then."""
        execute, space = self._execute, self.space
        oldest = execute(
            f"SELECT seq, mark FROM {table} WHERE space = ? ORDER BY seq LIMIT ?",
            (space, limit if surplus > 0 else 1),
        ).fetchall()
        if surplus <= 0 and (not oldest or oldest[0][0] >= horizon):
            return 0, floor
        if surplus <= 0:
            oldest = execute(
                f"SELECT seq, mark FROM {table} WHERE space = ? AND seq < ? ORDER BY seq LIMIT ?",
                (space, horizon, limit),
            ).fetchall()
        gone = [
            (space, seq, mark) for at, (seq, mark) in enumerate(oldest)
            if at < surplus or seq < horizon
        ]  # fmt: skip
        for row in gone:
            execute(f"DELETE FROM {table} WHERE space = ? AND seq = ? AND mark = ?", row)
        return len(gone), max(floor, gone[-1][1])


def _later(epoch: int) -> int:
    """An epoch after this one, which nobody else chooses."""
    number = max(epoch // EPOCH_NONCES + 1, int(time.time()))
    return number * EPOCH_NONCES + secrets.randbits(EPOCH_NONCES.bit_length() - 1)
