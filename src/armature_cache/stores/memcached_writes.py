"""How values are stored on Memcached: over a CAS value, or between two changes of g."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from armature_cache.clocks.judgement import Stamp
from armature_cache.clocks.memcached_items import is_later
from armature_cache.clocks.nonces import NEVER, ROOT, Basis, Nonces, stands_by
from armature_cache.entry import Proof
from armature_cache.errors import BackendUnavailable
from armature_cache.memcachedio import frame, wire
from armature_cache.memcachedio.port import checked
from armature_cache.memcachedio.wire import NOWHERE, At, Command, Reply
from armature_cache.stores.memcached_bases import Base, Before, Marks
from armature_cache.stores.memcached_items import Item, Items
from armature_cache.stores.sealing import Addressed
from armature_cache.stores.shared_writes import SharedWrites

if TYPE_CHECKING:
    from armature_cache._time import TimeSource
    from armature_cache.clocks.memcached import MemcachedClock
    from armature_cache.config import CacheConfig
    from armature_cache.entry import Entry
    from armature_cache.memcachedio.names import Names
    from armature_cache.memcachedio.port import Port
    from armature_cache.stores.draft import Draft
    from armature_cache.stores.memcached_claims import Claims
    from armature_cache.stores.sealing import Sealing
How = Literal["plain", "announced", "bracketed"]
"""Whether g is changed before a value is stored, and after it as well."""


class MemcachedWrites(SharedWrites):
    """Writes of one store."""

    def __init__(
        self,
        clock: MemcachedClock,
        port: Port,
        *,
        names: Names,
        sealing: Sealing,
        config: CacheConfig,
        time: TimeSource,
        wall: TimeSource,
        claims: Claims,
    ) -> None:
        super().__init__(clock.replica, sealing, config, time)
        self._clock = clock
        self._nonces = clock.replica
        self._port = port
        self._names = names
        self._wall = wall
        self._claims = claims
        self.items = Items(clock, port, names, wall)

    def now(self) -> int:
        return int(self._wall() * 1000)

    async def _items(self, drafts: Sequence[Draft], marks: Sequence[Marks]) -> list[Item]:
        items = []
        for draft, each in zip(drafts, marks, strict=True):
            assert draft.closed is not None  # noqa: S101 - `close` was called
            life = self.items.lasting(self.life(draft))
            items.append(await self.items.make(draft.key, draft.closed, each, life))
        return items

    def _stored(self, draft: Draft, reply: Reply, marks: Marks, stamp: Stamp) -> None:
        """Note what a draft has become."""
        draft.stamp = stamp
        draft.proof = Proof(reply.run, reply.cas, marks)
        self._nonces.sight(draft.key, reply.at, stamp.asof)

    # -- fills -------------------------------------------------------------------------------

    async def fill(self, drafts: Sequence[Draft]) -> list[bool]:
        bases = await self._bases(drafts)
        good = [(draft, base) for draft, base in zip(drafts, bases, strict=True) if base.good]
        items = await self._items([one for one, _ in good], [base.marks for _, base in good])
        commands = [item.over(base.over) for item, (_, base) in zip(items, good, strict=True)]
        claimed = [draft for draft in drafts if draft.claim]
        endings = [one for each in claimed for one in self._claims.endings(each.key, each.claim)]
        replies = await self._clock.ask([*commands, *endings]) if commands or endings else []
        for draft in claimed:
            draft.claim = ""
        self._claims.wake([draft.key for draft in claimed])
        kept = set[int]()
        for (draft, base), reply in zip(good, replies[: len(good)], strict=True):
            if reply.done:
                kept.add(id(draft))
                self._stored(draft, reply, base.marks, draft.stamp or Stamp(0, 0))
        for draft in drafts:
            if id(draft) not in kept:
                self._nonces.lose_sight(draft.key)
        return [id(draft) in kept for draft in drafts]

    async def _bases(self, drafts: Sequence[Draft]) -> list[Base]:
        """What drafts of a time before now may be stored over, if nothing has happened since.

        What was known before the load began needs no second look: if it has changed, the value is
        dead when it arrives, or is not stored. All else is read now: a nonce must be older than the
        g of that time, or g must still be the same.
        """
        before = [self._before(draft) for draft in drafts]
        late = [each for each in before if each.late]
        if not late:
            return [each.base({}, NOWHERE) for each in before]
        unseen = [each.key for each in late if each.item == NOWHERE]
        looks = [
            wire.fetch(*self._names.value(key), vivify=self._clock.placeholder) for key in unseen
        ]
        tags = list(dict.fromkeys(tag for each in late for tag in each.unknown))
        reads = self._clock.nonce_reads(tags)
        replies, sequence = await self._clock.read_before([*looks, *reads])
        seen = {
            key: NOWHERE if is_later(reply.value) else reply.at
            for key, reply in zip(unseen, replies, strict=False)
        }
        read = self._clock.take_nonces(tags, replies[len(unseen) :], NEVER)
        found = {tag: nonces for tag, nonces in read.items() if nonces is not None}
        if len(found) < len(tags):
            found |= await self._clock.whole_nonces(tags, NEVER)
            _, sequence = await self._clock.read([], 0.0, strong=True)
        now = Stamp(self._nonces.epoch, sequence)
        return [each.base(found, seen.get(each.key, NOWHERE), now) for each in before]

    def _before(self, draft: Draft) -> Before:
        stamp = draft.stamp or Stamp(0, 0)
        if not isinstance(stamp, Basis):
            stamp = Basis.of(stamp, NEVER, NOWHERE, NOWHERE)
        nonces_before = self._nonces.nonces_before
        known = {tag: nonces_before(tag, stamp.tick) for tag in (ROOT, *draft.tags)}
        return Before(draft.key, stamp, known)

    # -- sets --------------------------------------------------------------------------------

    async def put(self, drafts: Sequence[Draft]) -> list[bool]:
        current = [draft for draft in drafts if not draft.leased or draft.stamp is None]
        leased = [draft for draft in drafts if draft.leased and draft.stamp is not None]
        with self._clock.written([draft.key for draft in drafts]):
            if current:
                await self._set(current)
            kept = await self._offer(leased) if leased else {}
        return [kept.get(id(draft), True) for draft in drafts]

    async def _set(self, drafts: Sequence[Draft]) -> None:
        """Store what is current now.

        Nonces that are remembered are taken for current, and read once more meanwhile; where they
        were not, the value is stored again with those that were read.
        """
        tags = _tags_of(drafts)
        guess = {tag: self._nonces.nonces_remembered(tag) for tag in tags}
        lost = [tag for tag, nonces in guess.items() if nonces is None]
        known = {tag: nonces for tag, nonces in guess.items() if nonces is not None}
        if lost:
            known |= await self._clock.whole_nonces(lost, self._nonces.last)
        read = await self._set_with(drafts, known)
        again = [
            draft
            for draft in drafts
            if any(not known[tag].same_as(read[tag]) for tag in (ROOT, *draft.tags))
        ]
        if again:
            whole = await self._clock.whole_nonces(_tags_of(again), self._nonces.last)
            await self._set_with(again, whole)

    async def _set_with(
        self, drafts: Sequence[Draft], known: Mapping[str, Nonces]
    ) -> dict[str, Nonces | None]:
        """Store drafts with these nonces; those that were read in the course of it."""
        marks = [tuple(known[tag].mark for tag in (ROOT, *draft.tags)) for draft in drafts]
        items = await self._items(drafts, marks)
        stored, read = await self._bracketed(drafts, marks, [item.store() for item in items])
        if not all(reply.done for reply in stored):
            raise BackendUnavailable(
                f"{self._port.backend} did not store a value", backend=self._port.backend
            )
        return read

    async def _bracketed(
        self, drafts: Sequence[Draft], marks: Sequence[Marks], writes: Sequence[Command]
    ) -> tuple[list[Reply], dict[str, Nonces | None]]:
        """Store drafts between two changes of g; what became of it, and the nonces of their tags.

        On one server all is read once more after the last change of g, so that what is in L1 then
        is confirmed.
        """
        clock, replica, tags = self._clock, self._nonces, _tags_of(drafts)
        alone = len(self._port.servers) == 1
        places = [self._names.value(draft.key) for draft in drafts]
        looks = [wire.fetch(*place, value=False) for place in places] if alone else []
        reads = clock.nonce_reads(tags)
        ends = [wire.remove(*self._names.claim(draft.key)) for draft in drafts]
        body = [*writes, *ends, *([] if alone else reads)]
        before = replica.stamp()
        done = await clock.bracketed(lambda: body, [*reads, *looks] if alone else [])
        self._claims.wake([draft.key for draft in drafts])
        stored = done.replies[: len(drafts)]
        found = (done.tail if alone else done.replies[len(drafts) * 2 :])[: len(tags)]
        read = clock.take_nonces(tags, found, done.sequence if alone else NEVER)
        now = done.tail[len(tags) :] if alone and done.sequence != NEVER else stored
        for draft, each, reply, look in zip(drafts, marks, stored, now, strict=True):
            same = look is not reply and look.at == reply.at
            confirmed = same and stands_by(draft.tags, each, read) == []
            stamp = Stamp(replica.epoch, done.sequence) if confirmed else before
            if reply.done:
                self._stored(draft, reply, each, Stamp(*stamp))
        return stored, read

    async def _offer(self, drafts: Sequence[Draft]) -> dict[int, bool]:
        """Store what is current unless something has happened since a lease; else delete it."""
        bases = await self._bases(drafts)
        good = [pair for pair in zip(drafts, bases, strict=True) if pair[1].good]
        kept: dict[int, bool] = dict.fromkeys(map(id, drafts), False)
        if good:
            items = await self._items([one for one, _ in good], [base.marks for _, base in good])
            stored, _ = await self._bracketed(
                [draft for draft, _ in good],
                [base.marks for _, base in good],
                [item.over(base.over) for item, (_, base) in zip(items, good, strict=True)],
            )
            kept |= {id(draft): reply.done for (draft, _), reply in zip(good, stored, strict=True)}
        lost = [draft for draft in drafts if not kept[id(draft)]]
        if lost:
            kept |= await self._lost(lost)
        return kept

    async def _lost(self, drafts: Sequence[Draft]) -> dict[int, bool]:
        """Delete what is stored in place of drafts, unless it is the very value, read and valid."""
        found = await self._same([draft for draft in drafts if not draft.written])
        gone = [draft for draft in drafts if id(draft) not in found]
        if gone:
            removals = [
                command
                for draft in gone
                for command in (
                    wire.remove(*self._names.value(draft.key)),
                    wire.remove(*self._names.claim(draft.key)),
                )
            ]
            await self._clock.bracketed(lambda: removals)
        for draft in gone:
            self._nonces.lose_sight(draft.key)
        return {id(draft): id(draft) in found for draft in drafts}

    async def _same(self, drafts: Sequence[Draft]) -> set[int]:
        """Those drafts whose very value is stored and valid: others missed it at the same time."""
        if not drafts:
            return set()
        reads = [wire.fetch(*self._names.value(draft.key)) for draft in drafts]
        outcomes, sequence = await self._clock.read(reads, 0.0, strong=True)
        replies = checked(outcomes, self._port.backend)
        found = await self._clock.nonces_now(_tags_of(drafts), sequence)
        same = set[int]()
        for draft, reply in zip(drafts, replies, strict=True):
            framed = frame.parse(reply.value)
            if (
                framed is not None
                and stands_by(draft.tags, framed.marks, found) == []
                and await self._holds(draft, bytes(framed.entry))
            ):
                same.add(id(draft))
                self._stored(draft, reply, framed.marks, Stamp(self._nonces.epoch, sequence))
        return same

    async def _holds(self, draft: Draft, stored: bytes) -> bool:
        """Whether an envelope holds the value of a draft."""
        (parsed,) = await self._sealing.parse([draft.key], [stored])
        if parsed is None or (parsed.tags, parsed.type_id) != (draft.tags, draft.type_id):
            return False
        (payload,) = await self._sealing.open([Addressed(draft.key, parsed)])
        return payload is not None and payload == draft.payload

    # -- over what was read ------------------------------------------------------------------

    async def swap(self, draft: Draft, over: At, marks: Marks, how: How) -> bool:
        """Store a draft over a CAS value.

        It is announced where something may be valid elsewhere that is not here any more, and
        bracketed where the value before it may be.
        """
        (item,) = await self._items([draft], [marks])
        return await self.store_over(draft, item, over, marks, how)

    async def store_over(self, draft: Draft, item: Item, over: At, marks: Marks, how: How) -> bool:
        """`swap`, for an item that was made already."""
        clock, command = self._clock, item.over(over)
        before = self._nonces.stamp()
        with clock.written([draft.key], undo=not draft.counter):
            if how == "bracketed":
                (reply,) = (await clock.bracketed(lambda: [command], retry=False)).replies
            elif how == "announced":
                (reply,) = await clock.announced(lambda: [command])
            else:
                (reply,) = await clock.ask([command], retry=False)
        if reply.done:
            self._stored(draft, reply, marks, Stamp(before.epoch, before.asof))
        else:
            self._nonces.lose_sight(draft.key)
        return reply.done

    async def touch(self, entries: Sequence[Entry]) -> None:
        """Nothing left to do: they were stored anew when they were read."""


def _tags_of(drafts: Iterable[Draft]) -> list[str]:
    return list(dict.fromkeys((ROOT, *(tag for draft in drafts for tag in draft.tags))))
