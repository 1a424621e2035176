"""The tag clock of a cache that lives in this process."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from armature_cache._time import TimeSource
from armature_cache.clocks.digest import digest, mark_of
from armature_cache.clocks.judgement import Stamp
from armature_cache.clocks.replica import Delta, Replica

if TYPE_CHECKING:
    from armature_cache.claims import Holder
    from armature_cache.entry import Entry


class LocalClock:
    """A clock that is its own authority: never untrusted, never unreachable."""

    def __init__(self, time: TimeSource) -> None:
        self.replica = Replica(own=True)
        self._time = time
        self._begin(1)

    async def ensure(self, bound: float, *, strong: bool = False) -> None:
        """Nothing to do: the replica is the clock."""

    async def confirm(
        self, entries: Sequence[Entry], bound: float, *, strong: bool = False
    ) -> None:
        """Nothing to do: the replica can tell."""

    async def brace(self, loads: Mapping[str, tuple[str, ...]]) -> None:
        """Nothing to do: a stamp says it all."""

    async def overtaken(self, key: str, tags: tuple[str, ...], holder: Holder) -> bool:
        """Whether what the holder of a claim is loading was invalidated since he began."""
        return self.replica.overtook(key, tags, Stamp(holder.epoch, holder.asof))

    async def settle(self) -> None:
        """Nothing to wait for: nobody else reads this clock."""

    def declare_bound(self, bound: float) -> None:
        """Nothing to do: the replica is always trusted."""

    async def bump(self, tags: Sequence[str], keys: Sequence[str] = ()) -> int:
        """Record an invalidation of tags and keys and return its sequence."""
        return self.replica.advance(
            [mark_of(tag) for tag in tags], [digest(key) for key in keys], self._micros()
        )

    async def restart(self) -> None:
        """Begin a new epoch: every entry of the clock is dead."""
        self._begin(self.replica.epoch + 1)

    def _micros(self) -> int:
        return int(self._time() * 1_000_000)

    def _begin(self, epoch: int) -> None:
        sequence = max(self.replica.last + 1, self._micros())
        self.replica.merge(
            Delta(
                epoch=epoch,
                cursor=sequence,
                last=sequence,
                floor=sequence,
                keys_floor=sequence,
                tags={},
                keys={},
            ),
            math.inf,
        )
