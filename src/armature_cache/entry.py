"""The entry: a value with the facts that decide whether it may still be served."""

from __future__ import annotations

import copy
import math
from typing import Final, NamedTuple, Self


class Proof(NamedTuple):
    """What a shared store without sequences said of an entry, to be asked about again.

    `cas` is its version in one `run` of its server, `marks` are the nonces of its tags.
    """

    run: bytes
    cas: int
    marks: tuple[bytes, ...]


class Rare(NamedTuple):
    """What few entries have.

    `cost` is how many seconds the load took. `window` is the lifetime of an entry if each read
    starts it anew, else 0. `etag` is what the loader said of the value's version. `softened_at` is
    when it became stale although its lifetime was not over. `ends_at` is when the original of a
    copy is no longer fresh, where it is to be loaded again ahead of that (0: not known). `proof` is
    what those of a store without sequences have.
    """

    cost: float = 0.0
    window: float = 0.0
    etag: str = ""
    softened_at: float = math.inf
    ends_at: float = 0.0
    proof: Proof | None = None


NOTHING_RARE: Final = Rare()
_LEAST_COST: Final = 0.001
UNTOUCHED_PART: Final = 1 / 16
"""The part of a sliding lifetime for which another read does not start it anew."""


def rare_of(cost: float, window: float, etag: str, proof: Proof | None = None) -> Rare | None:
    """What is rare about an entry, if anything: loads of less than a millisecond are not."""
    if not window and not etag and cost < _LEAST_COST and proof is None:
        return None
    return Rare(cost, window, etag, proof=proof)


class Entry:
    """A cached value in this process, with the facts by which it is judged.

    `asof` and `epoch` say what was known of the tag clock before the value was loaded; `seen` is
    the cursor, and `generation` the local generation, at which the entry was last found valid.
    Times are in seconds of the store's time source: a hit needs no thought before `check_at`, the
    entry answers as fresh before `fresh_until`, and is kept until `dead_at` (`math.inf`: for ever).
    A copy of what a shared store holds is fresh for its own part of the lifetime. `rare` holds what
    few entries have. `type_id` is the type that the value was decoded to, 0 for none in particular.
    `weight` is in bytes, or 1 where bytes are not counted. `visits` and `place` belong to the
    eviction policy; a hit touches nothing but `visits`.
    """

    __slots__ = (
        "asof",
        "check_at",
        "dead_at",
        "epoch",
        "fresh_until",
        "generation",
        "key",
        "place",
        "rare",
        "seen",
        "tags",
        "type_id",
        "value",
        "visits",
        "weight",
    )

    def __init__(
        self,
        key: str,
        value: object,
        *,
        asof: int,
        epoch: int,
        tags: tuple[str, ...] = (),
        fresh_until: float = math.inf,
        dead_at: float | None = None,
        rare: Rare | None = None,
        seen: int = 0,
        type_id: int = 0,
        weight: int = 1,
    ) -> None:
        self.key = key
        self.value = value
        self.tags = tags
        self.asof = asof
        self.epoch = epoch
        self.seen = seen
        self.generation = -1
        self.check_at = self.fresh_until = fresh_until
        self.dead_at = fresh_until if dead_at is None else dead_at
        self.rare = rare
        self.type_id = type_id
        self.weight = weight
        self.visits = 0
        self.place: object = None

    @property
    def stamp(self) -> tuple[int, int]:
        """`(epoch, asof)`: the order in which entries of one key replace one another."""
        return (self.epoch, self.asof)

    @property
    def proof(self) -> Proof | None:
        """What a store without sequences said of it."""
        return None if self.rare is None else self.rare.proof

    @property
    def version(self) -> tuple[int, int]:
        """What tells it from the entry before it in a shared store: the higher is the later."""
        proof = self.proof
        return self.stamp if proof is None else (1, proof.cas)

    @property
    def more(self) -> Rare:
        """What few entries have."""
        return self.rare or NOTHING_RARE

    @property
    def kept(self) -> float:
        """For how many seconds it is kept when it is no longer fresh."""
        return self.dead_at - self.fresh_until if self.dead_at > self.fresh_until else 0.0

    def soften(self, moment: float) -> None:
        """Be stale from now on, which counts from a moment on."""
        since = min(moment, self.stale_since)
        self.rare = self.more._replace(softened_at=since)
        self.check_at = self.fresh_until = -math.inf

    @property
    def stale_since(self) -> float:
        """When it is stale, or from when on that counts."""
        return self.fresh_until if self.fresh_until > -math.inf else self.more.softened_at

    def stale_for(self, now: float) -> float:
        """For how many seconds it has been stale; 0 while it is fresh."""
        return max(0.0, now - self.stale_since)

    def seconds_left(self, now: float) -> float:
        """The seconds that it is fresh for; `math.inf` without expiry."""
        return max(0.0, self.fresh_until - now)

    def arm(self, check_at: float, ends_at: float) -> None:
        """Let hits need thought from a moment on, ahead of the end of the original."""
        if check_at < self.fresh_until:
            self.check_at = check_at
            self.rare = self.more._replace(ends_at=ends_at)

    def inherit_times(self, other: Entry) -> None:
        """Have the lifetime of another entry."""
        for name in ("check_at", "fresh_until", "dead_at", "rare"):
            setattr(self, name, getattr(other, name))

    def with_tags(self, tags: tuple[str, ...]) -> Self:
        """A copy with other tags."""
        twin = copy.copy(self)
        twin.tags = tags
        return twin

    def __repr__(self) -> str:
        return f"<Entry {self.key!r} epoch={self.epoch} asof={self.asof} tags={self.tags!r}>"


class StoredEntry(Entry):
    """An entry as a shared store holds it, with what copies of it do without.

    `created` is when it was stored. `copied` is its copy in L1, once there is one.
    """

    __slots__ = ("copied", "counter", "created", "no_expiry")

    def __init__(  # noqa: PLR0917 - see below
        self,
        key: str,
        value: object,
        asof: int,
        epoch: int,
        tags: tuple[str, ...],
        created: float,
        fresh_until: float,
        dead_at: float,
        rare: Rare | None,
        seen: int,
        type_id: int,
        weight: int = 1,
        no_expiry: bool = False,  # noqa: FBT001, FBT002
        counter: bool = False,  # noqa: FBT001, FBT002
    ) -> None:
        # Written out like that of an entry, and called without names where entries are read: one is
        # made for each that is read of a shared store.
        self.key = key
        self.value = value
        self.tags = tags
        self.asof = asof
        self.epoch = epoch
        self.seen = seen
        self.generation = -1
        self.check_at = self.fresh_until = fresh_until
        self.dead_at = dead_at
        self.rare = rare
        self.type_id = type_id
        self.weight = weight
        self.visits = 0
        self.place = None
        self.created = created
        self.no_expiry = no_expiry
        self.counter = counter
        self.copied: Entry | None = None

    def seconds_left(self, now: float) -> float:
        return math.inf if self.no_expiry else super().seconds_left(now)
