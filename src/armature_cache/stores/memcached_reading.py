"""Reading entries on Memcached: judged by nonces, dated by the wall clock and the server."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from armature_cache import envelope
from armature_cache.clocks.judgement import Verdict
from armature_cache.clocks.memcached_items import is_later
from armature_cache.clocks.nonces import ROOT, stands, stands_by
from armature_cache.codecs.counter import COUNTER_CODE
from armature_cache.entry import UNTOUCHED_PART, Entry, Proof, StoredEntry, rare_of
from armature_cache.envelope import Envelope
from armature_cache.errors import BackendError
from armature_cache.memcachedio import frame, wire
from armature_cache.memcachedio.port import Outcome
from armature_cache.memcachedio.wire import Reply
from armature_cache.stores.draft import Draft
from armature_cache.stores.memcached_listing import MemcachedListing
from armature_cache.stores.sealing import Addressed, Payload
from armature_cache.stores.shared_entries import Judged

if TYPE_CHECKING:
    from armature_cache.clocks.nonces import Nonces
    from armature_cache.memcachedio.frame import Frame
    from armature_cache.stores.memcached_bases import Marks
    from armature_cache.stores.memcached_writes import MemcachedWrites

_SLACK: Final = 1500
"""Milliseconds by which an item's age may differ from what Memcached says in whole seconds."""


