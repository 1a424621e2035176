"""The tag clock on a Redis or Valkey server, and this process's replica of it."""

from __future__ import annotations

import contextlib
import functools
import math
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from armature_cache import envelope
from armature_cache.clocks.digest import digest
from armature_cache.clocks.redis_replica import ServerReplica, Unsent
from armature_cache.clocks.redis_wire import (
    DELTA_LIMIT,
    members,
    number,
    plain,
    read_bump,
    read_resync,
    read_sync,
    text,
)
from armature_cache.clocks.replica import Stamp
from armature_cache.errors import BackendError, BackendUnavailable, InvalidationError
from armature_cache.redisio import scripts
from armature_cache.redisio.names import Names
from armature_cache.redisio.port import RUN_ID, Answer, Command, Port, checked

if TYPE_CHECKING:
    from armature_cache._runtime.base import Runtime, Shared
    from armature_cache._time import TimeSource
    from armature_cache.clocks.hints import Listener
    from armature_cache.config import CacheConfig

CHUNK: Final = 1000
MAX_SERVER_TAGS: Final = 1_000_000
MAX_SERVER_KEYS: Final = 100_000
KEY_MEMORY: Final = 600.0
_BACKFILL: Final = 5000
_ATTEMPTS: Final = 4
_CHANNEL: Final = 3


