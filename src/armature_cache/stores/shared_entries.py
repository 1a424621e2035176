"""Entries in a shared store: envelopes that are judged, opened, decoded, and made."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Final

from armature_cache import envelope
from armature_cache.clocks.digest import digest, hardly
from armature_cache.clocks.replica import Verdict
from armature_cache.codecs.counter import COUNTER_CODE, decode_counter
from armature_cache.entry import Entry, StoredEntry, rare_of
from armature_cache.envelope import Envelope
from armature_cache.errors import (
    BackendError,
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

_LEAST_LEFT: Final = 0.001
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
        found: dict[str, Entry] = {
            each[0].key: each[0] for each in opened if self._decode(*each, want)
        }
        fresh = [entry for entry in found.values() if now < entry.fresh_until]
        await self._writes.touch([entry for entry in fresh if entry.more.window])
        self.counters.hits += len(fresh)
        self.counters.misses += len(keys) - len(fresh)
        self._tell_hits(found.values(), now, self.kind)
        return found

    @abstractmethod
    async def _judged(self, keys: Sequence[str], *, strong: bool) -> list[Judged]:
        """The valid entries among these keys, not decoded yet; one round trip as a rule."""

    async def _judge(
        self, keys: Sequence[str], raws: Sequence[bytes | None], seen: int, *, settled: bool = False
    ) -> list[Judged]:
        sealed = []
        found = await self._sealing.parse(keys, raws)
        for key, raw, parsed in zip(keys, raws, found, strict=True):
            if parsed is None:
                if raw is not None:
                    self._cannot_read(raw)
            elif not parsed.tombstone:
                sealed.append((key, parsed))
        judged = await self._sift(sealed, settled=settled)
        return [(self._entry(key, parsed, seen), parsed) for key, parsed in judged]

    def _cannot_read(self, raw: bytes) -> None:
        """Count stored bytes that are a miss."""
        self.counters.undecodable += 1

    async def _opened(self, judged: list[Judged]) -> list[Opened]:
        """Entries whose payloads could be opened, with these; the others are counted."""
        items = [Addressed(entry.key, parsed) for entry, parsed in judged]
        opened = []
        for (entry, parsed), payload in zip(judged, await self._sealing.open(items), strict=True):
            if payload is None or self._is_revived(parsed):
                self.counters.undecodable += 1
            else:
                entry.weight = len(payload)
                opened.append((entry, parsed, payload))
        return opened

    async def _sift(
        self, sealed: list[tuple[str, Envelope]], *, settled: bool = False
    ) -> list[tuple[str, Envelope]]:
        """Those that are valid, asking the server where the replica cannot tell."""
        verdicts = self._verdicts(sealed, settled=settled)
        if Verdict.AHEAD in verdicts:
            await self.clock.resync()
            verdicts = self._verdicts(sealed, settled=settled)
        if Verdict.UNKNOWN in verdicts:
            unsure = [
                item for item, verdict in zip(sealed, verdicts, strict=True)
                if verdict is Verdict.UNKNOWN
            ]  # fmt: skip
            tags = list(dict.fromkeys(tag for _, parsed in unsure for tag in parsed.tags))
            scores = await self.clock.scores(tags)
            verdicts = [
                Verdict.VALID
                if verdict is Verdict.UNKNOWN and scores is not None and self._newer(parsed, scores)
                else verdict
                for (_, parsed), verdict in zip(
                    sealed, self._verdicts(sealed, settled=settled), strict=True
                )
            ]
        return [
            item for item, verdict in zip(sealed, verdicts, strict=True)
            if verdict is Verdict.VALID
        ]  # fmt: skip

    def _verdicts(self, sealed: list[tuple[str, Envelope]], *, settled: bool) -> list[Verdict]:
        judge = self._replica.judge
        return [
            judge(
                key, parsed.epoch, parsed.asof, parsed.tags, settled=settled, swapped=parsed.swapped
            )
            for key, parsed in sealed
        ]

    def _newer(self, parsed: Envelope, scores: dict[bytes, int]) -> bool:
        replica = self._replica
        return replica.own_epoch(parsed.epoch, parsed.asof) == replica.epoch and all(
            scores.get(digest(tag), 0) <= parsed.asof for tag in parsed.tags
        )

    def _entry(self, key: str, parsed: Envelope, seen: int) -> StoredEntry:
        ahead = self._replica.server_ahead
        window = (parsed.dead_at - parsed.created) / 1000 if parsed.sliding else 0.0
        fresh_until = (parsed.fresh_until - ahead) / 1000
        dead_at = (parsed.dead_at - ahead) / 1000
        if window:
            fresh_until = dead_at = self.time() + window
        elif parsed.fresh_until == parsed.dead_at:
            # The server ends it, and has not yet; its clock may seem to be behind.
            fresh_until = dead_at = max(dead_at, self.time() + _LEAST_LEFT)
        entry = StoredEntry(
            key,
            None,
            asof=parsed.asof,
            epoch=self._replica.own_epoch(parsed.epoch, parsed.asof),
            tags=parsed.tags,
            created=(parsed.created - ahead) / 1000,
            fresh_until=fresh_until,
            dead_at=dead_at,
            rare=rare_of(parsed.cost / 1_000_000, window, parsed.etag),
            seen=seen,
            type_id=parsed.type_id,
            no_expiry=parsed.no_expiry,
            counter=parsed.codec == COUNTER_CODE,
        )
        self._replica.soften(entry)
        return entry

    def _is_revived(self, parsed: Envelope) -> bool:
        """Whether the server has an entry that it should have dropped, and that matters here."""
        ends = parsed.dead_at + _CLOCK_ERROR
        return self._sealing.protected and not parsed.sliding and ends < self._now()

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

    # -- headers -----------------------------------------------------------------------------

    async def _probe(self, keys: Sequence[str]) -> dict[str, Entry]:
        found: dict[str, Entry] = {}
        for at in range(0, len(keys), PAGE):
            page = keys[at : at + PAGE]
            sealed = [
                (key, head)
                for key, head in zip(page, await self._heads(page), strict=True)
                if head is not None and not head.tombstone and self._sealing.accepts(head)
            ]
            for key, head in await self._sift(sealed):
                entry = self._entry(key, head, 0)
                if self.time() < entry.fresh_until:
                    found[key] = entry
        await self._date_sliding([entry for entry in found.values() if entry.more.window])
        return found

    @abstractmethod
    async def _heads(self, keys: Sequence[str]) -> list[Envelope | None]:
        """The headers of several values."""

    @abstractmethod
    async def _date_sliding(self, entries: Sequence[Entry]) -> None:
        """Find out when sliding entries end: the header does not say."""

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

    async def _invalidate_and_remove(self, tags: Sequence[str], keys: Sequence[str]) -> list[bool]:
        _, heads = await self.clock.invalidate(tags, keys)
        had = []
        for head in heads:
            parsed = envelope.parse_head(head)
            had.append(
                parsed is not None
                and not parsed.tombstone
                and (parsed.sliding or parsed.fresh_until > self._now())
                and self._replica.was_valid(parsed.epoch, parsed.asof, parsed.tags)
            )
        return had

    async def _invalidate(self, tags: Sequence[str]) -> None:
        await self.clock.bump(tags)

    async def _restart(self) -> None:
        await self.clock.restart()

    # -- the rest ----------------------------------------------------------------------------

    def _now(self) -> int:
        return int(self.time() * 1000 + self._replica.server_behind)

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
