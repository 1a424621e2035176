"""The tag clock on a Redis or Valkey server: invalidations, and writes that bump it."""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from armature_cache.clocks.failover import CONFIRM_WITHIN, WINDOW, Done
from armature_cache.clocks.judgement import Stamp
from armature_cache.clocks.limits import ATTEMPTS, CHUNK
from armature_cache.clocks.redis_commands import BumpCommands, tombstone, unheard
from armature_cache.clocks.redis_sync import RedisSync
from armature_cache.clocks.redis_wire import number, read_bump, replicas_of, text
from armature_cache.clocks.server_replica import ServerReplica, Unsent
from armature_cache.errors import (
    BackendUnavailable,
)
from armature_cache.redisio import scripts
from armature_cache.redisio.port import Answer, Command, Port, checked

if TYPE_CHECKING:
    from armature_cache._runtime.base import Runtime
    from armature_cache._time import TimeSource
    from armature_cache.clocks.listener import Listener
    from armature_cache.config import CacheConfig

logger = logging.getLogger("armature_cache")


class Bump(NamedTuple):
    """A script call that invalidates tags and keys, made anew for each attempt."""

    make: Callable[[], Command]
    tags: Sequence[str]
    keys: Sequence[str]


class RedisClock(RedisSync):
    """The clock of one namespace as one face reaches it."""

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
        super().__init__(
            replica, port, config=config, runtime=runtime, time=time, listener=listener
        )
        self.commands = BumpCommands(replica, self._names, config.max_load_time)
        self._confirm_within = min(CONFIRM_WITHIN, config.operation_timeout / 2)

    async def flush(self) -> None:
        await super().flush()
        if self.replica.failover.report_due:
            await self.resync()

    async def _send(self, job: Unsent) -> tuple[Stamp, list[bytes]]:
        heads: list[bytes] = []
        stamp = Stamp(0, 0)
        for at in range(0, max(len(job.tags), len(job.keys), 1), CHUNK):
            tags, keys = job.tags[at : at + CHUNK], job.keys[at : at + CHUNK]
            stamp, found = await self._send_chunk(tags, keys)
            heads += found
        return stamp, heads

    async def _send_chunk(
        self, tags: Sequence[str], keys: Sequence[str]
    ) -> tuple[Stamp, list[bytes]]:
        for _ in range(ATTEMPTS):
            bump = Bump(functools.partial(self.commands.bump, tags, keys), tags, keys)
            reply = await self.run(bump)
            stamp = self.stamp_of(reply)
            if not self._names.clustered or not keys:
                return stamp, reply[8]
            heads = await self._bury(keys, stamp)
            if heads is not None:
                return stamp, heads
        raise self.lost()

    async def _bury(self, keys: Sequence[str], stamp: Stamp) -> list[bytes] | None:
        """Put tombstones on keys of a cluster; None if a node is not one that the clock knows."""
        commands = [
            scripts.BURY(
                [self._names.value(key)], *stamp, tombstone(key, stamp),
                self.commands.tombstone_life,
            )
            for key in keys
        ]  # fmt: skip
        return await self.placed(commands)

    async def placed(self, commands: Sequence[Command], *, retry: bool = True) -> list[Any] | None:
        """The replies of the nodes that own the values of a cluster.

        None if one of them is not known to the clock: it has taken over from another, which may
        have lost something; the clock has begun a new epoch then.
        """
        answer = await self.port.send(commands, retry=retry)
        replies = checked(answer, self.port.backend)
        if answer.runs <= self.replica.runs:
            return replies
        await self.resync()
        return None

    async def run(self, bump: Bump, *, retry: bool = True) -> list[Any]:
        """Run a script that bumps, merge its delta, and return its reply."""
        (reply,) = await self.run_all([bump], retry=retry)
        return reply

    async def run_all(self, bumps: Sequence[Bump], *, retry: bool = True) -> list[list[Any]]:
        """`run`, for several scripts in one pipeline, or in several when they are many."""
        self.check()
        if not self.replica.epoch:
            await self.resync()
        replies: list[list[Any]] = []
        for at in range(0, len(bumps), CHUNK):
            replies += await self._run_chunk(bumps[at : at + CHUNK], retry=retry)
        return replies

    async def _run_chunk(self, bumps: Sequence[Bump], *, retry: bool) -> list[list[Any]]:
        """Run scripts in one pipeline; the last one's reply brings the delta of all.

        A command is made anew for each attempt, for a resync changes what it carries. A reply of
        an epoch that is over, or of a server that this process has left, acknowledges nothing: the
        command is sent again.
        """
        done: dict[int, list[Any]] = {}
        for _ in range(ATTEMPTS):
            await self._enrol()
            left = [at for at in range(len(bumps)) if at not in done]
            *others, last = [bumps[at].make() for at in left]
            answer = await self.port.send([*map(unheard, others), last], retry=retry)
            self.saw(answer)
            replies = checked(answer, self.port.backend)
            done |= self._acknowledged(bumps, dict(zip(left, replies, strict=True)), answer)
            if len(done) == len(bumps):
                return [done[at] for at in range(len(bumps))]
            self.replica.failover.enrolled_until = -math.inf
            await self.resync()
        raise self.lost()

    def _acknowledged(
        self, bumps: Sequence[Bump], replies: dict[int, list[Any]], answer: Answer
    ) -> dict[int, list[Any]]:
        """Those of the replies after which nothing is left to do, by place."""
        done = {at: reply for at, reply in replies.items() if text(reply[0]) == "CHANGED"}
        last = replies[max(replies)]
        if text(last[0]) in {"CHANGED", "RESYNC"}:
            return done
        self.replica.note_bound(int(text(last[7])))
        bumped = {at: reply for at, reply in replies.items() if reply[0] == last[0]}
        known = self.replica.acknowledge(
            read_bump(last),
            answer,
            (
                Done(
                    int(text(reply[2])),
                    answer.sent_at,
                    tuple(bumps[at].tags),
                    tuple(bumps[at].keys),
                )
                for at, reply in bumped.items()
            ),
        )
        return done | bumped if known else done

    async def _enrol(self) -> None:
        """Be known as a writer, by the server and by its replicas, before anything is written.

        Where replicas do not confirm that in time it is tried again before a later write: until
        then a failover in which this process ends, too, may lose its invalidations.
        """
        failover = self.replica.failover
        if not failover.replays or self._time() < failover.enrolled_until:
            return
        answer = await self.port.send([("INFO", "replication")])
        (info,) = checked(answer, self.port.backend)
        count = replicas_of(info)
        wait: Command = ("WAIT", count, int(self._confirm_within * 1000))
        (confirmed,) = await self._command_clock(enrol=True, then=[wait] if count else []) or [0]
        good = int(confirmed) >= count
        failover.enrolled_until = self._time() + (WINDOW / 2 if good else CONFIRM_WITHIN)
        if not good:
            logger.warning(
                "%s: %d of %d replicas confirmed this process as a writer within %s s; a failover "
                "that ends this process, too, may lose its last invalidations",
                self.port.backend, int(confirmed), count, self._confirm_within,
            )  # fmt: skip
        self._demand()

    def stamp_of(self, reply: list[Any]) -> Stamp:
        """The stamp that a bump was given."""
        return Stamp(int(text(reply[0])), int(text(reply[2])))

    def lost(self) -> BackendUnavailable:
        """The error after too many attempts."""
        return BackendUnavailable(
            f"{self.port.backend} lost its clock again and again; is it being flushed, or failing "
            "over?",
            backend=self.port.backend,
        )

    async def resign(self) -> None:
        """No longer be waited for: the replicas have all that this process has invalidated."""
        failover = self.replica.failover
        if not failover.replays or failover.enrolled_until == -math.inf:
            return
        (info,) = checked(await self.port.send([("INFO", "replication")]), self.port.backend)
        count = replicas_of(info)
        # A replica that has what this connection wrote has everything before it.
        commands: list[Command] = [
            ("ZSCORE", self._names.writers, failover.member),
            ("ZREM", self._names.clock, b"\0nil"),
            ("WAIT", count, int(self._confirm_within * 1000)),
        ]
        heard, _, confirmed = checked(await self.port.send(commands), self.port.backend)
        if heard is not None and int(confirmed) >= count:
            failover.enrolled_until = -math.inf
            gone = scripts.RESIGN([self._names.writers], failover.member, number(heard))
            checked(await self.port.send([gone]), self.port.backend)

    async def restart(self) -> None:
        if not self.replica.epoch:
            await self.resync()
        await self._enrol()
        await self.resync(restart=True)
