"""The async adapter: redis-py's asyncio pools, one for each event loop."""

from __future__ import annotations

import contextlib
import itertools
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import redis.asyncio as redis_aio
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError

from armature_cache import _forking
from armature_cache._runtime.aio import Limit, Loop, LoopEnd, deadline, extend, running_loop
from armature_cache._runtime.gathering import Gatherer
from armature_cache.errors import ClosedError
from armature_cache.redisio.port import (
    PACE,
    Answer,
    Command,
    demoted,
    lacking,
    packed,
    paged,
    placed,
    run_id_of,
    taught,
    translate,
)

if TYPE_CHECKING:
    from armature_cache._time import TimeSource

_RUN_ID = "_armature_run_id"


class AsyncPort:
    """Sends pipelines with redis-py's asyncio connections.

    `make_pool` makes the pool of one event loop; an injected client's pool is the same for all.
    Pipelines of many tasks that wait for the server at the same time are sent as one; with
    `merges` single reads among them become one command, for which their keys need not share a
    slot. With `keeps` connections are taken from the pool once and kept at hand: a pool that
    follows a name to other servers wants them back each time.
    """

    def __init__(
        self,
        make_pool: Callable[[], redis_aio.ConnectionPool],
        *,
        backend: str,
        connect_timeout: float,
        operation_timeout: float,
        time: TimeSource,
        owned: bool = True,
        merges: bool = True,
        keeps: bool = False,
    ) -> None:
        self.backend = backend
        self._keeps = keeps
        self._merges = merges
        self._make_pool = make_pool
        self._connect_timeout = connect_timeout
        self._operation_timeout = operation_timeout
        self._time = time
        self._owned = owned
        self._lines: weakref.WeakKeyDictionary[Loop, _Line] = weakref.WeakKeyDictionary()
        self._inherited: list[object] = []
        self.closed = False
        _forking.register(self)

    def fork_locks(self) -> tuple[()]:
        """Nothing here is locked."""
        return ()

    def after_fork(self) -> None:
        """A child has connections of its own; its parent's stay open for the parent."""
        self._inherited.append(self._lines)
        self._lines = weakref.WeakKeyDictionary()

    def _line(self) -> _Line:
        if self.closed:
            raise ClosedError(f"the cache over {self.backend} was closed")
        loop = running_loop()
        line = self._lines.get(loop)
        if line is None:
            line = self._lines[loop] = _Line(self, self._make_pool(), keeps=self._keeps)
            if self._owned:
                line.end = LoopEnd(partial(self._leave, loop, line.pool))
        return line

    async def _leave(self, loop: Loop, pool: Any) -> None:
        """Close the connections of a loop that ends; without this its entry, too, would stay."""
        self._lines.pop(loop, None)
        with contextlib.suppress(RedisError, OSError):
            await pool.disconnect()

    def send(
        self, commands: Sequence[Command], *, retry: bool = True
    ) -> Coroutine[Any, Any, Answer]:
        line = self._line()
        return (line.again if retry else line.once).ask(commands)

    async def exchange(
        self, line: _Line, pipelines: Sequence[Sequence[Command]], *, retry: bool
    ) -> list[Answer]:
        """Send several pipelines as one, and give each its own answer."""
        merged = self._merges and len(pipelines) > 1 and all(map(_is_read, pipelines))
        commands = (
            [("MGET", *(pipeline[0][1] for pipeline in pipelines))]
            if merged
            else [command for pipeline in pipelines for command in pipeline]
        )
        try:
            try:
                answer = await self._exchange(line, commands, proven=not retry)
            except RedisConnectionError as error:
                if not retry or not _lost(error):
                    raise
                answer = await self._exchange(line, commands, proven=True)
            if demoted(answer.replies):
                await self._hang_up(line)
                answer = await self._exchange(line, commands, proven=True) if retry else answer
        except (RedisError, OSError) as error:
            raise translate(error, self.backend) from error
        if len(pipelines) == 1:
            return [answer]
        replies = iter(_found(answer.replies[0], len(pipelines)) if merged else answer.replies)
        return [
            answer._replace(replies=list(itertools.islice(replies, len(pipeline))))
            for pipeline in pipelines
        ]

    async def _exchange(self, line: _Line, commands: Sequence[Command], *, proven: bool) -> Answer:
        connection = None if proven else line.at_hand()
        async with deadline(
            self._connect_timeout if connection is None else self._operation_timeout
        ) as limit:
            if connection is None:
                connection = await line.connection()
                extend(limit, self._operation_timeout)
            try:
                return await self._converse(connection, commands, limit)
            except BaseException:
                await connection.disconnect(nowait=True)
                raise
            finally:
                await line.give_back(connection)

    async def _hang_up(self, line: _Line) -> None:
        """Connect anew from now on: the address may lead to another server."""
        if self._owned:
            await line.hang_up()

    async def _converse(self, connection: Any, commands: Sequence[Command], limit: Limit) -> Answer:
        run_id = getattr(connection, _RUN_ID, None) or await self._run_id(connection, limit)
        commands = placed(commands, run_id)
        sent_at = self._time()
        replies: list[Any] = []
        troubled = False
        for page in paged(commands) if len(commands) > 1 else (commands,):
            if replies:
                extend(limit, self._operation_timeout)
            found, refused = await self._page(connection, page, limit)
            replies += found
            troubled |= refused
        if troubled and demoted(replies):
            await connection.disconnect(nowait=True)
        return Answer(replies, run_id, sent_at, self._time(), frozenset((run_id,)))

    async def _page(
        self, connection: Any, commands: Sequence[Command], limit: Limit
    ) -> tuple[list[Any], bool]:
        """The replies, also to calls of scripts that the server did not know; any errors?"""
        replies, refused = await self._talk(connection, commands, limit)
        missing = lacking(commands, replies) if refused else ()
        if missing:
            calls = taught([commands[at] for at in missing])
            again, _ = await self._talk(connection, calls, limit)
            for at, reply in zip(missing, again, strict=True):
                replies[at] = reply
        return replies, refused

    async def _talk(
        self, connection: Any, commands: Sequence[Command], limit: Limit
    ) -> tuple[list[Any], bool]:
        """The replies, and whether there are errors among them."""
        await connection.send_packed_command(packed(connection, commands), check_health=False)
        replies: list[Any] = []
        refused = False
        for _ in commands:
            try:
                replies.append(await connection.read_response(disable_decoding=True))
            except ResponseError as error:
                replies.append(error)
                refused = True
            if not len(replies) % PACE:
                extend(limit, self._operation_timeout)
        return replies, refused

    async def _run_id(self, connection: Any, limit: Limit) -> str:
        (info,), _ = await self._talk(connection, [("INFO", "server")], limit)
        if isinstance(info, Exception):
            raise info
        known = run_id_of(info)
        connection.register_connect_callback(self._reconnected)
        setattr(connection, _RUN_ID, known)
        return known

    async def _reconnected(self, connection: Any) -> None:
        setattr(connection, _RUN_ID, None)

    async def runs(self) -> frozenset[str]:
        return frozenset()

    async def aclose(self) -> None:
        self.closed = True
        line = self._lines.pop(running_loop(), None)
        self._lines = weakref.WeakKeyDictionary()
        if line is not None and line.end is not None:
            await line.end.now()


