"""The replica: this process's copy of a tag clock."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from armature_cache import _forking
from armature_cache.clocks.digest import is_soft, mark_of
from armature_cache.clocks.heritage import NO_HERITAGE, Heritage
from armature_cache.clocks.judgement import Judge, Stamp, key_mark

MAX_TAGS: Final = 50_000
MAX_KEYS: Final = 50_000


class Delta(NamedTuple):
    """Everything that the clock recorded after `cursor`, up to `last`.

    `floor` is the tag floor, `keys_floor` the floor of the key clock's short memory.
    """

    epoch: int
    cursor: int
    last: int
    floor: int
    keys_floor: int
    tags: Mapping[bytes, int]
    keys: Mapping[bytes, int]
    heritage: Heritage | None = None
    """What the epoch inherits; None where nothing is said of it."""


class Reader(Protocol):
    """A store that answers from this process while the replica is trusted."""

    @property
    def hits(self) -> int:
        """How many reads it has answered."""
        ...


class Replica(Judge):
    """One process's copy of a tag clock; thread-safe, shared by all faces and wrappers.

    `generation` rises with every change that may turn an entry invalid. `synced_at` is when the
    last successful sync was sent (`math.inf` for a clock that lives in this process): a store
    trusts the replica until its staleness bound after that. `own` marks the replica of a clock
    that lives in this process: there an entry is replaced by the very call that bumps its key, so
    that entries are judged by their tags alone; but not their copies in other stores, where
    `copied` says that there are such.
    """

    __slots__ = (
        "__weakref__",
        "_lock",
        "_pending",
        "_soft",
        "_soft_since",
        "copied",
        "epoch",
        "floor",
        "generation",
        "inherited",
        "keys",
        "keys_known_above",
        "known_above",
        "last",
        "own",
        "synced_at",
        "tags",
    )

    def __init__(self, *, own: bool = False) -> None:
        self.own = own
        self.copied = False
        self._lock = threading.RLock()
        self._pending: dict[bytes, int] = {}
        self._soft_since: dict[bytes, float] = {}
        self.generation = 0
        self.forget()
        _forking.register(self)

    def fork_locks(self) -> tuple[_forking.Lock, ...]:
        """What may not be held while the process forks."""
        return (self._lock,)

    def after_fork(self) -> None:
        """A clock that lives here goes on in a child; one of a server is not trusted there."""
        self._pending, self._soft_since = {}, {}
        if not self.own:
            self.forget()

    def forget(self) -> None:
        """Start cold: nothing is known and nothing is trusted."""
        with self._lock:
            self.synced_at = -math.inf
            self.epoch = 0
            self.last = 0
            self.ahead = 0
            self.floor = 0
            self.inherited = NO_HERITAGE
            self.known_above = 0
            self.keys_known_above = 0
            self._soft = bool(self._soft_since)
            self.tags: dict[bytes, int] = {}
            self.keys: OrderedDict[bytes, int] = OrderedDict()
            self.generation += 1

    def read_by(self, reader: Reader) -> None:
        """Note who serves what is judged by this replica."""

    def stamp(self, key: str = "") -> Stamp:
        """The epoch and the cursor, as one consistent pair.

        Given the key of a load that is about to begin, it may carry more than that.
        """
        with self._lock:
            return Stamp(self.epoch, self.last)

    @property
    def behind(self) -> bool:
        """Whether an entry was seen that is newer than this replica: sync before a load."""
        return self.ahead > self.last

    def overtook(self, key: str, tags: tuple[str, ...], stamp: Stamp) -> bool:
        """Whether something that this replica knows has happened to a load since its stamp."""
        return stamp <= self.stamp() and not self.covers(key, tags, stamp)

    # -- change ------------------------------------------------------------------------------

    def merge(self, delta: Delta, synced_at: float | None) -> bool:
        """Take in a complete delta; False when it is of an older epoch and was ignored.

        `synced_at` is when the request for it was sent. What the clock recorded between this
        replica's cursor and the delta's is unknown from then on; a newer epoch empties it.
        """
        with self._lock:
            if delta.epoch < self.epoch:
                return False
            changed = delta.epoch > self.epoch or delta.cursor > self.last
            if delta.epoch > self.epoch:
                self._enter(delta.epoch)
            if changed:
                self.known_above = max(self.known_above, delta.cursor)
                self.keys_known_above = max(self.keys_known_above, delta.cursor)
            # A sync brings the last bump once more: no entry has to be looked at again for that.
            changed |= self._know(delta.tags)
            changed |= _raise(self.keys, delta.keys) and not self.own
            changed |= delta.floor > self.floor
            self.floor = max(self.floor, delta.floor)
            if delta.cursor < delta.keys_floor:
                changed |= delta.keys_floor > self.keys_known_above
                self.keys_known_above = max(self.keys_known_above, delta.keys_floor)
            changed |= self._inherit(delta.heritage)
            self.last = max(self.last, delta.last)
            self.ahead = 0
            self._trim()
            if changed:
                self.generation += 1
            if synced_at is not None and synced_at > self.synced_at:
                self.synced_at = synced_at
            return True

    def _inherit(self, heritage: Heritage | None) -> bool:
        if heritage is None or not heritage.complete or heritage == self.inherited:
            return False
        self.inherited = heritage
        return True

    def vouch(self, epoch: int, synced_at: float) -> None:
        """There was no news in this epoch when it was asked for, at `synced_at`."""
        with self._lock:
            if epoch == self.epoch and synced_at > self.synced_at:
                self.synced_at = synced_at

    def _enter(self, epoch: int) -> None:
        self.forget()
        self.epoch = epoch

    def _know(self, news: Mapping[bytes, int]) -> bool:
        self._soft = self._soft or any(map(is_soft, news))
        return _raise(self.tags, news)

    def advance(self, tags: Sequence[bytes], keys: Sequence[bytes], micros: int) -> int:
        """Record a bump of digests in a clock that lives here, at a time in µs.

        Returns its sequence.
        """
        with self._lock:
            self.last = sequence = max(self.last + 1, micros)
            known = self.keys
            for key in keys:
                known[key] = sequence
                known.move_to_end(key)
            while len(known) > MAX_KEYS:
                _, self.keys_known_above = known.popitem(last=False)
            if tags:
                self._know(dict.fromkeys(tags, sequence))
                if len(self.tags) > MAX_TAGS:
                    self._trim()
                    self.floor = self.known_above
                self.generation += 1
            elif self.copied:
                self.generation += 1
            return sequence

    def learn(self, epoch: int, scores: Mapping[bytes, int], known_above: int | None) -> None:
        """Take in older facts; `known_above` lowers the mark down to which all are known."""
        with self._lock:
            if epoch != self.epoch:
                return
            self._know(scores)
            if known_above is not None and known_above < self.known_above:
                self.known_above = known_above
            self.generation += 1

    def _trim(self) -> None:
        if len(self.tags) > MAX_TAGS:
            self.known_above = max(self.known_above, _drop_oldest(self.tags, MAX_TAGS * 3 // 4))
        if len(self.keys) > MAX_KEYS:
            self.keys_known_above = max(
                self.keys_known_above, _drop_oldest(self.keys, MAX_KEYS * 3 // 4)
            )

    # -- invalidations under way -------------------------------------------------------------

    def hold(self, tags: Iterable[str], keys: Iterable[str], now: float) -> list[bytes]:
        """Make tags and keys dead in this process until they are released with `drop`.

        What is invalidated softly is stale from `now` on.
        """
        marks = [*map(mark_of, tags), *map(key_mark, keys)]
        with self._lock:
            for mark in marks:
                self._pending[mark] = self._pending.get(mark, 0) + 1
                if is_soft(mark):
                    self._soft_since.setdefault(mark, now)
                    self._soft = True
            self.generation += 1
        return marks

    def drop(self, marks: Iterable[bytes]) -> None:
        """Release what `hold` made dead: the clock knows by now."""
        with self._lock:
            for mark in marks:
                left = self._pending.get(mark, 0) - 1
                if left > 0:
                    self._pending[mark] = left
                else:
                    self._pending.pop(mark, None)
                    self._soft_since.pop(mark, None)
            self.generation += 1


def _raise(known: dict[bytes, int], news: Mapping[bytes, int]) -> bool:
    """Take in later sequences; whether there are any."""
    risen = False
    for name, sequence in news.items():
        if sequence > known.get(name, 0):
            known[name] = sequence
            risen = True
    return risen


def _drop_oldest(known: dict[bytes, int], keep: int) -> int:
    mark = sorted(known.values(), reverse=True)[keep]
    for name in [name for name, sequence in known.items() if sequence <= mark]:
        del known[name]
    return mark
