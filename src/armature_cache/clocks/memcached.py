"""The clock on Memcached: a nonce for each tag, and one, g, that changes with everything.

Everything is written between two changes of g, so that whoever read a g knows of what he read after
it whether it is current still. All nonces are on one server, whose CAS values tell which of them
are older than the g that a load began under.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from armature_cache.clocks.judgement import Stamp, Verdict
from armature_cache.clocks.memcached_items import TAG_LIFE, anew, is_later, moment_of, pack_nonces
from armature_cache.clocks.memcached_sync import ATTEMPTS, MemcachedSync
from armature_cache.clocks.nonces import NEVER, ROOT, Nonces, stands, tags_of
from armature_cache.memcachedio import wire
from armature_cache.memcachedio.port import Outcome, checked
from armature_cache.memcachedio.wire import NOWHERE, At, Command, Reply

if TYPE_CHECKING:
    from armature_cache.claims import Holder
    from armature_cache.clocks.server_replica import Unsent
    from armature_cache.entry import Entry

CHUNK: Final = 1000
"""Tags and keys that are invalidated between two changes of g."""


class MemcachedClock(MemcachedSync):
    """The clock of one namespace as one face reaches it."""

    # -- nonces ------------------------------------------------------------------------------

    async def nonces(self, tags: Iterable[str], sequence: int) -> dict[str, Nonces | None]:
        """The nonces of tags as they are at a sequence; None for those that are lost."""
        wanted = dict.fromkeys(tags)
        known = {tag: self.replica.nonces_at(tag, sequence) for tag in wanted}
        unread = [tag for tag, nonces in known.items() if nonces is None]
        if unread:
            known |= self.take_nonces(unread, await self.ask(self.nonce_reads(unread)), sequence)
        return known

    async def nonces_now(self, tags: Iterable[str], sequence: int) -> dict[str, Nonces | None]:
        """The same, read from the server in any case: what was lost is there anew, maybe."""
        wanted = list(dict.fromkeys(tags))
        return self.take_nonces(wanted, await self.ask(self.nonce_reads(wanted)), sequence)

    async def whole_nonces(self, tags: Iterable[str], sequence: int) -> dict[str, Nonces]:
        """The nonces of tags as they are at a sequence; those that are lost are made anew."""
        replica = self.replica
        found: dict[str, Nonces] = {}
        wanted = dict.fromkeys(tags)
        lost = {tag: NOWHERE for tag in wanted if replica.nonces_remembered(tag) is None}
        for _ in range(ATTEMPTS):
            for tag in [tag for tag in wanted if tag not in found]:
                known = replica.nonces_at(tag, sequence)
                if known is not None:
                    found[tag] = known
            left = [tag for tag in wanted if tag not in found]
            if not left:
                return found
            made = [self._made(tag, lost[tag]) for tag in left if tag in lost]
            replies = (await self.ask([*made, *self.nonce_reads(left)], retry=not made))[
                len(made) :
            ]
            read = self.take_nonces(left, replies, sequence)
            found |= {tag: nonces for tag, nonces in read.items() if nonces is not None}
            lost = {
                tag: reply.at if reply.done else NOWHERE
                for tag, reply in zip(left, replies, strict=True)
                if tag not in found
            }
        raise self._lost()

    def _made(self, tag: str, over: At) -> Command:
        """New nonces for a tag that has none."""
        place, life = self._names.tag(tag), TAG_LIFE if tag else 0
        if over == NOWHERE:
            return wire.store(*place, pack_nonces(), ttl=life, add=True)
        return wire.store(*place, pack_nonces(), ttl=life, over=over)

    # -- loads and residents -----------------------------------------------------------------

    async def brace(self, loads: Mapping[str, tuple[str, ...]]) -> None:
        replica = self.replica
        sequence = replica.last
        tags = dict.fromkeys((ROOT, *(tag for named in loads.values() for tag in named)))
        unseen = [key for key in loads if not replica.sighted(key)]
        if unseen:
            places = [self._names.value(key) for key in unseen]
            replies = await self.ask(
                [wire.fetch(*place, vivify=self.placeholder) for place in places]
            )
            for key, reply in zip(unseen, replies, strict=True):
                if not is_later(reply.value):
                    replica.sight(key, reply.at, sequence)
        await self.whole_nonces(tags, sequence)

    async def confirm(
        self, entries: Sequence[Entry], bound: float, *, strong: bool = False
    ) -> None:
        await self.ensure(bound, strong=strong)
        replica = self.replica
        unsure = [one for one in entries if replica.recoverable(one)]
        if not unsure:
            return
        sequence = replica.last
        places = [self._names.value(entry.key) for entry in unsure]
        tags = [
            tag
            for tag in dict.fromkeys((ROOT, *(tag for one in unsure for tag in one.tags)))
            if replica.nonces_at(tag, sequence) is None
        ]
        reads = [wire.fetch(*place, value=False) for place in places]
        outcomes = await self.port.send([*self.nonce_reads(tags), *reads])
        self.take_nonces(tags, checked(outcomes[: len(tags)], self.port.backend), sequence)
        found = await self.nonces((ROOT, *(tag for one in unsure for tag in one.tags)), sequence)
        for entry, outcome in zip(unsure, outcomes[len(tags) :], strict=True):
            self._judge(entry, outcome, found, sequence)

    def _judge(
        self,
        entry: Entry,
        outcome: Outcome,
        found: Mapping[str, Nonces | None],
        sequence: int,
    ) -> None:
        """Let a resident entry be valid at a sequence, or dead; unknown if its server fails."""
        if not isinstance(outcome, Reply):
            return
        proof = entry.proof
        if (
            proof is None
            or not outcome.done
            or (outcome.run, outcome.cas) != (proof.run, proof.cas)
            or not stands(entry, found)
        ):
            entry.epoch = NEVER
        else:
            entry.asof = entry.seen = max(entry.asof, sequence)

    async def overtaken(self, path: str, tags: tuple[str, ...], holder: Holder) -> bool:
        replica = self.replica
        if replica.judge(path, replica.epoch, replica.last, tags) is not Verdict.VALID:
            return True
        began = At(holder.epoch.to_bytes(8, "big").hex().encode(), holder.asof)
        if not began.run or began.run != replica.g_at.run:
            await self.ensure(0.0, strong=True)
        if not began.precedes(replica.g_at):
            return began.run != replica.g_at.run
        found = await self.nonces((ROOT, *tags), replica.last)
        return any(one is None or not one.at.precedes(began) for one in found.values())

    # -- invalidations -----------------------------------------------------------------------

    async def resync(self, *, restart: bool = False) -> None:
        if restart:
            await self._send_tags((ROOT,))
        else:
            await self.ensure(0.0, strong=True)

    async def _send(self, job: Unsent) -> tuple[Stamp, list[bytes]]:
        heads: list[bytes] = []
        for at in range(0, max(len(job.tags), len(job.keys), 1), CHUNK):
            heads += await self._send_chunk(job.tags[at : at + CHUNK], job.keys[at : at + CHUNK])
        return self.replica.stamp(), heads

    async def _send_tags(self, tags: Sequence[str]) -> None:
        await self._send_chunk(tags, ())

    async def _send_chunk(self, names: Sequence[str], keys: Sequence[str]) -> list[bytes]:
        """Invalidate tags and delete keys; what was stored under the keys."""
        wanted = tags_of(names)
        left = dict(wanted)
        values: list[bytes] = []
        while True:
            old = await self._old_nonces([tag for tag, soft in left.items() if soft])
            deletions = self._deletions(keys)
            done = await self.bracketed(
                lambda left=left, old=old, deletions=deletions: [  # type: ignore[misc]
                    *(self._invalidation(tag, old.get(tag)) for tag in left), *deletions,
                ]
            )  # fmt: skip
            if not values:
                values = [
                    read.value if gone.code == b"HD" else b""
                    for read, gone in zip(
                        done.replies[len(left) :: 3], done.replies[len(left) + 1 :: 3], strict=True
                    )
                ]
            refused = {
                tag: wanted[tag]
                for tag, reply in zip(left, done.replies, strict=False)
                if reply.code != b"HD"
            }
            for key in keys:
                self.replica.lose_sight(key)
            if not refused:
                return values
            left, keys = refused, ()

    def _deletions(self, keys: Sequence[str]) -> list[Command]:
        commands = []
        for key in keys:
            value, claim = self._names.value(key), self._names.claim(key)
            commands += [wire.fetch(*value), wire.remove(*value), wire.remove(*claim)]
        return commands

    async def _old_nonces(self, tags: Sequence[str]) -> dict[str, Reply]:
        if not tags:
            return {}
        replies = await self.ask(self.nonce_reads(tags))
        return dict(zip(tags, replies, strict=True))

    def _invalidation(self, tag: str, old: Reply | None) -> Command:
        """New nonces for a tag; softly, only the soft one, over the item that was read."""
        place, life = self._names.tag(tag), TAG_LIFE if tag else 0
        kept = None if old is None else self._nonces_in(old)
        if old is None:
            return wire.store(*place, pack_nonces(), ttl=life)
        if kept is None:
            return anew(place, pack_nonces(), old, ttl=life)
        value = pack_nonces(hard=kept.hard, softened=moment_of(self._wall()))
        return wire.store(*place, value, ttl=life, over=old.at)

    # -- what a clock of nonces does not need --------------------------------------------------

    async def declare(self, life: int) -> None:
        """Nothing to declare: nonces are kept for as long as there is room for them."""

    async def scores(self, tags: Sequence[str]) -> dict[bytes, int] | None:
        """Nonces have no order."""
        return None