class _Line:
    """The pool of one event loop, and the pipelines that wait for a connection of it.

    With `keeps` a connection that was used stays out of the pool until somebody waits for one: to
    take it from there costs a fifth of a read. Whether it lives shows when it is used.
    """

    def __init__(self, port: AsyncPort, pool: Any, *, keeps: bool) -> None:
        self.pool = pool
        self._keeps = keeps
        self._kept: list[Any] = []
        self._wanted = 0
        self.end: LoopEnd | None = None
        self.again = self._gatherer(port, retry=True)
        self.once = self._gatherer(port, retry=False)

    def _gatherer(self, port: AsyncPort, *, retry: bool) -> Gatherer[Sequence[Command], Answer]:
        def do(pipelines: Sequence[Sequence[Command]]) -> Awaitable[Sequence[Answer]]:
            return port.exchange(self, pipelines, retry=retry)

        return Gatherer(do)

    def at_hand(self) -> Any:
        """A connection that was used before, if there is one; it may be broken by now."""
        return self._kept.pop() if self._kept else None

    async def connection(self) -> Any:
        """A connection that was found to work."""
        if self._kept:
            connection = self._kept.pop()
            try:
                await self.pool.ensure_connection(connection)
            except BaseException:
                await self.pool.release(connection)
                raise
            return connection
        self._wanted += 1
        try:
            return await self.pool.get_connection()
        finally:
            self._wanted -= 1

    async def give_back(self, connection: Any) -> None:
        """End the use of a connection."""
        if self._keeps and not self._wanted and connection.is_connected:
            self._kept.append(connection)
        else:
            await self.pool.release(connection)

    async def hang_up(self) -> None:
        """Close what is not in use."""
        kept, self._kept = self._kept, []
        for connection in kept:
            await connection.disconnect(nowait=True)
            await self.pool.release(connection)
        await self.pool.disconnect(inuse_connections=False)


def _is_read(pipeline: Sequence[Command]) -> bool:
    return len(pipeline) == 1 and pipeline[0][0] == "GET"


def _found(reply: Any, count: int) -> list[Any]:
    """The reply of each read; all the same error where they failed together."""
    return [reply] * count if isinstance(reply, Exception) else reply


def _lost(error: RedisConnectionError) -> bool:
    return type(error) is RedisConnectionError
