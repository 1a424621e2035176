"""Entries on a Redis or Valkey server: how each operation is one script or one pipeline."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING

from armature_cache.errors import CounterError
from armature_cache.redisio import scripts
from armature_cache.redisio.port import Command, checked
from armature_cache.stores.redis_listing import RedisListing
from armature_cache.stores.redis_writes import Writes
from armature_cache.stores.shared_entries import Judged, in_range

if TYPE_CHECKING:
    from armature_cache._runtime.gathering import LoopGatherer
    from armature_cache.stores.redis_claims import Claims


class RedisEntries(RedisListing):
    """The entry-level operations of `RedisCache`."""

    kind = "redis"
    _writes: Writes
    _claims: Claims
    _together: LoopGatherer[str, Judged | None]

    # -- reading -----------------------------------------------------------------------------

    async def _judged(self, keys: Sequence[str], *, strong: bool) -> list[Judged]:
        """The valid entries among these keys, not decoded yet; one round trip as a rule."""
        if len(keys) == 1 and not strong and not self.runtime.blocking:
            judged = await self._together.ask(keys[0])
            return [] if judged is None else [judged]
        return await self._judged_now(keys, strong=strong)

    async def _judged_together(self, keys: Sequence[str]) -> list[Judged | None]:
        """What is read for several tasks at once: each gets an entry of his own."""
        judged = await self._judged_now([*dict.fromkeys(keys)])
        found = {pair[0].key: pair for pair in judged}
        given: set[str] = set()
        results: list[Judged | None] = []
        for key in keys:
            pair = found.get(key)
            if pair is not None and key in given:
                pair = (copy.copy(pair[0]), pair[1])
            given.add(key)
            results.append(pair)
        return results

    async def _judged_now(self, keys: Sequence[str], *, strong: bool = False) -> list[Judged]:
        names = [self._names.value(key) for key in keys]
        single = len(names) == 1 or self._names.clustered
        reads: list[Command] = [("GET", name) for name in names] if single else [("MGET", *names)]
        replies, seen = await self.clock.read(reads, self.bound, strong=strong)
        return await self._judge(keys, replies if single else replies[0], seen)

    # -- writing -----------------------------------------------------------------------------

    @property
    def _apart(self) -> bool:
        return self._names.clustered

    async def _raw(self, key: str) -> tuple[bytes | None, int]:
        read: Command = ("GET", self._names.value(key))
        (raw,), seen = await self.clock.read([read], self.bound, strong=True)
        return raw, seen

    async def _add_to(
        self, key: str, delta: int, least: int, tags: bytes, stamp: bytes
    ) -> int | None:
        command = scripts.INCREMENT(
            [self._names.value(key)],
            self._replica.epoch, least, tags, stamp, in_range(key, delta),
        )  # fmt: skip
        answer = await self._port.send([command], retry=False)
        (reply,) = checked(answer, self._port.backend)
        if reply[0] == -1:
            raise CounterError(f"the counter {key!r} would leave the range of 64 bits")
        return int(reply[1]) if reply[0] == 1 else None
