"""The judgement of entries by what a process knows of a tag clock.

The rules are those of the coherence protocol (docs/protocol.md) and of the model in tests/model.
An entry is valid iff its epoch is the clock's, its asof is not below the floor, and neither a tag
of it nor its key was bumped after its asof.
"""

from __future__ import annotations

import enum
from collections import OrderedDict
from collections.abc import Iterator
from typing import NamedTuple

from armature_cache.clocks.digest import digest, marks_of, soft_mark
from armature_cache.clocks.heritage import Heritage
from armature_cache.entry import Entry


class Stamp(NamedTuple):
    """What a process knew of the clock at a moment: the `asof` of loads that begin then."""

    epoch: int
    asof: int


class Verdict(enum.Enum):
    """What the replica can say of an entry of the shared store."""

    VALID = "valid"
    DEAD = "dead"
    UNKNOWN = "unknown"
    """More than this replica can tell: the server has to be asked."""
    AHEAD = "ahead"
    """Of an epoch that this replica has not seen yet: a sync has to come first."""


class Judge:
    """What is said of entries, by facts that `Replica` keeps.

    `tags` and `keys` are the sequences of what was bumped after `known_above` and
    `keys_known_above`; what is in `_pending` is dead here, whatever its sequence.
    """

    __slots__ = ("ahead",)

    _pending: dict[bytes, int]
    _soft: bool
    _soft_since: dict[bytes, float]
    ahead: int
    epoch: int
    floor: int
    generation: int
    inherited: Heritage
    keys: OrderedDict[bytes, int]
    keys_known_above: int
    known_above: int
    last: int
    own: bool
    tags: dict[bytes, int]

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
        """The verdict on an entry of the shared store.

        `settled` goes by what the clock acknowledged alone. A compare-and-set needs that: what
        another thread is writing under this key may have arrived already. An entry that was
        `swapped` in is not dead by its key: others bumped that, too, before they came too late.
        """
        if epoch != self.epoch and not self.inherits(epoch, asof):
            return Verdict.AHEAD if epoch > self.epoch else Verdict.DEAD
        keys, score = self.keys, self.tags.get
        if (
            asof < self.floor
            or (self.own and asof < self.keys_known_above)
            or (keys and not swapped and keys.get(digest(key), 0) > asof)
        ):
            return Verdict.DEAD
        for tag in tags:
            if score(digest(tag), 0) > asof:
                return Verdict.DEAD
        if self._pending and not settled and self._is_pending(key, tags):
            return Verdict.DEAD
        if tags and asof < self.known_above:
            return Verdict.UNKNOWN
        if asof > self.last:
            self.ahead = max(self.ahead, asof)
        return Verdict.VALID

    def least_asof(self, key: str, tags: tuple[str, ...], *, swapped: bool) -> int:
        """The least asof with which an entry of this key and these tags is surely valid."""
        if self._pending:
            return self.last + 1
        least = self.floor if swapped else max(self.floor, self.keys.get(digest(key), 0))
        for mark in marks_of(tags):
            least = max(least, self.tags.get(mark, 0), self.known_above)
        return least

    def was_valid(self, epoch: int, asof: int, tags: tuple[str, ...]) -> bool:
        """Whether an entry that was just replaced under its key had been valid by its tags."""
        return (
            (epoch == self.epoch or self.inherits(epoch, asof))
            and asof >= self.floor
            and not self._tag_bumped(tags, asof)
            and not self._softened(tags, asof)
        )

    def inherits(self, epoch: int, asof: int) -> bool:
        """Whether entries of this stamp have outlived a failover."""
        inherited = self.inherited
        return epoch == inherited.parent and 0 < asof <= inherited.limit

    def own_epoch(self, epoch: int, asof: int) -> int:
        """The epoch in which an entry of this stamp lives on."""
        return self.epoch if epoch != self.epoch and self.inherits(epoch, asof) else epoch

    def covers(self, key: str, tags: tuple[str, ...], stamp: Stamp) -> bool:
        """Whether a load of this stamp is new enough for a caller who arrives now."""
        valid = self.judge(key, stamp.epoch, stamp.asof, tags) is Verdict.VALID
        return valid and not self._softened(tags, stamp.asof)

    def soften(self, entry: Entry) -> None:
        """Let an entry be stale since one of its tags was invalidated softly."""
        if self._soft:
            for moment in self._soft_moments(entry.tags, entry.asof):
                entry.soften(moment)

    def moment_of(self, sequence: int) -> float:
        """When a sequence was issued, in seconds of the time source."""
        return sequence / 1_000_000

    def _softened(self, tags: tuple[str, ...], asof: int) -> bool:
        return next(self._soft_moments(tags, asof), None) is not None

    def _soft_moments(self, tags: tuple[str, ...], asof: int) -> Iterator[float]:
        if not self._soft:
            return
        for mark in map(soft_mark, tags):
            sequence = self.tags.get(mark, 0)
            if sequence > asof:
                yield self.moment_of(sequence)
            if mark in self._soft_since:
                yield self._soft_since[mark]

    def copy_valid(self, entry: Entry) -> bool:
        """Whether a copy of an entry is valid now; remembers the generation when it is."""
        generation, last = self.generation, self.last
        bumped = entry.seen < self.keys_known_above or self._key_bumped(entry.key, entry.asof)
        return not bumped and self._valid_by_tags(entry, generation, last)

    def original_valid(self, entry: Entry) -> bool:
        """The same, of an entry of the store that the clock belongs to."""
        return self._valid_by_tags(entry, self.generation, self.last)

    def _valid_by_tags(self, entry: Entry, generation: int, last: int) -> bool:
        if (
            entry.epoch != self.epoch
            or entry.asof < self.floor
            or (entry.tags and entry.seen < self.known_above)
            or self._tag_bumped(entry.tags, entry.asof)
        ):
            return False
        self.soften(entry)
        entry.seen = max(entry.seen, last)
        entry.generation = generation
        return True

    def recoverable(self, entry: Entry) -> bool:
        """Whether a copy that is not valid now may be found valid by asking: `Clock.confirm`."""
        return False

    def _key_bumped(self, key: str, asof: float) -> bool:
        keys, pending = self.keys, self._pending
        if keys and keys.get(digest(key), 0) > asof:
            return True
        return bool(pending) and key_mark(key) in pending

    def _tag_bumped(self, tags: tuple[str, ...], asof: int) -> bool:
        score, pending = self.tags.get, self._pending
        for tag in tags:
            name = digest(tag)
            if score(name, 0) > asof or (pending and name in pending):
                return True
        return False

    def _is_pending(self, key: str, tags: tuple[str, ...]) -> bool:
        """Whether an invalidation of these is under way, or not acknowledged."""
        pending = self._pending
        return key_mark(key) in pending or any(digest(tag) in pending for tag in tags)


def key_mark(key: str) -> bytes:
    """What stands for an invalidation of a key that is under way."""
    return b"k:" + digest(key)