class MemcachedReading(MemcachedListing):
    """The reading half of `MemcachedCache`."""

    _writes: MemcachedWrites

    async def _judged(self, keys: Sequence[str], *, strong: bool) -> list[Judged]:
        found = await self._read(keys, strong=strong, vivify=self.clock.placeholder)
        for entry, parsed, reply, framed in found:
            if entry.more.window:
                await self._slide(entry, parsed, reply, framed)
        return [(entry, parsed) for entry, parsed, _, _ in found]

    async def _read(
        self, keys: Sequence[str], *, strong: bool, vivify: int = 0
    ) -> list[tuple[StoredEntry, Envelope, Reply, Frame]]:
        """The valid entries among these keys, with what is around them."""
        reads = [wire.fetch(*self._names.value(key), vivify=vivify) for key in keys]
        outcomes, sequence = await self.clock.read(reads, self.bound, strong=strong)
        replies = self._answered(outcomes)
        framed = []
        for key, reply in zip(keys, replies, strict=True):
            if reply is None:
                continue
            whole = self._framed(key, reply)
            if not is_later(reply.value):
                self._replica.sight(key, reply.at, sequence)
            if whole is not None:
                framed.append((key, reply, whole))
        sealed = await self._sealing.parse(
            [key for key, _, _ in framed], [bytes(whole.entry) for _, _, whole in framed]
        )
        parsed = []
        for (key, reply, whole), one in zip(framed, sealed, strict=True):
            if one is None:
                self._cannot_read(bytes(whole.entry))
            else:
                parsed.append((key, reply, whole, one))
        marked = [(one.tags, whole.marks) for _, _, whole, one in parsed]
        nonces = await self._nonces(marked, sequence)
        found = []
        for key, reply, whole, one in parsed:
            entry = self._dated(key, one, reply, whole, sequence)
            verdict = self._replica.judge(key, entry.epoch, sequence, entry.tags)
            alive = verdict is not Verdict.DEAD and self.time() < entry.dead_at
            if alive and stands(entry, nonces):
                self._replica.soften(entry)
                found.append((entry, one, reply, whole))
        return found

    async def _nonces(
        self, marked: Sequence[tuple[tuple[str, ...], Marks]], sequence: int
    ) -> dict[str, Nonces | None]:
        """The nonces by which entries are judged, of which these are the tags and the marks.

        Those that are remembered do not suffice to call an entry dead: where they were lost since,
        others have made new ones, and entries with those are alive.
        """
        if not marked:
            return {}
        tags = dict.fromkeys((ROOT, *(tag for named, _ in marked for tag in named)))
        remembered = {tag for tag in tags if self._replica.nonces_at(tag, sequence) is not None}
        found = await self.clock.nonces(tags, sequence)
        doubtful = {
            tag
            for named, marks in marked
            if stands_by(named, marks, found) is None
            for tag in (ROOT, *named)
        } & remembered
        if doubtful:
            found |= await self.clock.nonces_now(doubtful, sequence)
        return found

    def _answered(self, outcomes: Sequence[Outcome]) -> list[Reply | None]:
        """The replies; with several servers, a failing one has none of its keys."""
        alone = len(self._port.servers) == 1
        replies: list[Reply | None] = []
        for outcome in outcomes:
            if isinstance(outcome, BackendError):
                if alone:
                    raise outcome
                self._failed("a server failed, its keys are misses", outcome)
            elif outcome.code == b"SERVER_ERROR":  # no room for the place of a missing key
                self.counters.errors += 1
            replies.append(outcome if isinstance(outcome, Reply) and outcome.done else None)
        return replies

    def _framed(self, key: str, reply: Reply) -> Frame | None:
        """What stands under a key; None for what only holds its place, and for what is not its."""
        if not reply.value:
            return None
        framed = frame.parse(reply.value)
        hashed = self._names.is_hashed(self._names.value(key).name)
        if framed is None or framed.key != (key if hashed else ""):
            self._cannot_read(reply.value)
            return None
        return framed

    def _age(self, parsed: Envelope, reply: Reply, framed: Frame) -> float:
        """How old an item is, in seconds: by the wall clock, but never against Memcached's word.

        So a clock that is wrong costs a second or two, and no more.
        """
        age = self._wall() * 1000 - parsed.created
        if framed.life and reply.ttl >= 0:
            told = (framed.life - reply.ttl) * 1000
            age = min(max(age, told - _SLACK), told + _SLACK)
        return max(0.0, age / 1000)

    def _dated(
        self, key: str, parsed: Envelope, reply: Reply, framed: Frame, sequence: int
    ) -> StoredEntry:
        created = self.time() - self._age(parsed, reply, framed)
        window = (parsed.dead_at - parsed.created) / 1000 if parsed.sliding else 0.0
        proof = Proof(reply.run, reply.cas, framed.marks)
        return StoredEntry(
            key,
            None,
            asof=sequence,
            epoch=self._replica.epoch,
            tags=parsed.tags,
            created=created,
            fresh_until=created + (parsed.fresh_until - parsed.created) / 1000,
            dead_at=created + (parsed.dead_at - parsed.created) / 1000,
            rare=rare_of(parsed.cost / 1_000_000, window, parsed.etag, proof),
            seen=sequence,
            type_id=parsed.type_id,
            no_expiry=parsed.no_expiry,
            counter=parsed.codec == COUNTER_CODE,
        )

    async def _slide(
        self, entry: StoredEntry, parsed: Envelope, reply: Reply, framed: Frame
    ) -> None:
        """Start a sliding lifetime anew: store the entry again, with another date."""
        window, now = entry.more.window, self.time()
        if now >= entry.fresh_until or now - entry.created < window * UNTOUCHED_PART:
            return
        created = int(self._wall() * 1000)
        later = created - parsed.created
        moved = dataclasses.replace(
            parsed,
            created=created,
            fresh_until=parsed.fresh_until + later,
            dead_at=parsed.dead_at + later,
        )
        draft = Draft(entry.key, None, None, 0, 0, entry.tags, None)
        opened = await self._opened([(entry, parsed)])
        if not opened:
            return
        closed = await self._closed_anew(entry.key, moved, opened[0][2])
        life = self._writes.items.lasting(round(window * 1000))
        item = await self._writes.items.make(entry.key, closed, framed.marks, life)
        if await self._writes.store_over(draft, item, reply.at, framed.marks, "plain"):
            entry.rare = entry.more._replace(proof=draft.proof)
            entry.created = now
            entry.fresh_until = entry.check_at = entry.dead_at = now + window

    async def _closed_anew(self, key: str, parsed: Envelope, payload: Payload) -> envelope.Closed:
        """An envelope that was opened, closed again around a payload."""
        bare = dataclasses.replace(
            parsed,
            flags=parsed.flags & ~envelope.PACKED,
            payload=payload,
            compression=0,
            key_id=0,
            seal=b"",
        )
        (closed,) = await self._sealing.close([Addressed(key, bare)])
        return closed

    async def _probe(self, keys: Sequence[str]) -> dict[str, Entry]:
        found = await self._read(keys, strong=False)
        now = self.time()
        return {
            entry.key: entry
            for entry, parsed, _, _ in found
            if now < entry.fresh_until and self._sealing.accepts(parsed)
        }
