"""Entries on Memcached: how each operation is one pipeline, or a few."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from armature_cache import envelope
from armature_cache.clocks.nonces import NEVER, ROOT, stands, stands_by
from armature_cache.entry import StoredEntry
from armature_cache.errors import BackendUnavailable, CounterError
from armature_cache.memcachedio import frame, wire
from armature_cache.memcachedio.port import checked
from armature_cache.memcachedio.wire import At, Reply
from armature_cache.stores.draft import Draft
from armature_cache.stores.memcached_reading import MemcachedReading
from armature_cache.stores.shared_entries import Opened, foreign_counter, in_range

if TYPE_CHECKING:
    from armature_cache.memcachedio.frame import Frame
    from armature_cache.stores.memcached_bases import Marks
    from armature_cache.stores.memcached_claims import Claims
    from armature_cache.stores.memcached_writes import How

_PAUSE: Final = 0.002
"""Seconds by which attempts to change a contended key are spread, more with each."""


class Found(NamedTuple):
    """A valid entry as it was read: over which CAS value, with which nonces, with its payload."""

    opened: Opened
    reply: Reply
    framed: Frame

    @property
    def entry(self) -> StoredEntry:
        """The entry."""
        return self.opened[0]


class Look(NamedTuple):
    """What stands under a key: its CAS value, and the entry if it is fresh.

    `foreign`: another release, whose envelopes are unknown here, has stored it. Whether it is
    still valid only that release can tell.
    """

    at: At
    found: Found | None = None
    foreign: bool = False


class MemcachedEntries(MemcachedReading):
    """The entry-level operations of `MemcachedCache`."""

    kind = "memcached"
    _claims: Claims

    # -- compare and set ---------------------------------------------------------------------

    async def _look_at(self, key: str) -> Look:
        """What is stored, to be stored over."""
        read = wire.fetch(*self._names.value(key), vivify=self.clock.placeholder)
        outcomes, sequence = await self.clock.read([read], self.bound, strong=True)
        (reply,) = checked(outcomes, self._port.backend)
        framed = self._framed(key, reply)
        if framed is None:
            return Look(reply.at)
        raw = bytes(framed.entry)
        (parsed,) = await self._sealing.parse([key], [raw])
        if parsed is None:
            known = await self.clock.nonces((ROOT,), sequence)
            cleared = stands_by((), framed.marks[:1], known) is None
            return Look(reply.at, foreign=not cleared and envelope.foreign_stamp(raw) is not None)
        entry = self._dated(key, parsed, reply, framed, sequence)
        nonces = await self._nonces([(parsed.tags, framed.marks)], sequence)
        if not stands(entry, nonces) or self.time() >= entry.fresh_until:
            return Look(reply.at)
        opened = await self._opened([(entry, parsed)])
        return Look(reply.at, Found(opened[0], reply, framed) if opened else None)

    async def _marks(self, tags: tuple[str, ...]) -> Marks:
        nonces = await self.clock.whole_nonces((ROOT, *tags), NEVER)
        return tuple(nonces[tag].mark for tag in (ROOT, *tags))

    async def _swap(self, draft: Draft, over: At, marks: Marks, how: How) -> bool:
        await self._writes.close([draft])
        return await self._writes.swap(draft, over, marks, how)

    async def _add(self, draft: Draft) -> bool:
        attempts = self._attempts(draft.key)
        while await attempts.another():
            over, current, foreign = await self._look_at(draft.key)
            if current is not None or foreign:
                return False
            if await self._swap(draft, over, await self._marks(draft.tags), "announced"):
                return True
        raise attempts.contended()

    async def _restamp(self, key: str, ttl: float | None) -> bool:
        attempts = self._attempts(key)
        while await attempts.another():
            over, current, _ = await self._look_at(key)
            if current is None:
                return False
            entry, sealed, payload = current.opened
            draft = Draft(
                key, None, payload, sealed.type_id, 0, sealed.tags, ttl,
                keep=entry.kept, sliding=sealed.sliding,
                etag=sealed.etag, counter=entry.counter,
            )  # fmt: skip
            if await self._swap(draft, over, current.framed.marks, "bracketed"):
                return True
        raise attempts.contended()

    async def _increment(
        self, key: str, delta: int, ttl: float | None, tags: tuple[str, ...]
    ) -> int:
        attempts = self._attempts(key)
        while await attempts.another():
            over, current, foreign = await self._look_at(key)
            if foreign:
                raise foreign_counter(key)
            if current is None:
                draft = self._counter(key, delta, ttl, tags)
                done = await self._swap(draft, over, await self._marks(tags), "announced")
            elif current.entry.counter:
                draft, done = await self._count(key, delta, current)
            else:
                draft = self._raised(key, delta, current.opened)
                done = await self._swap(draft, over, current.framed.marks, "bracketed")
            if done:
                return int(draft.payload or b"0")
        raise attempts.contended()

    async def _count(self, key: str, delta: int, current: Found) -> tuple[Draft, bool]:
        """Store a counter's sum with its lifetime as it is."""
        (entry, parsed, _), reply, framed = current
        if not self._decode(*current.opened, None) or not isinstance(entry.value, int):
            raise CounterError(f"the value of {key!r} is not an integer")
        draft = Draft(
            key, None, b"%d" % in_range(key, entry.value + delta), 0, 0, entry.tags, None,
            counter=True,
        )  # fmt: skip
        closed = await self._closed_anew(key, parsed, draft.payload or b"")
        life = self._writes.items.left(reply.ttl, framed.life)
        item = await self._writes.items.make(key, closed, framed.marks, life)
        return draft, await self._writes.store_over(draft, item, reply.at, framed.marks, "plain")

    def _attempts(self, key: str) -> _Attempts:
        return _Attempts(self, key)

    # -- removing ----------------------------------------------------------------------------

    async def _invalidate_and_remove(self, tags: Sequence[str], keys: Sequence[str]) -> list[bool]:
        with self._telling_failure():
            _, values = await self.clock.invalidate(tags, keys)
        sealed = []
        for key, value in zip(keys, values, strict=True):
            framed = frame.parse(value)
            parsed = envelope.parse(key, bytes(framed.entry)) if framed is not None else None
            sealed.append((framed, parsed))
        sequence = self._replica.last
        nonces = await self._nonces(
            [
                (parsed.tags, framed.marks)
                for framed, parsed in sealed
                if framed is not None and parsed is not None
            ],
            sequence,
        )
        had = []
        for key, (framed, parsed) in zip(keys, sealed, strict=True):
            if framed is None or parsed is None or not self._sealing.accepts(parsed):
                had.append(False)
                continue
            entry = self._dated(key, parsed, wire.Reply(b"VA"), framed, sequence)
            had.append(stands(entry, nonces) and self.time() < entry.fresh_until)
        return had


class _Attempts:
    """Attempts to change a contended key, for as long as an operation may take."""

    def __init__(self, store: MemcachedEntries, key: str) -> None:
        self._store = store
        self._key = key
        self._until = store.time() + store.config.operation_timeout
        self._count = 0

    async def another(self) -> bool:
        """Whether there is time for another attempt; lets others be faster first."""
        store = self._store
        if self._count:
            await store.runtime.sleep(min(self._count, 16) * random.uniform(0, _PAUSE))  # noqa: S311
        self._count += 1
        return self._count == 1 or store.time() < self._until

    def contended(self) -> BackendUnavailable:
        """The error when time is over."""
        backend = self._store._port.backend
        return BackendUnavailable(
            f"{self._key!r} changed under {self._count} attempts; too many writers at once",
            backend=backend,
        )