class RedisClock:
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
        self.replica = replica
        self._names = Names(config.namespace)
        self.channel = self._names.channel
        self._listener = listener
        self.port = port
        self._config = config
        self._runtime = runtime
        self._time = time
        self._syncs: dict[int, Shared[None]] = {}
        self._load_us = int(config.max_load_time * 1_000_000)
        self._tombstone_life = int(2000 * config.max_load_time)
        self.declare_bound(config.staleness_bound)

    def declare_bound(self, bound: float) -> None:
        replica = self.replica
        replica.shortest_bound = min(replica.shortest_bound, bound)
        if bound < math.inf:
            replica.declared_bound = max(replica.declared_bound, int(bound * 1_000_000))

    # -- the sync ----------------------------------------------------------------------------

    def trusted(self, bound: float) -> bool:
        """Whether the last successful sync was sent within `bound` seconds."""
        replica = self.replica
        return self._time() - replica.synced_at < bound and not replica.unsent

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

        Returns the cursor up to which everything was known when the rest of the pipeline ran.
        """
        replica = self.replica
        replica.syncs += 1
        reply = read_sync(known.asof, replies)
        if (
            reply is None
            or reply.run_id != answer.run_id
            or not reply.delta.epoch == known.epoch == replica.epoch
            or reply.bound < replica.declared_bound
            or reply.ttl < replica.declared_ttl
            or not replica.merge(reply.delta, answer.sent_at)
        ):
            await self.resync()
            return known.asof if known.epoch == replica.epoch else 0
        replica.run_id = answer.run_id
        replica.note_time(reply.micros, answer.sent_at, answer.received_at)
        return reply.delta.last

    async def resync(self, *, restart: bool = False) -> None:
        """Read the clock with authority; `restart` begins a new epoch.

        A connection that leads to another server than the script ran on is tried again.
        """
        replica = self.replica
        for _ in range(_ATTEMPTS):
            known = replica.stamp()
            command = scripts.SYNC(
                [self._names.clock, self._names.keys],
                known.epoch,
                known.asof,
                replica.declared_bound,
                replica.declared_ttl,
                int(restart),
                self._names.channel,
                secrets.randbits(20),
            )
            answer = await self.port.send([command])
            (reply,) = checked(answer, self.port.backend)
            run_id, delta, micros = read_resync(reply)
            if run_id != answer.run_id:
                continue
            replica.note_time(micros, answer.sent_at, answer.received_at)
            if replica.merge(delta, answer.sent_at):
                replica.run_id = run_id
                await self._backfill()
                return
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
            "WITHSCORES", "LIMIT", 0, _BACKFILL,
        )  # fmt: skip
        epoch = replica.epoch
        (reply,) = checked(await self.port.send([command]), self.port.backend)
        found = members(reply)
        scores = plain(found)
        low = replica.floor if len(found) < _BACKFILL else min(found.values())
        replica.learn(epoch, scores, low)

    async def ensure(self, bound: float, *, strong: bool = False) -> None:
        if not strong and self.trusted(bound):
            return
        self._demand()
        await self.flush()
        scope = self._runtime.scope()
        flight = self._syncs.get(scope)
        if strong or flight is None or flight.finished:
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
        if not self.replica.epoch:
            await self.ensure(bound)
        elif self.replica.unsent:
            await self.flush()
        if not strong and self.trusted(bound):
            seen, run_id = self.replica.last, self.replica.run_id
            answer = await self.port.send(commands)
            if answer.run_id == run_id:
                return checked(answer, self.port.backend), seen
        self._demand()
        known, sync = self.sync_commands()
        answer = await self.port.send([*sync, *commands])
        replies = checked(answer, self.port.backend)
        seen = await self.absorb(known, replies[: len(sync)], answer)
        return replies[len(sync) :], seen

    def retire(self) -> None:
        """No longer used: the listener may end when no other clock needs it."""
        self._listener = None

    def _demand(self) -> None:
        if self._listener is not None:
            self._listener.want()

    async def _sync(self) -> None:
        if not self.replica.epoch:
            await self.resync()
            return
        known, commands = self.sync_commands()
        answer = await self.port.send(commands)
        await self.absorb(known, checked(answer, self.port.backend), answer)

    async def scores(self, tags: Sequence[str]) -> dict[bytes, int] | None:
        """When these tags were last invalidated, by digest; None where that cannot be told.

        One command reads them together with the marks of the clock's identity: unless epoch, run
        and floor are still those of this replica, a missing score proves nothing.
        """
        replica = self.replica
        known, run_id, floor = replica.stamp(), replica.run_id, replica.floor
        marks = ["\0S", f"\0E:{known.epoch}", f"\0R:{run_id}", f"\0F:{floor}"]
        names = [digest(tag) for tag in tags]
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

    def suspect(self, stamp: Stamp) -> None:
        """A fill of this stamp was refused: something newer exists than this replica may know."""
        self.replica.ahead = max(self.replica.ahead, stamp.asof + 1)

    def stamp_of(self, reply: list[Any]) -> Stamp:
        """The stamp that an explicit set was given."""
        return Stamp(int(text(reply[0])), int(text(reply[2])))

    # -- bumps -------------------------------------------------------------------------------

    async def bump(self, tags: Sequence[str], keys: Sequence[str] = ()) -> int:
        await self.invalidate(tags, keys)
        return self.replica.last

    async def invalidate(self, tags: Sequence[str], keys: Sequence[str]) -> list[bytes]:
        """Record an invalidation and put tombstones on the keys; returns their old headers."""
        job = Unsent(tuple(tags), tuple(keys), self.replica.hold(tags, keys))
        try:
            await self.flush()
            heads = await self._send(job)
        except BaseException as error:
            self.replica.unsent.append(job)
            if isinstance(error, BackendError):
                raise InvalidationError(
                    f"the invalidation was not acknowledged and stays queued: {error}",
                    tags=job.tags,
                    keys=job.keys,
                ) from error
            raise
        self.replica.drop(job.marks)
        return heads

    @contextlib.contextmanager
    def held(self, keys: Sequence[str]) -> Iterator[None]:
        """Keys that are being written: dead here until it is acknowledged.

        A write that was not acknowledged is followed by a delete, at the next contact.
        """
        job = Unsent((), tuple(keys), self.replica.hold((), keys))
        try:
            yield
        except ClosedError:
            self.replica.drop(job.marks)
            raise
        except BaseException:
            self.replica.unsent.append(job)
            raise
        self.replica.drop(job.marks)

    async def flush(self) -> None:
        """Send again what was not acknowledged, before anything is read."""
        replica = self.replica
        while replica.unsent:
            job = replica.unsent[0]
            await self._send(job)
            if replica.unsent and replica.unsent[0] is job:
                del replica.unsent[0]
                replica.drop(job.marks)

    async def _send(self, job: Unsent) -> list[bytes]:
        heads: list[bytes] = []
        for at in range(0, max(len(job.tags), len(job.keys), 1), CHUNK):
            tags, keys = job.tags[at : at + CHUNK], job.keys[at : at + CHUNK]
            reply = await self.run(functools.partial(self._bump_command, tags, keys))
            heads += reply[7]
        return heads

    def _bump_command(self, tags: Sequence[str], keys: Sequence[str]) -> Command:
        names = self._names
        parts: list[bytes] = []
        for key in keys:
            parts += (digest(key), _tombstone(key))
        return scripts.BUMP(
            [names.clock, names.keys, *(names.value(key) for key in keys)],
            *self._common(),
            self._tombstone_life,
            len(tags),
            *map(digest, tags),
            *parts,
        )

    def set_command(
        self,
        key: str,
        packed: bytes,
        tags: Iterable[str],
        *,
        expected: bytes,
        life: int,
        dead_at: int,
    ) -> Command:
        """The command that stores a value as current now."""
        names = self._names
        tags = list(tags)
        return scripts.SET(
            [names.clock, names.keys, names.value(key), names.registry, *map(names.index, tags)],
            *self._common(),
            expected,
            life,
            dead_at,
            key,
            digest(key),
            packed,
            *tags,
        )

    def offer_command(
        self, key: str, packed: bytes, tags: Sequence[str], lease: Stamp, *, life: int, dead_at: int
    ) -> Command:
        """The command that stores a value unless something happened to it since the lease."""
        names = self._names
        common = list(self._common())
        common[_CHANNEL] = ""
        return scripts.OFFER(
            [names.clock, names.keys, names.value(key), names.registry, *map(names.index, tags)],
            *common,
            *lease,
            life,
            dead_at,
            key,
            digest(key),
            packed,
            _tombstone(key),
            self._tombstone_life,
            *map(digest, tags),
            *tags,
        )

    def _common(self) -> tuple[str | int, ...]:
        replica = self.replica
        return (
            RUN_ID,
            replica.epoch,
            replica.last,
            self._names.channel,
            MAX_SERVER_TAGS,
            MAX_SERVER_KEYS,
            self._load_us * 2,
            int(KEY_MEMORY * 1_000_000),
        )

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
        if not self.replica.epoch:
            await self.resync()
        for _ in range(_ATTEMPTS):
            left = [at for at in range(len(makes)) if at not in done]
            answer = await self.port.send([makes[at]() for at in left], retry=retry)
            for at, reply in zip(left, checked(answer, self.port.backend), strict=True):
                word = text(reply[0])
                if word == "CHANGED" or (
                    word != "RESYNC" and self.replica.merge(read_bump(reply), answer.sent_at)
                ):
                    done[at] = reply
            if len(done) == len(makes):
                return [done[at] for at in range(len(makes))]
            await self.resync()
        raise BackendUnavailable(
            f"{self.port.backend} lost its clock again and again; is it being flushed?",
            backend=self.port.backend,
        )

    async def restart(self) -> None:
        await self.resync(restart=True)


def _tombstone(key: str) -> bytes:
    grave = envelope.Envelope(0, 0, flags=int(envelope.Flag.TOMBSTONE))
    return envelope.build(key, grave)
