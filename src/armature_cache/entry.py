"""The entry: a value with the facts that decide whether it may still be served."""

from __future__ import annotations

import copy
import math


class Entry:
    """A cached value in this process, with the facts by which it is judged.

    `asof` and `epoch` say what was known of the tag clock before the value was loaded; `seen` is
    the cursor, and `generation` the local generation, at which the entry was last found valid.
    `created` and `dead_at` are in seconds of the store's time source (`math.inf`: never dies).
    `type_id` is the type that the value was decoded to, 0 for none in particular. `weight` is in
    bytes, or 1 where bytes are not counted. `visits` and `place` belong to the eviction policy; a
    hit touches nothing but `visits`.
    """

    __slots__ = (
        "asof",
        "counter",
        "created",
        "dead_at",
        "epoch",
        "generation",
        "key",
        "no_expiry",
        "place",
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
        created: float = 0.0,
        dead_at: float = math.inf,
        seen: int = 0,
        type_id: int = 0,
        weight: int = 1,
        no_expiry: bool = False,
        counter: bool = False,
    ) -> None:
        self.key = key
        self.value = value
        self.tags = tags
        self.asof = asof
        self.epoch = epoch
        self.seen = seen
        self.generation = -1
        self.created = created
        self.dead_at = dead_at
        self.no_expiry = no_expiry
        self.counter = counter
        self.type_id = type_id
        self.weight = weight
        self.visits = 0
        self.place: object = None

    @property
    def stamp(self) -> tuple[int, int]:
        """`(epoch, asof)`: the order in which entries of one key replace one another."""
        return (self.epoch, self.asof)

    def with_tags(self, tags: tuple[str, ...]) -> Entry:
        """A copy with other tags."""
        twin = copy.copy(self)
        twin.tags = tags
        return twin

    def __repr__(self) -> str:
        return f"<Entry {self.key!r} epoch={self.epoch} asof={self.asof} tags={self.tags!r}>"
