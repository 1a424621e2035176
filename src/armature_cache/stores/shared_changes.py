"""Changes of what a shared store holds: compared, and set if nobody else was there first."""

from __future__ import annotations

import random
from abc import abstractmethod
from typing import TYPE_CHECKING, Final

from armature_cache import envelope
from armature_cache.clocks.judgement import Stamp, Verdict
from armature_cache.errors import BackendUnavailable
from armature_cache.stores.draft import Draft
from armature_cache.stores.sequenced_entries import SequencedEntries
from armature_cache.stores.shared_entries import Opened, foreign_counter

if TYPE_CHECKING:
    from armature_cache.stores.shared_writes import ComparingWrites

ATTEMPTS: Final = 16
_PAUSE: Final = 0.002
"""Seconds by which attempts to change a contended key are spread, more with each."""


class SharedChanges(SequencedEntries):
    """What shared stores change in the same way: `add`, `expire`, `increment`."""

    _writes: ComparingWrites

    @property
    @abstractmethod
    def _backend(self) -> str:
        """What the shared store is called in errors."""

    @property
    def _apart(self) -> bool:
        """Whether values are compared and set where the clock is not at hand."""
        return False

    @abstractmethod
    async def _raw(self, key: str) -> tuple[bytes | None, int]:
        """What is stored under a key now, and the cursor up to which everything was known then."""

    @abstractmethod
    async def _add_to(
        self, key: str, delta: int, least: int, tags: bytes, stamp: bytes
    ) -> int | None:
        """The sum, if there is a counter that can be added to in place.

        It has the header `stamp`, or these packed tags and at least the asof `least`.
        """

    async def _swap(self, draft: Draft, expected: bytes, judged: Stamp | None = None) -> bool:
        """Store a value as current now if the stored header is still the expected one.

        `judged` says when that one was valid, if the value takes over its tags.
        """
        await self._declare([draft])
        draft.swapped = self._apart
        await self._writes.close([draft])
        return await self._writes.swap(draft, expected, judged)

    async def _look_at(self, key: str) -> tuple[bytes, Opened | None, Stamp]:
        """What is stored: its header ('' for nothing), the entry if it is valid, and as of when."""
        raw, seen = await self._raw(key)
        opened = await self._opened(await self._judge([key], [raw], seen, settled=True))
        known = Stamp(self._replica.epoch, seen)
        return (raw or b"")[: envelope.HEADER_SIZE], opened[0] if opened else None, known

    def _is_foreign(self, key: str, head: bytes) -> bool:
        """Whether another release, whose envelopes are unknown here, has something under the key.

        Whether it is still valid only that release can tell: its tags are not known.
        """
        stamp = envelope.foreign_stamp(head)
        if stamp is None:
            return False
        return self._replica.judge(key, *stamp, (), settled=True) is Verdict.VALID

    async def _add(self, draft: Draft) -> bool:
        for _ in range(ATTEMPTS):
            stamp, current, _ = await self._look_at(draft.key)
            if current is not None and self.time() < current[0].fresh_until:
                return False
            if self._is_foreign(draft.key, stamp):
                return False
            if await self._swap(draft, stamp):
                return True
        raise self._contended(draft.key)

    async def _restamp(self, key: str, ttl: float | None) -> bool:
        for _ in range(ATTEMPTS):
            stamp, current, known = await self._look_at(key)
            if current is None or self.time() >= current[0].fresh_until:
                return False
            entry, sealed, payload = current
            draft = Draft(
                key, None, payload, sealed.type_id, 0, sealed.tags, ttl,
                keep=entry.dead_at - entry.fresh_until, sliding=sealed.sliding,
                etag=sealed.etag, counter=entry.counter,
            )  # fmt: skip
            if await self._swap(draft, stamp, known):
                return True
        raise self._contended(key)

    async def _increment(
        self, key: str, delta: int, ttl: float | None, tags: tuple[str, ...]
    ) -> int:
        await self.clock.ensure(self.bound)
        outcome = None
        if not self._sealing.protected:
            least = self._replica.least_asof(key, tags, swapped=self._apart)
            outcome = await self._add_to(key, delta, least, envelope.pack_tags(tags), b"")
        for attempt in range(ATTEMPTS):
            if outcome is not None:
                return outcome
            stamp, current, known = await self._look_at(key)
            if self._is_foreign(key, stamp):
                raise foreign_counter(key)
            if current is None or self.time() >= current[0].fresh_until:
                draft, judged = self._counter(key, delta, ttl, tags), None
            elif current[1].counter:
                outcome = await self._add_to(key, delta, 0, b"", stamp)
                continue
            else:
                draft, judged = self._raised(key, delta, current), known
            if await self._swap(draft, stamp, judged):
                return int(draft.payload or b"0")
            await self.runtime.sleep(attempt * random.uniform(0, _PAUSE))  # noqa: S311
        raise self._contended(key)

    def _contended(self, key: str) -> BackendUnavailable:
        return BackendUnavailable(
            f"{key!r} changed under {ATTEMPTS} attempts; too many writers at once",
            backend=self._backend,
        )
