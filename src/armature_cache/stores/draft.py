"""What passes between a store's public methods and its entry-level ones."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Generator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from armature_cache.clocks.judgement import Stamp
    from armature_cache.entry import Proof
    from armature_cache.envelope import Closed


class Prepared(NamedTuple):
    """A value as every tier will return it, with its payload where there is a codec.

    `type_id` belongs to the payload, `decoded_as` to the value.
    """

    value: object
    payload: bytes | None = None
    type_id: int = 0
    decoded_as: int = 0


@dataclasses.dataclass(slots=True)
class Draft:
    """A value about to be stored.

    `stamp` None asserts that the value is current now; else it was loaded from `started` on, when
    the clock stood at `stamp`. `leased` means that nobody knows whether it was read or written
    since: it is stored as current unless something has happened after `stamp`. `swapped` means
    that it is compared and set where the clock is not at hand. `written` says that it was written:
    then all older values of the key are dead in any case. `ttl` is in seconds, None for no expiry;
    `keep` is how long the value is kept after that; `cost` is the load's time in seconds, and after
    `renew_after` seconds it is to be done again, ahead of the end of the lifetime. With `sliding`
    each read starts the lifetime anew. `claim` is the nonce of the claim that ends when the value
    is stored; whoever ends it empties this. `closed` is the envelope in which a shared store keeps
    it, dead at `dead_at` in ms of the server, once that has been made; `proof` is what a store
    without sequences said of it when it was stored.
    """

    key: str
    value: object
    payload: bytes | memoryview | None
    type_id: int
    decoded_as: int
    tags: tuple[str, ...]
    ttl: float | None
    keep: float = 0.0
    sliding: bool = False
    etag: str = ""
    stamp: Stamp | None = None
    started: float = 0.0
    cost: float = 0.0
    counter: bool = False
    renew_after: float = math.inf
    leased: bool = False
    swapped: bool = False
    written: bool = False
    claim: str = ""
    closed: Closed | None = None
    proof: Proof | None = None
    dead_at: int = 0

    @property
    def window(self) -> float:
        """The lifetime, if each read starts it anew; else 0."""
        return self.ttl if self.sliding and self.ttl is not None else 0.0


class Mark:
    """What the clock said at a moment: give it to `set(as_of=mark)` for a value read after it.

    Awaiting a mark first brings the clock up to date, which makes a fill with it less likely to
    be refused.
    """

    __slots__ = ("_renew", "stamp", "taken_at")

    def __init__(self, stamp: Stamp, taken_at: float, renew: Callable[[], Awaitable[Mark]]) -> None:
        self.stamp = stamp
        self.taken_at = taken_at
        self._renew = renew

    def __await__(self) -> Generator[object, None, Mark]:
        return self._renew().__await__()

    def __repr__(self) -> str:
        return f"<Mark epoch={self.stamp.epoch} asof={self.stamp.asof}>"
