"""How values are stored: in one step on a single server, in two in a cluster.

In a cluster the clock is on one node and a value on another, so a write first bumps its key and
then stores the value with that sequence as its asof. Between the two steps the key is dead
everywhere, and a step that fails leaves it so until a delete has been sent.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from armature_cache import envelope
from armature_cache.clocks.digest import digest
from armature_cache.clocks.judgement import Stamp, Verdict
from armature_cache.clocks.limits import ATTEMPTS
from armature_cache.clocks.redis import Bump
from armature_cache.clocks.redis_commands import Sealed, tombstone
from armature_cache.redisio import scripts
from armature_cache.redisio.port import Command, checked
from armature_cache.stores.shared_writes import ComparingWrites

if TYPE_CHECKING:
    from armature_cache._time import TimeSource
    from armature_cache.clocks.redis import RedisClock
    from armature_cache.config import CacheConfig
    from armature_cache.entry import Entry
    from armature_cache.redisio.names import Names
    from armature_cache.redisio.port import Port
    from armature_cache.stores.draft import Draft
    from armature_cache.stores.redis_claims import Claims
    from armature_cache.stores.sealing import Sealing


_OVERTAKEN: Final = 0
_SAME: Final = 2


class Writes(ComparingWrites):
    """Writes to a single server: each is one script."""

    def __init__(
        self, clock: RedisClock, port: Port, *, names: Names, sealing: Sealing,
        config: CacheConfig, time: TimeSource, claims: Claims,
    ) -> None:  # fmt: skip
        super().__init__(clock.replica, sealing, config, time)
        self._clock = clock
        self._port = port
        self._names = names
        self._claims = claims

    def _seal(self, draft: Draft, stamp: Stamp | None) -> Sealed:
        if draft.closed is None:
            raise RuntimeError("a draft is sent before its envelope was closed")
        epoch, asof = stamp or Stamp(0, 0)
        packed = draft.closed.stamped(asof, epoch)
        return Sealed(draft.key, packed, draft.tags, self.life(draft), draft.dead_at)

    async def fill(self, drafts: Sequence[Draft]) -> list[bool]:
        """Store values that were loaded; False for those that came too late."""
        self._clock.check()
        claimed = [draft for draft in drafts if draft.claim]
        answer = await self._port.send([*map(self._fill_command, drafts), *self._endings(claimed)])
        replies = checked(answer, self._port.backend)
        outcomes = replies[: len(drafts)]
        await self._ended(claimed, replies[len(drafts) :])
        for draft, outcome in zip(drafts, outcomes, strict=True):
            if outcome == 0 and draft.stamp is not None:
                self._clock.suspect(draft.stamp)
        return [outcome == 1 for outcome in outcomes]

    def _endings(self, claimed: Sequence[Draft]) -> list[Command]:
        """The commands that give up the claims of these drafts, to be sent with their values."""
        return [self._claims.ending(draft.key, draft.claim) for draft in claimed]

    async def _ended(self, claimed: Sequence[Draft], replies: Sequence[Any]) -> None:
        for draft in claimed:
            draft.claim = ""
        await self._claims.wake([draft.key for draft in claimed], replies)

    def _fill_command(self, draft: Draft) -> Command:
        sealed = self._seal(draft, draft.stamp)
        return scripts.FILL(
            [self._names.keys, *self._names.of_value(draft.key, draft.tags)],
            *(draft.stamp or Stamp(0, 0)),
            envelope.VERSION,
            self._latest(draft),
            sealed.life,
            sealed.dead_at,
            draft.key,
            digest(draft.key),
            sealed.packed,
            *draft.tags,
        )

    async def touch(self, entries: Sequence[Entry]) -> None:
        """Start the lifetimes of sliding entries anew, unless they were replaced meanwhile.

        They are judged by what was known when they were read from then on, so that the clock
        need not remember for as long as they live.
        """
        if not entries:
            return
        now = int(self._time() * 1000 + self._clock.replica.server_behind)
        commands: list[Command] = []
        for entry in entries:
            life = max(1, round(entry.more.window * 1000))
            names = self._names.of_value(entry.key, entry.tags)
            commands.append(
                scripts.TOUCH(
                    names, *entry.stamp, max(entry.asof, entry.seen), life, now + life,
                    entry.key, self._clock.replica.inherited.parent, *entry.tags,
                )
            )  # fmt: skip
        checked(await self._port.send(commands), self._port.backend)

    async def put(self, drafts: Sequence[Draft]) -> list[bool]:
        """Store values as current now, or since their lease; False for an overtaken lease.

        What was not acknowledged counts as deleted.
        """
        with self._clock.written([draft.key for draft in drafts]):
            replies = await self._clock.run_all(
                [
                    Bump(functools.partial(self._put_command, draft), (), (draft.key,))
                    for draft in drafts
                ]
            )
        return [self._settled(draft, reply) for draft, reply in zip(drafts, replies, strict=True)]

    def _settled(self, draft: Draft, reply: list[Any]) -> bool:
        """Note the stamp that a draft was given, or that of the same value before it."""
        stamp = self._clock.stamp_of(reply)
        same = draft.leased and reply[-1] == _SAME
        draft.stamp = Stamp(stamp.epoch, int(reply[-2])) if same else stamp
        return not draft.leased or reply[-1] != _OVERTAKEN

    def _put_command(self, draft: Draft) -> Command:
        commands = self._clock.commands
        sealed = self._seal(draft, None)
        if draft.leased and draft.stamp is not None:
            return commands.offer(sealed, draft.stamp, written=draft.written)
        return commands.set(sealed, b"*")

    async def swap(self, draft: Draft, expected: bytes, judged: Stamp | None) -> bool:
        """Store a value as current now if the stored header is still the expected one.

        `judged` is given for a value that takes over the tags of the expected one, which was
        valid then: it has to be still. A counter that may have been stored is not deleted, for
        others may have counted on.
        """
        commands, standing = self._clock.commands, judged is not None
        with self._clock.written([draft.key], undo=not draft.counter):
            reply = await self._clock.run(
                Bump(
                    lambda: commands.set(self._seal(draft, None), expected, standing=standing),
                    (),
                    (draft.key,),
                ),
                retry=False,
            )
        if reply[0] == b"CHANGED":
            return False
        draft.stamp = self._clock.stamp_of(reply)
        return True


class ClusterWrites(Writes):
    """Writes to a cluster: the clock's node first, then the value's."""

    async def fill(self, drafts: Sequence[Draft]) -> list[bool]:
        kept = [draft for draft in drafts if self._is_current(draft)]
        claimed = [draft for draft in kept if draft.claim]
        commands = [*map(self._fill_command, kept), *self._endings(claimed)]
        replies = await self._clock.placed(commands) if commands else []
        outcomes = replies and replies[: len(kept)]
        if replies:
            await self._ended(claimed, replies[len(kept) :])
        stored = {
            id(draft): outcome == 1
            for draft, outcome in zip(kept, outcomes or [0] * len(kept), strict=True)
        }
        return [stored.get(id(draft), False) for draft in drafts]

    def _is_current(self, draft: Draft) -> bool:
        """What the key clock would say on a single server, as far as this process knows it."""
        stamp = draft.stamp or Stamp(0, 0)
        judge = self._clock.replica.judge
        return judge(draft.key, *stamp, draft.tags) is Verdict.VALID

    def _fill_command(self, draft: Draft) -> Command:
        return self._place(draft, draft.stamp or Stamp(0, 0), latest=str(self._latest(draft)))

    def _place(
        self, draft: Draft, stamp: Stamp, *, expected: bytes = b"*", below: str = "",
        latest: str = "", standing: bool = False,
    ) -> Command:  # fmt: skip
        sealed = self._seal(draft, stamp)
        return scripts.PLACE(
            self._names.of_value(draft.key, draft.tags),
            *stamp,
            envelope.VERSION,
            expected,
            below,
            sealed.life,
            sealed.dead_at,
            draft.key,
            sealed.packed,
            tombstone(draft.key, stamp),
            self._clock.commands.tombstone_life,
            latest,
            int(standing),
            *draft.tags,
        )

    async def put(self, drafts: Sequence[Draft]) -> list[bool]:
        with self._clock.written([draft.key for draft in drafts]):
            for _ in range(ATTEMPTS):
                replies = await self._clock.run_all(
                    [
                        Bump(functools.partial(self._first, draft), (), (draft.key,))
                        for draft in drafts
                    ]
                )
                outcomes = await self._clock.placed(list(map(self._second, drafts, replies)))
                if outcomes is not None:
                    return [
                        await self._end(draft, reply, outcome)
                        for draft, reply, outcome in zip(drafts, replies, outcomes, strict=True)
                    ]
        raise self._clock.lost()

    def _first(self, draft: Draft) -> Command:
        """The first step: bump the key, unless a lease was overtaken."""
        commands = self._clock.commands
        if draft.leased and draft.stamp is not None:
            return commands.check(draft.key, draft.tags, draft.stamp, written=draft.written)
        return commands.bump((), (draft.key,))

    def _second(self, draft: Draft, reply: list[Any]) -> Command:
        """The second step: the value, or a look whether it is there already."""
        stamp = self._clock.stamp_of(reply)
        if not draft.leased or draft.stamp is None:
            return self._place(draft, stamp)
        if reply[-1] == 1:
            return self._place(draft, stamp, below=str(draft.stamp.asof))
        packed = self._seal(draft, stamp).packed
        return scripts.SAME([self._names.value(draft.key)], packed)

    async def _end(self, draft: Draft, reply: list[Any], outcome: object) -> bool:
        stamp = self._clock.stamp_of(reply)
        if not draft.leased or (reply[-1] == 1 and outcome == 1):
            draft.stamp = stamp
            return True
        found = envelope.read_stamp(outcome) if isinstance(outcome, bytes) else None
        if found is not None and not draft.written:
            draft.stamp = Stamp(*found)
            if self._is_current(draft):
                return True
        await self._clock.invalidate((), (draft.key,))
        return False

    async def swap(self, draft: Draft, expected: bytes, judged: Stamp | None) -> bool:
        commands = self._clock.commands
        first = (
            functools.partial(commands.bump, (), (draft.key,))
            if judged is None
            else functools.partial(commands.check, draft.key, draft.tags, judged)
        )
        with self._clock.written([draft.key], undo=not draft.counter):
            for _ in range(ATTEMPTS):
                reply = await self._clock.run(Bump(first, (), (draft.key,)), retry=False)
                if judged is not None and reply[-1] != 1:
                    return False
                stamp = self._clock.stamp_of(reply)
                command = self._place(draft, stamp, expected=expected, standing=judged is not None)
                outcomes = await self._clock.placed([command], retry=False)
                if outcomes is not None:
                    draft.stamp = stamp
                    return bool(outcomes[0] == 1)
        raise self._clock.lost()
