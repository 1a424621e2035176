"""The async adapter: connections of their own for each event loop."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from armature_cache import _forking
from armature_cache._runtime.aio import ASYNC, Loop, LoopEnd, deadline, extend, running_loop
from armature_cache._runtime.gathering import Gatherer
from armature_cache._runtime.streams import AsyncStream
from armature_cache.errors import BackendError
from armature_cache.memcachedio.port import Outcome, ServersPort
from armature_cache.memcachedio.wire import Command, Decoder, Reply, WireError

if TYPE_CHECKING:
    from armature_cache.memcachedio.server import Server

Batch = Sequence[Command]


class AsyncPort(ServersPort):
    """Sends pipelines over connections of the running event loop.

    What many tasks have for one server at the same time is sent as one pipeline, so that a few
    connections do for any number of tasks.
    """

    def __init__(
        self,
        servers: Sequence[Server],
        *,
        connect_timeout: float,
        operation_timeout: float,
        limit: int,
    ) -> None:
        super().__init__(
            servers,
            connect_timeout=connect_timeout,
            operation_timeout=operation_timeout,
            limit=limit,
        )
        self._loops: weakref.WeakKeyDictionary[Loop, _Loop] = weakref.WeakKeyDictionary()
        self._inherited: list[object] = []
        _forking.register(self)

    def fork_locks(self) -> tuple[()]:
        """Nothing here is locked."""
        return ()

    def after_fork(self) -> None:
        """A child has connections of its own; its parent's stay open for the parent."""
        self._inherited.append(self._loops)
        self._loops = weakref.WeakKeyDictionary()

    async def send(self, commands: Batch, *, retry: bool = True) -> list[Outcome]:
        work = self._sort(commands)
        nodes = list(work.places)
        asked = [self._ask(node, work.of(node), retry=retry) for node in nodes]
        for node, outcome in zip(nodes, await ASYNC.gather(asked), strict=True):
            if isinstance(outcome, Exception) and not isinstance(outcome, BackendError):
                raise outcome
            work.note(node, outcome)
        return work.outcomes()

    async def _ask(self, node: int, batch: Batch, *, retry: bool) -> list[Reply]:
        server = self.servers[node]
        if self._is_spared(server):
            raise server.refusal()
        lines = self._of_loop().lines[node]
        return await (lines.again if retry else lines.once).ask(batch)

    def _of_loop(self) -> _Loop:
        loop = running_loop()
        found = self._loops.get(loop)
        if found is None:
            lines = [_Lines(self, server) for server in self.servers]
            end = LoopEnd(partial(self._leave, loop, lines))
            found = self._loops[loop] = _Loop(lines, end)
        return found

    async def _leave(self, loop: Loop, lines: Sequence[_Lines]) -> None:
        """Close the connections of a loop that ends; without this its entry, too, would stay."""
        self._loops.pop(loop, None)
        for each in lines:
            each.close()

    async def exchange(
        self, lines: _Lines, batches: Sequence[Batch], *, retry: bool
    ) -> list[list[Reply]]:
        """Send several pipelines as one, and give each its own answers."""
        server = lines.server
        commands = [command for batch in batches for command in batch]
        try:
            replies = iter(await self._tried(lines, commands, retry=retry))
        except BackendError:
            server.failed()
            raise
        except (OSError, WireError) as error:
            server.failed()
            raise server.translate(error) from error
        server.answered()
        return [list(itertools.islice(replies, len(batch))) for batch in batches]

    async def _tried(self, lines: _Lines, commands: Batch, *, retry: bool) -> list[Reply]:
        line = lines.take()
        if line is not None:
            try:
                return await self._talk(lines, line, commands)
            except ConnectionError:
                if not retry:
                    raise
        return await self._talk(lines, await self._opened(lines.server), commands)

    async def _talk(self, lines: _Lines, line: _Line, commands: Batch) -> list[Reply]:
        decoder = Decoder(commands, limit=self._limit, run=line.run)
        try:
            async with deadline(self._operation_timeout) as limit:
                feed: Callable[[bytes], bool] = decoder.feed
                if any(command.keep is not None for command in commands):
                    # Whatever comes of a list starts the time anew.
                    def feed(data: bytes) -> bool:
                        extend(limit, self._operation_timeout)
                        return decoder.feed(data)

                if decoder.data:
                    await line.stream.exchange(decoder.data, feed)
        except BaseException:
            line.stream.close()
            raise
        lines.give_back(line, stale=self.closed)
        return decoder.replies()

    async def _opened(self, server: Server) -> _Line:
        async with deadline(self._connect_timeout):
            stream = await AsyncStream.connect(server.endpoint)
            try:
                run = server.greeted(await self._said(stream, server.greeting()))
                if not run:
                    run = server.greeted(await self._said(stream, server.introduction()))
            except BaseException:
                stream.close()
                raise
            return _Line(stream, run, server.meet(run))

    async def _said(self, stream: AsyncStream, commands: Batch) -> list[Reply]:
        decoder = Decoder(commands, limit=self._limit)
        await stream.exchange(decoder.data, decoder.feed)
        return decoder.replies()

    async def aclose(self) -> None:
        self.closed = True
        here = self._loops.pop(running_loop(), None)
        self._loops = weakref.WeakKeyDictionary()
        if here is not None:
            await here.end.now()


class _Line(NamedTuple):
    """A connection, and the run of the server that it leads to."""

    stream: AsyncStream
    run: bytes
    age: int


class _Loop(NamedTuple):
    """What one event loop has to all servers, and what closes it with the loop."""

    lines: Sequence[_Lines]
    end: LoopEnd


class _Lines:
    """The connections of one event loop to one server, and the pipelines that wait for them."""

    def __init__(self, port: AsyncPort, server: Server) -> None:
        self.server = server
        self._idle: list[_Line] = []
        self.again = self._gatherer(port, retry=True)
        self.once = self._gatherer(port, retry=False)

    def _gatherer(self, port: AsyncPort, *, retry: bool) -> Gatherer[Batch, list[Reply]]:
        exchange = port.exchange

        def do(batches: Sequence[Batch]) -> Awaitable[Sequence[list[Reply]]]:
            return exchange(self, batches, retry=retry)

        return Gatherer(do)

    def take(self) -> _Line | None:
        """An idle connection that can be used."""
        while self._idle:
            line = self._idle.pop()
            if line.age == self.server.age and not line.stream.broken:
                return line
            line.stream.close()
        return None

    def give_back(self, line: _Line, *, stale: bool) -> None:
        """Keep a connection for others."""
        if stale or line.age != self.server.age:
            line.stream.close()
        else:
            self._idle.append(line)

    def close(self) -> None:
        """Close what is idle."""
        idle, self._idle = self._idle, []
        for line in idle:
            line.stream.close()
