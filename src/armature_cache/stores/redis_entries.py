"""Entries on a Redis or Valkey server: how each operation is one script or one pipeline."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Final

from armature_cache import advice, envelope
from armature_cache.clocks import advisor
from armature_cache.clocks.replica import Stamp, Verdict
from armature_cache.errors import BackendUnavailable, CounterError
from armature_cache.redisio import scripts
from armature_cache.redisio.port import Command, checked
from armature_cache.stores.draft import Draft
from armature_cache.stores.redis_listing import RedisListing
from armature_cache.stores.redis_writes import Writes
from armature_cache.stores.shared_entries import Judged, Opened, in_range

if TYPE_CHECKING:
    from armature_cache._runtime.base import Signal
    from armature_cache.claims import Claim, Holder
    from armature_cache.stores.redis_claims import Claims

_ATTEMPTS: Final = 16
_PAUSE: Final = 0.002
"""Seconds by which attempts to change a contended key are spread, more with each."""


class RedisEntries(RedisListing):
    """The entry-level operations of `RedisCache`."""

    kind = "redis"
    _writes: Writes
    _claims: Claims

    # -- reading -----------------------------------------------------------------------------

    async def _claim(
        self, keys: Sequence[str], mine: Holder, life: float, *, instead_of: str = ""
    ) -> list[Claim]:
        return await self._claims.take(keys, mine, life, instead_of=instead_of)

    async def _release(self, keys: Sequence[str], nonce: str) -> None:
        await self._claims.release(keys, nonce)

    def _listening(self, key: str) -> AbstractContextManager[Signal]:
        return self._claims.listening(key)

    async def _judged(self, keys: Sequence[str], *, strong: bool) -> list[Judged]:
        """The valid entries among these keys, not decoded yet; one round trip as a rule."""
        names = [self._names.value(key) for key in keys]
        single = len(names) == 1 or self._names.clustered
        reads: list[Command] = [("GET", name) for name in names] if single else [("MGET", *names)]
        replies, seen = await self.clock.read(reads, self.bound, strong=strong)
        return await self._judge(keys, replies if single else replies[0], seen)

    def _cannot_read(self, raw: bytes) -> None:
        super()._cannot_read(raw)
        version = envelope.version_of(raw)
        if version is not None and version != envelope.VERSION:
            self._replica.other_format = version
            advice.tell(self._port.backend, [advisor.other_format(version)])

    # -- writing -----------------------------------------------------------------------------

    async def _swap(self, draft: Draft, expected: bytes, judged: Stamp | None = None) -> bool:
        """Store a value as current now if the stored header is still the expected one.

        `judged` says when that one was valid, if the value takes over its tags.
        """
        await self._declare([draft])
        draft.swapped = self._names.clustered
        await self._writes.close([draft])
        return await self._writes.swap(draft, expected, judged)

    async def _look_at(self, key: str) -> tuple[bytes, Opened | None, Stamp]:
        """What is stored: its header ('' for nothing), the entry if it is valid, and as of when."""
        read: Command = ("GET", self._names.value(key))
        (raw,), seen = await self.clock.read([read], self.bound, strong=True)
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
        for _ in range(_ATTEMPTS):
            stamp, current, _ = await self._look_at(draft.key)
            if current is not None and self.time() < current[0].fresh_until:
                return False
            if self._is_foreign(draft.key, stamp):
                return False
            if await self._swap(draft, stamp):
                return True
        raise self._contended(draft.key)

    async def _restamp(self, key: str, ttl: float | None) -> bool:
        for _ in range(_ATTEMPTS):
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
            least = self._replica.least_asof(key, tags, swapped=self._names.clustered)
            outcome = await self._add_to(key, delta, least, envelope.pack_tags(tags), b"")
        for attempt in range(_ATTEMPTS):
            if outcome is not None:
                return outcome
            stamp, current, known = await self._look_at(key)
            if self._is_foreign(key, stamp):
                raise CounterError(
                    f"{key!r} is a value of another release of this library, which this one cannot "
                    "read; nothing was added. Let one release count, or delete the key"
                )
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

    def _contended(self, key: str) -> BackendUnavailable:
        return BackendUnavailable(
            f"{key!r} changed under {_ATTEMPTS} attempts; too many writers at once",
            backend=self._port.backend,
        )
