"""How a clock on Memcached sends and listens: between two changes of g, and after reading g."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from armature_cache.clocks.memcached_items import TAG_LIFE, anew, bound_in, nonces_in, pack_nonces
from armature_cache.clocks.nonces import ROOT, NonceReplica, Nonces
from armature_cache.clocks.shared import SharedClock
from armature_cache.errors import BackendTimeout, BackendUnavailable
from armature_cache.memcachedio import wire
from armature_cache.memcachedio.names import Names
from armature_cache.memcachedio.port import Outcome, Port, checked
from armature_cache.memcachedio.wire import Command, Reply

if TYPE_CHECKING:
    from armature_cache._runtime.base import Runtime, Shared
    from armature_cache._time import TimeSource
    from armature_cache.clocks.listener import Listener
    from armature_cache.config import CacheConfig

ATTEMPTS: Final = 8


class Bracketed(NamedTuple):
    """What became of commands between two changes of g; `sequence` is that of the second."""

    replies: list[Reply]
    tail: list[Reply]
    sequence: int


class _Change(NamedTuple):
    nonce: bytes
    command: Command


class MemcachedSync(SharedClock):
    """A clock that knows its nonces by reading them from its servers."""

    replica: NonceReplica

    def __init__(
        self,
        replica: NonceReplica,
        port: Port,
        names: Names,
        *,
        config: CacheConfig,
        runtime: Runtime,
        time: TimeSource,
        wall: TimeSource,
        listener: Listener | None = None,
    ) -> None:
        super().__init__(replica, config=config, runtime=runtime, time=time, listener=listener)
        self.replica = replica
        self.port = port
        self._names = names
        self._wall = wall
        self._syncs: dict[int, Shared[None]] = {}
        self.placeholder = max(1, round(config.max_load_time * 1.5))

    # -- sending -----------------------------------------------------------------------------

    async def ask(self, commands: Sequence[Command], *, retry: bool = True) -> list[Reply]:
        """The replies to commands; raises `BackendError`."""
        return checked(await self.port.send(commands, retry=retry), self.port.backend)

    async def staged(self, *stages: Sequence[Command]) -> list[list[Reply]]:
        """The replies to commands of which each stage is sent when the one before is answered.

        One server takes them all in one pipeline, for it does one after the other.
        """
        nodes = {command.node for stage in stages for command in stage}
        if len(nodes) > 1:
            return [await self.ask(stage, retry=False) if stage else [] for stage in stages]
        replies = await self.ask([one for stage in stages for one in stage], retry=False)
        ends = iter(replies)
        return [[next(ends) for _ in stage] for stage in stages]

    async def bracketed(
        self,
        make: Callable[[], Sequence[Command]],
        tail: Sequence[Command] = (),
        *,
        retry: bool = True,
    ) -> Bracketed:
        """Send commands between two changes of g, and others after them.

        They are made anew if a connection is lost and they have to be sent again, for a nonce is
        sent once.
        """
        replica = self.replica
        number, sent_at = replica.ask(), self._time()
        for last_try in (not retry, True):
            first, second, body = self._change(), self._change(), make()
            closing = [second.command, *self.nonce_reads((ROOT,))]
            try:
                opened, replies, closed, after = await self.staged(
                    [first.command], body, closing, tail
                )
                break
            except BackendTimeout:
                raise
            except BackendUnavailable:
                if last_try:
                    raise
        self._stored((opened[0], closed[0]))
        sequence = replica.wrote(number, second.nonce, closed[0].at, sent_at)
        self.take_nonces((ROOT,), closed[1:], sequence)
        return Bracketed(replies, after, sequence)

    async def announced(self, make: Callable[[], Sequence[Command]]) -> list[Reply]:
        """Send commands after a change of g, for what makes nothing invalid that was valid."""
        replica = self.replica
        number, sent_at = replica.ask(), self._time()
        change = self._change()
        opening = [change.command, *self.nonce_reads((ROOT,))]
        opened, replies = await self.staged(opening, make())
        self._stored(opened[:1])
        sequence = replica.wrote(number, change.nonce, opened[0].at, sent_at)
        self.take_nonces((ROOT,), opened[1:], sequence)
        return replies

    def _change(self) -> _Change:
        nonce = secrets.token_bytes(8)
        place = self._names.change
        return _Change(nonce, wire.store(place.node, place.name, nonce))

    def _stored(self, replies: Iterable[Reply]) -> None:
        for reply in replies:
            if reply.code != b"HD":
                raise BackendUnavailable(
                    f"{self.port.backend} did not store what it was told to: "
                    f"{reply.code.decode('ascii', 'replace')}",
                    backend=self.port.backend,
                )

    # -- the sync ----------------------------------------------------------------------------

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

    async def _sync(self) -> None:
        await self._read([])

    async def read(
        self, commands: Sequence[Command], bound: float, *, strong: bool
    ) -> tuple[list[Outcome], int]:
        """What became of reads, and the sequence at which they were made.

        g is read before them where that is due; on the same server in the same pipeline.
        """
        if self.replica.in_debt:
            await self.flush()
        if not strong and self.trusted(bound):
            sequence = self.replica.last
            return await self.port.send(commands), sequence
        self._demand()
        return await self._read(commands)

    async def read_before(self, commands: Sequence[Command]) -> tuple[list[Reply], int]:
        """The replies to reads, and the sequence at which g was read after them."""
        if not self._is_home(commands):
            replies = await self.ask(commands)
            _, sequence = await self._read([])
            return replies, sequence
        number, sent_at, poll = self.replica.ask(), self._time(), self._poll()
        replies = await self.ask([*commands, *poll])
        heard = await self._heard(number, sent_at, replies[len(commands) :])
        if heard is None:
            _, heard = await self._read([])
        return replies[: len(commands)], heard

    async def _read(self, commands: Sequence[Command]) -> tuple[list[Outcome], int]:
        together = self._is_home(commands)
        for _ in range(ATTEMPTS):
            number, sent_at, poll = self.replica.ask(), self._time(), self._poll()
            outcomes = await self.port.send([*poll, *commands] if together else poll)
            polled = checked(outcomes[: len(poll)], self.port.backend)
            sequence = await self._heard(number, sent_at, polled)
            if sequence is not None:
                if together:
                    return outcomes[len(poll) :], sequence
                return await self.port.send(commands), sequence
        raise self._lost()

    def _is_home(self, commands: Sequence[Command]) -> bool:
        """Whether all go to the server of the clock."""
        home = self._names.home
        return all(command.node == home for command in commands)

    async def _heard(self, number: int, sent_at: float, polled: Sequence[Reply]) -> int | None:
        """Take in a poll; None if something was missing, which is there now."""
        change, root, bound = polled
        mending = self._mending(change, root, bound)
        if mending:
            await self.ask(mending, retry=False)
            return None
        replica = self.replica
        sequence = replica.hear(number, change.value, change.at, sent_at)
        replica.learn_nonces(ROOT, self._nonces_in(root), sequence)
        replica.note_bound(bound_in(bound))
        return sequence

    def _poll(self) -> list[Command]:
        names = self._names
        places = (names.change, names.tag(ROOT), names.bound)
        return [wire.fetch(place.node, place.name) for place in places]

    def _mending(self, change: Reply, root: Reply, bound: Reply) -> list[Command]:
        """What has to be stored before anything can be trusted: lost items, and longer bounds."""
        names, replica = self._names, self.replica
        commands = []
        if change.code != b"VA" or not change.value:
            commands.append(anew(names.change, secrets.token_bytes(8), change))
        if self._nonces_in(root) is None:
            commands.append(anew(names.tag(ROOT), pack_nonces(), root))
        if bound_in(bound) < replica.largest_bound:
            commands.append(anew(names.bound, b"%d" % replica.largest_bound, bound))
        return commands

    def _nonces_in(self, reply: Reply) -> Nonces | None:
        return nonces_in(reply, self._time() - self._wall())

    def _lost(self) -> BackendUnavailable:
        return BackendUnavailable(
            f"{self.port.backend} lost the nonces again and again; is it being flushed, or out of "
            "memory?",
            backend=self.port.backend,
        )

    async def settle(self) -> None:
        place = self._names.bound
        (reply,) = await self.ask([wire.fetch(place.node, place.name)])
        self.replica.note_bound(bound_in(reply))
        await super().settle()

    # -- nonces as they are read -------------------------------------------------------------

    def nonce_reads(self, tags: Iterable[str]) -> list[Command]:
        """The commands that read the nonces of tags."""
        return [self._nonce_read(tag) for tag in tags]

    def _nonce_read(self, tag: str) -> Command:
        place = self._names.tag(tag)
        return wire.fetch(place.node, place.name, touch=TAG_LIFE if tag else -1)

    def take_nonces(
        self, tags: Sequence[str], replies: Sequence[Reply], sequence: int
    ) -> dict[str, Nonces | None]:
        """Take in what was read of the nonces of tags."""
        found: dict[str, Nonces | None] = {}
        for tag, reply in zip(tags, replies, strict=True):
            found[tag] = self._nonces_in(reply)
            self.replica.learn_nonces(tag, found[tag], sequence)
        return found
