"""Entries in a shared store: envelopes that are judged, opened, decoded, and made."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Final

from armature_cache.clocks.digest import hardly
from armature_cache.codecs.counter import COUNTER_CODE, decode_counter
from armature_cache.entry import Entry, StoredEntry
from armature_cache.envelope import Envelope, Flag
from armature_cache.errors import (
    BackendError,
    CounterError,
    InvalidationError,
    UndecodablePayload,
    ValueTooLarge,
)
from armature_cache.stores.base import CacheStore
from armature_cache.stores.draft import Draft, Prepared
from armature_cache.stores.sealing import Addressed, Payload, Sealing

if TYPE_CHECKING:
    from armature_cache.clocks.server_replica import ServerReplica
    from armature_cache.clocks.shared import SharedClock
    from armature_cache.codecs.base import Codec
    from armature_cache.config import CacheConfig
    from armature_cache.stores.shared_writes import SharedWrites

_CLOCK_ERROR: Final = 5000
"""Milliseconds by which this process may be wrong about the server's time."""
PAGE: Final = 500
"""Entries that are looked at together at the most."""

Judged = tuple[StoredEntry, Envelope]
Opened = tuple[StoredEntry, Envelope, Payload]


class SharedEntries(CacheStore):
    """The entry-level operations that the stores of all shared places have in common."""

    kind: ClassVar[str]
    """What the store is called in events and statistics."""
    config: CacheConfig
    clock: SharedClock
    codec: Codec
    _replica: ServerReplica
    _sealing: Sealing
    _writes: SharedWrites

    # -- reading -----------------------------------------------------------------------------

    def _peek(self, key: str) -> Entry | None:
        return None

    def _remnant(self, key: str) -> Entry | None:
        return None

    def _fits(self, entry: Entry, want: object) -> bool:
        wanted = self.codec.type_id(want)
        if wanted:
            return wanted == entry.type_id
        return not isinstance(want, type) or isinstance(entry.value, want)

    async def _fetch(
        self, keys: Sequence[str], want: object, *, strong: bool, stale: bool = False
    ) -> dict[str, Entry]:
        judged = await self._judged(keys, strong=strong)
        now = self.time()
        opened = await self._opened([each for each in judged if stale or now < each[0].fresh_until])
        found: dict[str, Entry] = {}
        fresh, sliding = 0, list[Entry]()
        for entry, parsed, payload in opened:
            if self._decode(entry, parsed, payload, want):
                found[entry.key] = entry
                if now < entry.fresh_until:
                    fresh += 1
                    if parsed.flags & Flag.SLIDING and entry.more.window:
                        sliding.append(entry)
        if sliding:
            await self._writes.touch(sliding)
        self.counters.hits += fresh
        self.counters.misses += len(keys) - fresh
        self._tell_hits(found.values(), now, self.kind)
        return found

    @abstractmethod
    async def _judged(self, keys: Sequence[str], *, strong: bool) -> list[Judged]:
        """The valid entries among these keys, not decoded yet; one round trip as a rule."""

    def _cannot_read(self, raw: bytes) -> None:
        """Count stored bytes that are a miss."""
        self.counters.undecodable += 1

    async def _opened(self, judged: list[Judged]) -> list[Opened]:
        """Entries whose payloads could be opened, with these; the others are counted."""
        sealing = self._sealing
        payloads = (
            sealing.plain([parsed for _, parsed in judged])
            if sealing.is_plain
            else await sealing.open([Addressed(entry.key, parsed) for entry, parsed in judged])
        )
        opened = []
        protected = sealing.protected
        for (entry, parsed), payload in zip(judged, payloads, strict=True):
            if payload is None or (protected and self._is_revived(parsed)):
                self.counters.undecodable += 1
            else:
                entry.weight = len(payload)
                opened.append((entry, parsed, payload))
        return opened

    def _is_revived(self, parsed: Envelope) -> bool:
        """Whether the server has an entry that it should have dropped."""
        ends = parsed.dead_at + _CLOCK_ERROR
        return not parsed.sliding and ends < self._writes.now()

    def _decode(self, entry: Entry, parsed: Envelope, payload: Payload, want: object) -> bool:
        """Put the decoded value into the entry; False, and counted, if that cannot be done."""
        if parsed.codec not in {COUNTER_CODE, self.codec.code}:
            self.counters.undecodable += 1
            return False
        try:
            if parsed.codec == COUNTER_CODE:
                entry.value = decode_counter(payload)
            else:
                entry.value = self.codec.decode(payload, parsed.type_id, want)
        except UndecodablePayload:
            self.counters.undecodable += 1
            return False
        if want is not None:
            entry.type_id = self.codec.type_id(want)
        return True

    # -- writing -----------------------------------------------------------------------------

    def _prepare(self, value: object, want: object) -> Prepared:
        payload, type_id = self.codec.encode(value, want)
        limit = self.config.max_value_bytes
        if len(payload) > limit:
            raise ValueTooLarge(
                f"the value has {len(payload)} bytes encoded, more than max_value_bytes={limit}; "
                "store it in parts, or raise the limit",
                size=len(payload),
                limit=limit,
            )
        value = self.codec.decode(payload, type_id, want)
        decoded_as = type_id if want is None else self.codec.type_id(want)
        return Prepared(value, payload, type_id, decoded_as)

    async def _write(self, drafts: Sequence[Draft]) -> list[bool]:
        await self._declare(drafts)
        await self._writes.close(drafts)
        fills = [draft for draft in drafts if draft.stamp is not None and not draft.leased]
        current = [draft for draft in drafts if draft.stamp is None or draft.leased]
        kept: dict[int, bool] = {}
        for part, write in ((current, self._writes.put), (fills, self._writes.fill)):
            if part:
                outcomes = await write(part)
                kept |= {id(draft): ok for draft, ok in zip(part, outcomes, strict=True)}
        return [kept[id(draft)] for draft in drafts]

    async def _declare(self, drafts: Sequence[Draft]) -> None:
        longest = max(self._writes.life(draft) for draft in drafts)
        if longest > self._replica.declared_ttl:
            await self.clock.declare(longest)

    async def _remove(self, keys: Sequence[str]) -> list[bool]:
        return await self._invalidate_and_remove((), keys)

    @abstractmethod
    async def _invalidate_and_remove(self, tags: Sequence[str], keys: Sequence[str]) -> list[bool]:
        """Invalidate tags and delete keys, together; whether each key had a valid entry."""

    async def _invalidate(self, tags: Sequence[str]) -> None:
        await self.clock.bump(tags)

    async def _restart(self) -> None:
        await self.clock.restart()

    def _counter(self, key: str, total: int, ttl: float | None, tags: tuple[str, ...]) -> Draft:
        payload = b"%d" % in_range(key, total)
        return Draft(key, None, payload, 0, 0, tags, ttl, counter=True)

    def _raised(self, key: str, delta: int, current: Opened) -> Draft:
        """What is there and is not added to in place, as a counter with its sum."""
        entry = current[0]
        self._decode(*current, None)
        if not isinstance(entry.value, int) or isinstance(entry.value, bool):
            raise CounterError(f"the value of {key!r} is not an integer")
        left = None if entry.no_expiry else max(0.001, entry.fresh_until - self.time())
        return self._counter(key, entry.value + delta, left, entry.tags)

    # -- the rest ----------------------------------------------------------------------------

    async def _flush(self) -> None:
        owed = list(self._replica.owed)
        try:
            await self.clock.flush()
        except BackendError as error:
            raise InvalidationError(
                f"closed with invalidations that were not acknowledged: {error}",
                tags=tuple(hardly(tag) for job in owed for tag in job.tags),
                keys=tuple(key for job in owed for key in job.keys),
            ) from error


def in_range(key: str, number: int) -> int:
    """A counter's value, if it has 64 bits; else `CounterError`."""
    if not -(2**63) <= number < 2**63:
        raise CounterError(f"the counter {key!r} would leave the range of 64 bits")
    return number


def foreign_counter(key: str) -> CounterError:
    """The error for a counter that another release has stored."""
    return CounterError(
        f"{key!r} is a value of another release of this library, which this one cannot read; "
        "nothing was added. Let one release count, or delete the key"
    )
