"""The tag clock on a Redis or Valkey server: invalidations, and writes that bump it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from armature_cache.clocks.redis_commands import BumpCommands, tombstone
from armature_cache.clocks.redis_sync import ATTEMPTS, RedisSync
from armature_cache.clocks.redis_wire import read_bump, text
from armature_cache.clocks.replica import Stamp
from armature_cache.clocks.server_replica import ServerReplica, Unsent
from armature_cache.errors import (
    BackendUnavailable,
)
from armature_cache.redisio import scripts
from armature_cache.redisio.port import Command, Port, checked

if TYPE_CHECKING:
    from armature_cache._runtime.base import Runtime
    from armature_cache._time import TimeSource
    from armature_cache.clocks.listener import Listener
    from armature_cache.config import CacheConfig

CHUNK: Final = 1000


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
            reply = await self.run(functools.partial(self.commands.bump, tags, keys))
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

    async def run(self, make: Callable[[], Command], *, retry: bool = True) -> list[Any]:
        """Run a script that bumps, merge its delta, and return its reply."""
        (reply,) = await self.run_all([make], retry=retry)
        return reply

    async def run_all(
        self, makes: Sequence[Callable[[], Command]], *, retry: bool = True
    ) -> list[list[Any]]:
        """`run`, for several scripts in one pipeline.

        A command is made anew for each attempt, for a resync changes what it carries. A reply of
        an epoch that is over acknowledges nothing: the command is sent again.
        """
        done: dict[int, list[Any]] = {}
        self.check()
        if not self.replica.epoch:
            await self.resync()
        for _ in range(ATTEMPTS):
            left = [at for at in range(len(makes)) if at not in done]
            answer = await self.port.send([makes[at]() for at in left], retry=retry)
            self.saw(answer)
            for at, reply in zip(left, checked(answer, self.port.backend), strict=True):
                word = text(reply[0])
                if word == "CHANGED" or (
                    word != "RESYNC" and self.replica.merge(read_bump(reply), answer.sent_at)
                ):
                    done[at] = reply
                if word not in {"CHANGED", "RESYNC"}:
                    self.replica.note_bound(int(text(reply[7])))
            if len(done) == len(makes):
                return [done[at] for at in range(len(makes))]
            await self.resync()
        raise self.lost()

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
