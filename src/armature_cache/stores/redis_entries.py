"""Entries on a Redis or Valkey server: how each operation is one script or one pipeline."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Final

from armature_cache import envelope
from armature_cache.clocks.digest import digest
from armature_cache.clocks.replica import Stamp, Verdict
from armature_cache.codecs.counter import COUNTER_CODE, decode_counter
from armature_cache.entry import Entry, rare_of
from armature_cache.envelope import Envelope
from armature_cache.errors import (
    BackendUnavailable,
    CounterError,
    UndecodablePayload,
    ValueTooLarge,
)
from armature_cache.redisio import scripts
from armature_cache.redisio.port import Command, checked
from armature_cache.stores.draft import Draft, Prepared
from armature_cache.stores.redis_listing import RedisListing
from armature_cache.stores.redis_writes import Writes
from armature_cache.stores.sealing import Addressed, Payload

if TYPE_CHECKING:
    from armature_cache._runtime.base import Signal
    from armature_cache.claims import Claim, Holder
    from armature_cache.codecs.base import Codec
    from armature_cache.stores.redis_claims import Claims

_LEAST_LEFT: Final = 0.001
_ATTEMPTS: Final = 16
_PAUSE: Final = 0.002
"""Seconds by which attempts to change a contended key are spread, more with each."""

Opened = tuple[Entry, Envelope, Payload]


class RedisEntries(RedisListing):
    """The entry-level operations of `RedisCache`."""

    codec: Codec
    _writes: Writes
    _claims: Claims

    # -- reading -----------------------------------------------------------------------------

    def _peek(self, key: str) -> Entry | None:
        return None

    def _remnant(self, key: str) -> Entry | None:
        return None

    async def _claim(
        self, keys: Sequence[str], mine: Holder, life: float, *, instead_of: str = ""
    ) -> list[Claim]:
        return await self._claims.take(keys, mine, life, instead_of=instead_of)

    async def _release(self, keys: Sequence[str], nonce: str) -> None:
        await self._claims.release(keys, nonce)

    def _listening(self, key: str) -> AbstractContextManager[Signal]:
        return self._claims.listening(key)

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
        found = {each[0].key: each[0] for each in opened if self._decode(*each, want)}
        await self._writes.touch([entry for entry in found.values() if entry.more.window])
        hits = sum(now < entry.fresh_until for entry in found.values())
        self.counters.hits += hits
        self.counters.misses += len(keys) - hits
        self._tell_hits(found.values(), now, "redis")
        return found

    async def _judged(self, keys: Sequence[str], *, strong: bool) -> list[tuple[Entry, Envelope]]:
        """The valid entries among these keys, not decoded yet; one round trip as a rule."""
        names = [self._names.value(key) for key in keys]
        single = len(names) == 1 or self._names.clustered
        reads: list[Command] = [("GET", name) for name in names] if single else [("MGET", *names)]
        replies, seen = await self.clock.read(reads, self.bound, strong=strong)
        return await self._judge(keys, replies if single else replies[0], seen)

    async def _judge(
        self, keys: Sequence[str], raws: Sequence[bytes | None], seen: int, *, settled: bool = False
    ) -> list[tuple[Entry, Envelope]]:
        sealed = []
        found = await self._sealing.parse(keys, raws)
        for key, raw, parsed in zip(keys, raws, found, strict=True):
            if parsed is None:
                self.counters.undecodable += raw is not None
            elif not parsed.tombstone:
                sealed.append((key, parsed))
        judged = await self._sift(sealed, settled=settled)
        return [(self._entry(key, parsed, seen), parsed) for key, parsed in judged]

    async def _opened(self, judged: list[tuple[Entry, Envelope]]) -> list[Opened]:
        """Entries whose payloads could be opened, with these; the others are counted."""
        items = [Addressed(entry.key, parsed) for entry, parsed in judged]
        opened = []
        for (entry, parsed), payload in zip(judged, await self._sealing.open(items), strict=True):
            if payload is None:
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
            judge(key, parsed.epoch, parsed.asof, parsed.tags, settled=settled)
            for key, parsed in sealed
        ]

    def _newer(self, parsed: Envelope, scores: dict[bytes, int]) -> bool:
        return parsed.epoch == self._replica.epoch and all(
            scores.get(digest(tag), 0) <= parsed.asof for tag in parsed.tags
        )

    def _entry(self, key: str, parsed: Envelope, seen: int) -> Entry:
        ahead = self._replica.server_ahead
        window = (parsed.dead_at - parsed.created) / 1000 if parsed.sliding else 0.0
        fresh_until = (parsed.fresh_until - ahead) / 1000
        dead_at = (parsed.dead_at - ahead) / 1000
        if window:
            fresh_until = dead_at = self.time() + window
        elif parsed.fresh_until == parsed.dead_at:
            # The server ends it, and has not yet; its clock may seem to be behind.
            fresh_until = dead_at = max(dead_at, self.time() + _LEAST_LEFT)
        entry = Entry(
            key,
            None,
            asof=parsed.asof,
            epoch=parsed.epoch,
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

    async def _swap(self, draft: Draft, expected: bytes, judged: Stamp | None = None) -> bool:
        """Store a value as current now if the stored header is still the expected one.

        `judged` says when that one was valid, if the value takes over its tags.
        """
        await self._declare([draft])
        await self._writes.close([draft])
        return await self._writes.swap(draft, expected, judged)

    async def _look_at(self, key: str) -> tuple[bytes, Opened | None, Stamp]:
        """What is stored: its header ('' for nothing), the entry if it is valid, and as of when."""
        read: Command = ("GET", self._names.value(key))
        (raw,), seen = await self.clock.read([read], self.bound, strong=True)
        opened = await self._opened(await self._judge([key], [raw], seen, settled=True))
        known = Stamp(self._replica.epoch, seen)
        return (raw or b"")[: envelope.HEADER_SIZE], opened[0] if opened else None, known

    async def _add(self, draft: Draft) -> bool:
        for _ in range(_ATTEMPTS):
            stamp, current, _ = await self._look_at(draft.key)
            if current is not None and self.time() < current[0].fresh_until:
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

    async def _increment(
        self, key: str, delta: int, ttl: float | None, tags: tuple[str, ...]
    ) -> int:
        await self.clock.ensure(self.bound)
        outcome = None
        if not self._sealing.protected:
            least = self._replica.least_asof(key, tags)
            outcome = await self._add_to(key, delta, least, envelope.pack_tags(tags), b"")
        for attempt in range(_ATTEMPTS):
            if outcome is not None:
                return outcome
            stamp, current, known = await self._look_at(key)
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
            self._replica.epoch, least, tags, stamp, _in_range(key, delta),
        )  # fmt: skip
        answer = await self._port.send([command], retry=False)
        (reply,) = checked(answer, self._port.backend)
        if reply[0] == -1:
            raise CounterError(f"the counter {key!r} would leave the range of 64 bits")
        return int(reply[1]) if reply[0] == 1 else None

    def _counter(self, key: str, total: int, ttl: float | None, tags: tuple[str, ...]) -> Draft:
        payload = b"%d" % _in_range(key, total)
        return Draft(key, None, payload, 0, 0, tags, ttl, counter=True)

    def _raised(self, key: str, delta: int, current: Opened) -> Draft:
        """What is there and is not added to by the server, as a counter with its sum."""
        entry = current[0]
        self._decode(*current, None)
        if not isinstance(entry.value, int) or isinstance(entry.value, bool):
            raise CounterError(f"the value of {key!r} is not an integer")
        left = None if entry.no_expiry else max(0.001, entry.fresh_until - self.time())
        return self._counter(key, entry.value + delta, left, entry.tags)

    def _contended(self, key: str) -> BackendUnavailable:
        return BackendUnavailable(
            f"{key!r} changed under {_ATTEMPTS} attempts; too many writers at once",
            backend=self._port.backend,
        )


def _in_range(key: str, number: int) -> int:
    if not -(2**63) <= number < 2**63:
        raise CounterError(f"the counter {key!r} would leave the range of 64 bits")
    return number
