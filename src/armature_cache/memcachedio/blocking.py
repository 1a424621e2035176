"""The blocking adapter: sockets, shared by all threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from armature_cache import _forking
from armature_cache._runtime.streams import BlockingStream, Places, now
from armature_cache.errors import BackendError, BackendTimeout
from armature_cache.memcachedio.port import Outcome, ServersPort
from armature_cache.memcachedio.wire import Command, Decoder, Reply, WireError

if TYPE_CHECKING:
    from armature_cache.memcachedio.server import Server

_WINDOW: Final = 16 * 1024
"""Bytes of commands that are sent before their answers are read."""


class BlockingPort(ServersPort):
    """Sends pipelines over blocking sockets, `max_connections` to each server at the most."""

    def __init__(
        self,
        servers: Sequence[Server],
        *,
        connect_timeout: float,
        operation_timeout: float,
        limit: int,
        max_connections: int,
    ) -> None:
        super().__init__(
            servers,
            connect_timeout=connect_timeout,
            operation_timeout=operation_timeout,
            limit=limit,
        )
        self._pools = [_Pool(max_connections) for _ in servers]

    async def send(self, commands: Sequence[Command], *, retry: bool = True) -> list[Outcome]:
        return self.send_now(commands, retry=retry)

    def send_now(self, commands: Sequence[Command], *, retry: bool = True) -> list[Outcome]:
        """`send`, without a coroutine: all servers are sent to before one is waited for."""
        work = self._sort(commands)
        deadline = now() + self._operation_timeout
        talks: dict[int, _Talk | Exception] = {}
        try:
            for node in work.places:
                talks[node] = self._talk(node, work.of(node), deadline)
            for node in work.places:
                talk = talks.pop(node)
                work.note(node, self._outcome(node, talk, work.of(node), deadline, retry=retry))
        finally:
            for node, talk in talks.items():
                if isinstance(talk, _Talk):
                    self._pools[node].drop(talk.line)
        return work.outcomes()

    def _talk(self, node: int, commands: list[Command], deadline: float) -> _Talk | Exception:
        server = self.servers[node]
        if self._is_spared(server):
            return server.refusal()
        try:
            line = self._connected(node, deadline)
        except (OSError, WireError, BackendError) as error:
            return error
        return self._begun(node, line, commands, deadline)

    def _begun(self, node: int, line: _Line, commands: list[Command], deadline: float) -> _Talk:
        try:
            return _Talk(line, commands, self._limit, deadline)
        except BaseException:
            self._pools[node].drop(line)
            raise

    def _outcome(
        self,
        node: int,
        talk: _Talk | Exception,
        commands: list[Command],
        deadline: float,
        *,
        retry: bool,
    ) -> list[Reply] | BackendError:
        server = self.servers[node]
        try:
            try:
                return self._finish(node, talk)
            except ConnectionError:
                if not retry or not isinstance(talk, _Talk) or not talk.line.used:
                    raise
                line = self._connected(node, deadline, fresh=True)
                return self._finish(node, self._begun(node, line, commands, deadline))
        except BackendError as error:
            return error
        except (OSError, WireError) as error:
            server.failed()
            return server.translate(error)

    def _finish(self, node: int, talk: _Talk | Exception) -> list[Reply]:
        """The rest of an exchange; its connection goes back, or is closed."""
        if isinstance(talk, Exception):
            raise talk
        pool, line = self._pools[node], talk.line
        try:
            replies = talk.finish(self._operation_timeout)
        except BaseException:
            pool.drop(line)
            raise
        self.servers[node].answered()
        line.used = True
        pool.give_back(line, stale=self.closed or line.age != self.servers[node].age)
        return replies

    def _connected(self, node: int, deadline: float, *, fresh: bool = False) -> _Line:
        server, pool = self.servers[node], self._pools[node]
        if not pool.places.take(deadline - now()):
            raise BackendTimeout(
                f"all connections to {server.shown} were in use; raise max_connections",
                backend=server.shown,
            )
        line = None if fresh else pool.take(server.age)
        if line is not None:
            return line
        try:
            return self._opened(server)
        except BaseException:
            pool.places.leave()
            raise

    def _opened(self, server: Server) -> _Line:
        deadline = now() + self._connect_timeout
        stream = BlockingStream.connect(server.endpoint, self._connect_timeout)
        try:
            run = server.greeted(self._said(stream, server.greeting(), deadline))
            if not run:
                run = server.greeted(self._said(stream, server.introduction(), deadline))
            return _Line(stream, run, server.meet(run))
        except BaseException:
            stream.close()
            raise

    def _said(
        self, stream: BlockingStream, commands: Sequence[Command], deadline: float
    ) -> list[Reply]:
        window = _Window(Decoder(commands, limit=self._limit), patient=False)
        _send(stream, window, deadline)
        return _received(stream, window, deadline, 0.0)

    async def aclose(self) -> None:
        self.close_now()

    def close_now(self) -> None:
        """`aclose`, without a coroutine."""
        self.closed = True
        for pool in self._pools:
            pool.close()


class _Line:
    """A connection, the run of the server that it leads to, and whether it was used before."""

    __slots__ = ("age", "run", "stream", "used")

    def __init__(self, stream: BlockingStream, run: bytes, age: int) -> None:
        self.stream = stream
        self.run = run
        self.age = age
        self.used = False


class _Pool:
    """The connections to one server."""

    def __init__(self, most: int) -> None:
        self.places = Places(most)
        self._idle: list[_Line] = []
        self._lock = threading.Lock()
        _forking.register(self)

    def fork_locks(self) -> tuple[_forking.Lock, ...]:
        """What may not be held while the process forks."""
        return (self._lock,)

    def after_fork(self) -> None:
        """A child has connections of its own; its parent's stay the parent's."""
        self._idle = []
        self.places.reset()

    def take(self, age: int) -> _Line | None:
        """An idle connection that can be used."""
        while True:
            with self._lock:
                if not self._idle:
                    return None
                line = self._idle.pop()
            if line.age == age and not line.stream.broken:
                return line
            line.stream.close()

    def give_back(self, line: _Line, *, stale: bool) -> None:
        """Keep a connection for others."""
        if stale:
            self.drop(line)
            return
        with self._lock:
            self._idle.append(line)
        self.places.leave()

    def drop(self, line: _Line) -> None:
        """Close a connection."""
        line.stream.close()
        self.places.leave()

    def close(self) -> None:
        """Close what is idle."""
        with self._lock:
            idle, self._idle = self._idle, []
        for line in idle:
            line.stream.close()


class _Window(NamedTuple):
    decoder: Decoder
    patient: bool


class _Talk:
    """Commands to one server, of which the first ones have been sent."""

    def __init__(
        self, line: _Line, commands: Sequence[Command], limit: int, deadline: float
    ) -> None:
        self.line = line
        self._deadline = deadline
        self._windows = _windows(commands, limit, line.run)
        self._current = next(self._windows)
        self._failure: OSError | None = None
        try:
            _send(line.stream, self._current, deadline)
        except OSError as error:
            self._failure = error

    def finish(self, patience: float) -> list[Reply]:
        """The answers to all commands."""
        if self._failure is not None:
            raise self._failure
        stream, deadline = self.line.stream, self._deadline
        replies = _received(stream, self._current, deadline, patience)
        for window in self._windows:
            _send(stream, window, deadline)
            replies += _received(stream, window, deadline, patience)
        return replies


def _windows(commands: Sequence[Command], limit: int, run: bytes) -> Iterator[_Window]:
    """Commands in portions that are sent at once."""
    part: list[Command] = []
    size = 0
    for command in commands:
        if part and size + len(command.data) > _WINDOW:
            yield _window(part, limit, run)
            part, size = [], 0
        part.append(command)
        size += len(command.data)
    yield _window(part, limit, run)


def _window(commands: Sequence[Command], limit: int, run: bytes) -> _Window:
    patient = any(command.keep is not None for command in commands)
    return _Window(Decoder(commands, limit=limit, run=run), patient)


def _send(stream: BlockingStream, window: _Window, deadline: float) -> None:
    if window.decoder.data:
        stream.send(window.decoder.data, deadline)


def _received(
    stream: BlockingStream, window: _Window, deadline: float, patience: float
) -> list[Reply]:
    """The answers; where they are lists, whatever comes starts the time anew."""
    while not window.decoder.complete:
        window.decoder.feed(stream.receive(deadline))
        if window.patient:
            deadline = now() + patience
    return window.decoder.replies()
