"""Drafts on their way into a shared store, and what such a store does with them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

from armature_cache.codecs.counter import COUNTER_CODE
from armature_cache.envelope import Envelope, Flag
from armature_cache.stores.sealing import Addressed

if TYPE_CHECKING:
    from armature_cache._time import TimeSource
    from armature_cache.clocks.judgement import Stamp
    from armature_cache.clocks.server_replica import ServerReplica
    from armature_cache.config import CacheConfig
    from armature_cache.entry import Entry
    from armature_cache.stores.draft import Draft
    from armature_cache.stores.sealing import Sealing


class SharedWrites(ABC):
    """Writes to a shared store, the same for all of them but for the way there."""

    def __init__(
        self, replica: ServerReplica, sealing: Sealing, config: CacheConfig, time: TimeSource
    ) -> None:
        self._replica = replica
        self._sealing = sealing
        self._config = config
        self._time = time

    def life(self, draft: Draft) -> int:
        """How long a draft is kept on the server, in ms."""
        return max(1, round(min(self._fresh_for(draft) + draft.keep, self._config.max_ttl) * 1000))

    def _fresh_for(self, draft: Draft) -> float:
        return self._config.max_ttl if draft.ttl is None else draft.ttl

    def now(self) -> int:
        """The time by which envelopes are dated, in ms."""
        return int(self._time() * 1000 + self._replica.server_behind)

    async def close(self, drafts: Sequence[Draft]) -> None:
        """Make the envelopes of drafts, once for all attempts to store them."""
        addressed = [Addressed(draft.key, self._envelope(draft), draft.leased) for draft in drafts]
        for draft, closed in zip(drafts, await self._sealing.close(addressed), strict=True):
            draft.closed = closed

    def _envelope(self, draft: Draft) -> Envelope:
        """The envelope of a draft, not closed yet and without a stamp."""
        now = self.now()
        draft.dead_at = now + self.life(draft)
        added_to = draft.counter and not self._sealing.protected
        flags = (
            (Flag.NO_EXPIRY if draft.ttl is None else 0)
            | (Flag.COUNTER if added_to else 0)
            | (Flag.SLIDING if draft.sliding and draft.ttl is not None else 0)
            | (Flag.SWAPPED if draft.swapped else 0)
        )
        return Envelope(
            asof=0,
            epoch=0,
            flags=flags,
            created=now,
            fresh_until=now + max(1, round(self._fresh_for(draft) * 1000)),
            dead_at=draft.dead_at,
            cost=int(draft.cost * 1_000_000),
            codec=COUNTER_CODE if draft.counter else self._sealing.codec.code,
            type_id=draft.type_id,
            tags=draft.tags,
            etag=draft.etag,
            payload=draft.payload or b"",
        )

    def _latest(self, draft: Draft) -> int:
        """The moment, in ms of the server, after which a load is too old to be stored."""
        latest = draft.started + self._config.max_load_time * 1.5
        return int(latest * 1000 + self._replica.server_behind)

    @abstractmethod
    async def fill(self, drafts: Sequence[Draft]) -> list[bool]:
        """Store values that were loaded; False for those that came too late."""

    @abstractmethod
    async def put(self, drafts: Sequence[Draft]) -> list[bool]:
        """Store values as current now, or since their lease; False for an overtaken lease."""

    @abstractmethod
    async def touch(self, entries: Sequence[Entry]) -> None:
        """Start the lifetimes of sliding entries anew, unless they were replaced meanwhile."""


class ComparingWrites(SharedWrites):
    """Writes of a store whose headers are compared as they are."""

    @abstractmethod
    async def swap(self, draft: Draft, expected: bytes, judged: Stamp | None) -> bool:
        """Store a value as current now if the stored header is still the expected one.

        `judged` is given for a value that takes over the tags of the expected one, which was
        valid then: it has to be still.
        """
