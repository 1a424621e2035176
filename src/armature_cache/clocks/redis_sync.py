"""How this process keeps up with a server's tag clock: the sync, and reads that carry it."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from armature_cache.clocks.digest import marks_of
from armature_cache.clocks.failover import REPORT_WITHIN
from armature_cache.clocks.judgement import Stamp
from armature_cache.clocks.limits import ATTEMPTS, BACKFILL, DELTA_LIMIT
from armature_cache.clocks.redis_wire import (
    SyncReply,
    members,
    number,
    plain,
    read_resync,
    read_sync,
)
from armature_cache.clocks.replica import Delta
from armature_cache.clocks.server_replica import ServerReplica
from armature_cache.clocks.shared import SharedClock
from armature_cache.errors import BackendError, BackendUnavailable
from armature_cache.redisio import scripts
from armature_cache.redisio.names import Names
from armature_cache.redisio.port import Answer, Command, Port, checked

if TYPE_CHECKING:
    from armature_cache._runtime.base import Runtime, Shared
    from armature_cache._time import TimeSource
    from armature_cache.clocks.listener import Listener
    from armature_cache.config import CacheConfig


class RedisSync(SharedClock):
    """Reads the clock of one namespace, as one face reaches it."""

    def __init__(
        self,
        replica: ServerReplica,
        port: Port,
        *,
        config: CacheConfig,
        runtime: Runtime,
        time: TimeSource,
        listener: Listener | None = None,
    ) -> None:
        super().__init__(replica, config=config, runtime=runtime, time=time, listener=listener)
        self.port = port
        self._names = Names.of(config)
        self.clustered = self._names.clustered
        self.channel = self._names.channel
        self._syncs: dict[int, Shared[None]] = {}
        replica.failover.declare(replays=config.on_failover == "replay")

    # -- who answers -------------------------------------------------------------------------

    def check(self) -> None:
        """Raise while the address was found to lead to one server and another in turn."""
        self.replica.watch.check(self.port.backend, self._time())

    def saw(self, answer: Answer) -> None:
        """Note which server answered, before anything that it said is believed."""
        try:
            self.replica.watch.saw(answer.run_id, self.port.backend, self._time())
        except BackendError:
            self.replica.distrust()
            raise

    # -- the sync ----------------------------------------------------------------------------

    def sync_commands(self) -> tuple[Stamp, list[Command]]:
        """Where this replica stands, and the pipeline that reads everything after it.

        The tag clock comes before the key clock, so that the cursor never runs ahead of the keys.
        """
        names, known = self._names, self.replica.stamp()
        cursor = known.asof
        return known, [
            ("ZREM", names.clock, b"\0nil"),
            ("TIME",),
            ("ZRANGEBYSCORE", names.clock, cursor, "+inf", "WITHSCORES", "LIMIT", 0, DELTA_LIMIT),
            ("ZRANGEBYSCORE", names.keys, cursor, "+inf", "WITHSCORES", "LIMIT", 0, DELTA_LIMIT),
        ]

    async def absorb(self, known: Stamp, replies: list[Any], answer: Answer) -> int:
        """Merge the replies to `sync_commands`, or read the clock anew if they do not suffice.

        Returns the cursor up to which everything was known when the rest of the pipeline ran: on a
        single server it ran after the sync, in a cluster beside it.
        """
        self.saw(answer)
        replica = self.replica
        replica.syncs += 1
        reply = read_sync(known.asof, replies)
        if reply is not None and reply.delta.epoch == known.epoch == replica.epoch:
            self._measure(reply.delta, answer)
        if (
            reply is None
            or reply.run_id != answer.run_id
            or not answer.runs <= reply.runs
            or not reply.delta.epoch == known.epoch == replica.epoch
            or not self._is_declared(reply)
            or 0 < reply.heritage.until < reply.micros
            or not replica.take(reply, answer.sent_at)
        ):
            await self.resync()
            return known.asof if known.epoch == replica.epoch else 0
        replica.note_time(reply.micros, answer.sent_at, answer.received_at)
        return reply.delta.last if not self.clustered else known.asof

    def _is_declared(self, reply: SyncReply) -> bool:
        """Whether the clock knows what this process has to say of itself."""
        replica = self.replica
        bounds = reply.bound >= replica.largest_bound and reply.ttl >= replica.declared_ttl
        return bounds and (replica.failover.replays or reply.strict)

    def _measure(self, delta: Delta, answer: Answer) -> None:
        """What a sync brought that this replica did not know, for the probe."""
        replica = self.replica
        known = replica.last
        news = {
            sequence
            for bumped in (delta.tags, delta.keys)
            for sequence in bumped.values()
            if sequence > known
        }
        if news and replica.synced_at > 0:
            round_trip = answer.received_at - answer.sent_at
            replica.observe(news, answer.received_at, max(round_trip, replica.round_trip))
            if any(sequence > known for sequence in delta.tags.values()):
                replica.brought_tags(answer.received_at)

    async def resync(self, *, restart: bool = False) -> None:
        await self._command_clock(restart=restart)

    async def _command_clock(
        self, *, restart: bool = False, enrol: bool = False, then: Sequence[Command] = ()
    ) -> list[Any]:
        """Run the SYNC script; the replies to what is to follow on the same connection.

        `enrol` makes this process known as a writer. A connection that leads to another server than
        the script ran on is tried again.
        """
        self.check()
        replica, failover = self.replica, self.replica.failover
        for _ in range(ATTEMPTS):
            runs = await self.port.runs()
            known, before = replica.stamp(), replica.run_id
            done = failover.report_due == known.epoch > 0 and not replica.owing
            command = scripts.SYNC(
                [self._names.clock, self._names.keys],
                known.epoch,
                known.asof,
                replica.largest_bound,
                replica.declared_ttl,
                int(restart),
                self._names.channel,
                secrets.randbits(20),
                int(failover.replays),
                failover.member if enrol else "",
                failover.member if done else "",
                int(REPORT_WITHIN * 1_000_000),
                *runs,
            )
            answer = await self.port.send([command, *then])
            reply, *others = checked(answer, self.port.backend)
            self.saw(answer)
            state = read_resync(reply)
            if state.run_id != answer.run_id:
                continue
            replica.note_time(state.micros, answer.sent_at, answer.received_at)
            left = before if restart and failover.replays else None
            if replica.take(state, answer.sent_at, unless_left=left):
                if done and state.delta.epoch == known.epoch:
                    failover.report_due = 0
                await self._backfill()
                return others
        replica.watch.halt(self.port.backend, self._time())
        replica.distrust()
        raise BackendUnavailable(
            f"{self.port.backend} answers with changing run_ids; a proxy in between, or a failover "
            "under way: connect to the primary directly",
            backend=self.port.backend,
        )

    async def _backfill(self) -> None:
        """Fetch the newest of the older tags, so that a cold start need not ask for each."""
        replica = self.replica
        if replica.known_above <= replica.floor:
            return
        top = replica.known_above
        command: Command = (
            "ZREVRANGEBYSCORE", self._names.clock, top, "-inf",
            "WITHSCORES", "LIMIT", 0, BACKFILL,
        )  # fmt: skip
        epoch = replica.epoch
        (reply,) = checked(await self.port.send([command]), self.port.backend)
        found = members(reply)
        scores = plain(found)
        low = replica.floor if len(found) < BACKFILL else min(found.values())
        replica.learn(epoch, scores, low)

    async def ensure(self, bound: float, *, strong: bool = False) -> None:
        if not strong and self.trusted(bound):
            return
        self.check()
        self._demand()
        began = self._time()
        await self.flush()
        await self._join_sync(alone=strong)
        if not strong and began - self.replica.synced_at > bound:
            await self._join_sync(alone=True)

    async def _join_sync(self, *, alone: bool) -> None:
        """Wait for the sync under way, or for one that is sent now.

        The one under way may have been sent so long ago that it is not enough for who comes now.
        """
        scope = self._runtime.scope()
        flight = self._syncs.get(scope)
        if alone or flight is None or flight.finished:
            flight = self._syncs[scope] = self._runtime.shared(self._sync)
        try:
            await flight.join()
        finally:
            if flight.finished and self._syncs.get(scope) is flight:
                del self._syncs[scope]

    async def read(
        self, commands: Sequence[Command], bound: float, *, strong: bool
    ) -> tuple[list[Any], int]:
        """The replies to a pipeline of reads, with trust in the replica when it returns.

        The sync rides in the same pipeline, ahead of the reads, when it is due. The second result
        is the cursor up to which everything was known when the reads ran on the server.
        """
        self.check()
        if not self.replica.epoch:
            await self.ensure(bound)
        elif self.replica.in_debt:
            await self.flush()
        if not strong and self.trusted(bound):
            seen, runs = self.replica.last, self.replica.runs
            answer = await self.port.send(commands)
            if answer.runs <= runs:
                return checked(answer, self.port.backend), seen
        self._demand()
        known, sync = self.sync_commands()
        answer = await self.port.send([*sync, *commands])
        replies = checked(answer, self.port.backend)
        seen = await self.absorb(known, replies[: len(sync)], answer)
        return replies[len(sync) :], seen

    async def _sync(self) -> None:
        if not self.replica.epoch:
            await self.resync()
            return
        known, commands = self.sync_commands()
        answer = await self.port.send(commands)
        await self.absorb(known, checked(answer, self.port.backend), answer)

    async def scores(self, tags: Sequence[str]) -> dict[bytes, int] | None:
        """When these tags were last invalidated, by mark; None where that cannot be told.

        One command reads them together with the marks of the clock's identity: unless epoch, run
        and floor are still those of this replica, a missing score proves nothing.
        """
        replica = self.replica
        known, run_id, floor = replica.stamp(), replica.run_id, replica.floor
        marks = ["\0S", f"\0E:{known.epoch}", f"\0R:{run_id}", f"\0F:{floor}"]
        names = marks_of(tags)
        answer = await self.port.send([("ZMSCORE", self._names.clock, *marks, *names)])
        (scores,) = checked(answer, self.port.backend)
        last, *identity = scores[: len(marks)]
        if (
            answer.run_id != run_id
            or last is None
            or None in identity
            or number(last) < known.asof
            or replica.epoch != known.epoch
        ):
            await self.resync()
            return None
        found = {
            name: number(score)
            for name, score in zip(names, scores[len(marks) :], strict=True)
            if score is not None
        }
        replica.learn(known.epoch, found, None)
        return found

    async def declare(self, life: int) -> None:
        """Tell the clock of a longer lifetime than any before, in ms, before it is used."""
        self.replica.declared_ttl = max(self.replica.declared_ttl, 1 << (life - 1).bit_length())
        await self.resync()
