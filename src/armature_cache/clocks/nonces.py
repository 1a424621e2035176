"""What this process knows of a clock of nonces, and the judgement of entries by it.

Nonces are compared for equality; nothing in them rises. So this process counts, by itself, how
often it heard that g was another one, and calls that count a sequence: what was found valid at the
present count is valid now, and of everything else the server has to be asked. The rules are those
of docs/protocol.md and of the model in tests/model/memcached.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple, Self

from armature_cache.clocks.digest import hardly, is_soft, mark_of, soft_mark
from armature_cache.clocks.judgement import Stamp, Verdict
from armature_cache.clocks.server_replica import Registry, ServerReplica
from armature_cache.entry import Entry
from armature_cache.memcachedio.wire import NOWHERE, At

MAX_TAGS: Final = 50_000
MAX_SIGHTS: Final = 10_000
ROOT: Final = ""
"""The tag that every entry of a namespace has."""
NEVER: Final = -1
"""The sequence of what was read at another g than the one heard last."""


class Nonces(NamedTuple):
    """The item of a tag: its nonces, and when it was invalidated softly, in seconds of our time.

    `at` is when it was stored.
    """

    hard: bytes
    soft: bytes
    softened_at: float
    at: At

    @property
    def mark(self) -> bytes:
        """What an entry keeps of it."""
        return self.hard + self.soft

    def same_as(self, other: Nonces | None) -> bool:
        """Whether nothing has happened to the tag between this and the other."""
        return other is not None and self.mark == other.mark


class Known(NamedTuple):
    """Nonces of a tag as they were read at a sequence.

    These very ones have been known since `tick`: a load that began later began under them.
    """

    nonces: Nonces | None
    tick: int
    sequence: int


class Sight(NamedTuple):
    """The item of a key when it was last read, at a sequence."""

    at: At
    sequence: int


class Basis(Stamp):
    """A stamp with what was known beside g: nothing that is needed, but what spares refusals.

    `tick` says which nonces were known, `g_at` when that g was stored, `item` is the key's item.
    """

    tick: int
    g_at: At
    item: At

    @classmethod
    def of(cls, stamp: Stamp, tick: int, g_at: At, item: At) -> Self:
        """A stamp with all that."""
        self = cls(*stamp)
        self.tick, self.g_at, self.item = tick, g_at, item
        return self


class NonceReplica(ServerReplica):
    """The replica of a clock of nonces: one per list of servers, namespace and process.

    `last` counts the changes of g that this process heard of. Replies count in the order in which
    their questions were sent.
    """

    __slots__ = ("_asked", "_heard", "_lives", "_sights", "_tick", "g", "g_at", "nonces")

    def __init__(self) -> None:
        self._lives = self._asked = self._heard = self._tick = 0
        super().__init__()

    def forget(self) -> None:
        with self._lock:
            super().forget()
            self.g = b""
            self.g_at = NOWHERE
            self._heard = self._asked
            self.nonces: OrderedDict[str, Known] = OrderedDict()
            self._sights: OrderedDict[str, Sight] = OrderedDict()

    # -- g -----------------------------------------------------------------------------------

    def ask(self) -> int:
        """A question or a write is about to be sent; its number."""
        with self._lock:
            self._asked += 1
            return self._asked

    def hear(self, number: int, g: bytes, at: At, sent_at: float) -> int:
        """Take in what g was, by the reply to a question; the sequence of what was read after it.

        A reply to an earlier question than the one heard last changes nothing.
        """
        with self._lock:
            if number > self._heard:
                self._heard = number
                self._adopt(g, at, sent_at)
            return self.last if g == self.g else NEVER

    def wrote(self, number: int, g: bytes, at: At, sent_at: float) -> int:
        """Take in the last g of an own write; the sequence of what is read after it.

        What was asked before no longer counts. If something that was asked after the write had
        begun was answered meanwhile, nobody knows which of the two was first.
        """
        with self._lock:
            overtaken = number < self._heard
            self._heard = self._asked
            if overtaken:
                self._change(b"", NOWHERE)
                self.synced_at = -math.inf
                return NEVER
            self._adopt(g, at, sent_at)
            return self.last

    def _adopt(self, g: bytes, at: At, sent_at: float) -> None:
        self.syncs += 1
        if g != self.g:
            self._change(g, at)
        self.synced_at = max(self.synced_at, sent_at)

    def _change(self, g: bytes, at: At) -> None:
        if not self.epoch:
            self._lives += 1
            self.epoch = self._lives
        self.g, self.g_at = g, at
        self.last += 1
        self.generation += 1

    # -- nonces and keys ---------------------------------------------------------------------

    def learn_nonces(self, tag: str, nonces: Nonces | None, sequence: int) -> None:
        """Note the nonces of a tag that were read at a sequence; None where there are none."""
        with self._lock:
            self._tick += 1
            known = self.nonces.get(tag)
            if known is not None and known.sequence > sequence:
                return
            tick = self._tick
            if known is not None and nonces is not None and nonces.same_as(known.nonces):
                nonces, tick = known.nonces, known.tick
            self.nonces[tag] = Known(nonces, tick, sequence)
            self.nonces.move_to_end(tag)
            if len(self.nonces) > MAX_TAGS:
                self.nonces.popitem(last=False)

    def nonces_at(self, tag: str, sequence: int) -> Nonces | None:
        """The nonces of a tag, if they were read at this sequence.

        That there were none is not worth knowing: g does not change when they are made anew.
        """
        known = self.nonces.get(tag)
        return known.nonces if known is not None and known.sequence == sequence != NEVER else None

    def nonces_remembered(self, tag: str) -> Nonces | None:
        """The nonces of a tag as they were read last, whenever that was."""
        known = self.nonces.get(tag)
        return None if known is None else known.nonces

    def nonces_before(self, tag: str, tick: int) -> Nonces | None:
        """The nonces of a tag, if these very ones were known before a load began."""
        known = self.nonces.get(tag)
        return known.nonces if known is not None and known.tick <= tick else None

    def sight(self, key: str, at: At, sequence: int) -> None:
        """Note the item of a key, as it was read at a sequence."""
        with self._lock:
            self._sights[key] = Sight(at, sequence)
            self._sights.move_to_end(key)
            if len(self._sights) > MAX_SIGHTS:
                self._sights.popitem(last=False)

    def lose_sight(self, key: str) -> None:
        """The item of a key is not what it was."""
        with self._lock:
            self._sights.pop(key, None)

    def sighted(self, key: str) -> bool:
        """Whether the item of a key was read at the present sequence."""
        sight = self._sights.get(key)
        return sight is not None and sight.sequence == self.last

    def stamp(self, key: str = "") -> Stamp:
        with self._lock:
            sight = self._sights.get(key)
            item = NOWHERE if sight is None else sight.at
            return Basis.of(Stamp(self.epoch, self.last), self._tick, self.g_at, item)

    # -- judgement ---------------------------------------------------------------------------

    def judge(
        self,
        key: str,
        epoch: int,
        asof: int,
        tags: tuple[str, ...],
        *,
        settled: bool = False,
        swapped: bool = False,
    ) -> Verdict:
        if epoch != self.epoch or (not settled and self._is_held(key, tags)):
            return Verdict.DEAD
        return Verdict.VALID if asof == self.last else Verdict.UNKNOWN

    def copy_valid(self, entry: Entry) -> bool:
        generation = self.generation
        valid = self._verdict(entry) is Verdict.VALID
        if valid:
            self.soften(entry)
            entry.generation = generation
        return valid

    def recoverable(self, entry: Entry) -> bool:
        return self._verdict(entry) is Verdict.UNKNOWN

    def _verdict(self, entry: Entry) -> Verdict:
        return self.judge(entry.key, entry.epoch, entry.asof, entry.tags)

    def soften(self, entry: Entry) -> None:
        for moment in self._held_softly(entry.tags):
            entry.soften(moment)

    def _softened(self, tags: tuple[str, ...], asof: int) -> bool:
        return bool(self._held_softly(tags))

    def _held_softly(self, tags: Iterable[str]) -> list[float]:
        since = self._soft_since
        if not since:
            return []
        return [since[mark] for mark in map(soft_mark, tags) if mark in since]

    def _is_held(self, key: str, tags: Iterable[str]) -> bool:
        """Whether this process is invalidating it, or could not get that acknowledged."""
        pending = self._pending
        return bool(pending) and (
            self._key_bumped(key, 0) or any(mark_of(tag) in pending for tag in tags)
        )


nonce_replica_of: Final = Registry(NonceReplica)


def tags_of(names: Iterable[str]) -> dict[str, bool]:
    """Tags by the names of their invalidations, and whether they are only invalidated softly."""
    found: dict[str, bool] = {}
    for name in names:
        tag, soft = hardly(name), is_soft(mark_of(name))
        found[tag] = soft and found.get(tag, True)
    return found


def stands_by(
    tags: Sequence[str], marks: Sequence[bytes], found: Mapping[str, Nonces | None]
) -> list[float] | None:
    """When an entry with these marks was softly invalidated; None if it is not valid at all."""
    if len(marks) != len(tags) + 1:
        return None
    moments = []
    for tag, mark in zip((ROOT, *tags), marks, strict=True):
        nonces = found.get(tag)
        if nonces is None or mark[:8] != nonces.hard:
            return None
        if mark[8:] != nonces.soft:
            moments.append(nonces.softened_at)
    return moments


def stands(entry: Entry, found: Mapping[str, Nonces | None]) -> bool:
    """Whether an entry is valid by the nonces of its tags; makes it stale where that is due."""
    marks = () if entry.proof is None else entry.proof.marks
    moments = stands_by(entry.tags, marks, found)
    for moment in moments or ():
        entry.soften(moment)
    return moments is not None
