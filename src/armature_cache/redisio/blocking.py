"""The blocking adapter: redis-py's connection pool, shared by all threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from armature_cache import _forking
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


class BlockingPort:
    """Sends pipelines with redis-py's blocking connections; `keeps` as in `AsyncPort`."""

    def __init__(
        self,
        make_pool: Callable[[], redis.ConnectionPool],
        *,
        backend: str,
        operation_timeout: float,
        time: TimeSource,
        owned: bool = True,
        keeps: bool = False,
    ) -> None:
        self.backend = backend
        self._keeps = keeps
        self._make_pool = make_pool
        self._operation_timeout = operation_timeout
        self._time = time
        self._owned = owned
        self._made: _Line | None = None
        self.closed = False
        _forking.register(self)

    def fork_locks(self) -> tuple[()]:
        """Nothing here is locked."""
        return ()

    def after_fork(self) -> None:
        """A child has connections of its own; its parent's stay the parent's."""
        if self._owned:
            self._made = None

    def pool(self) -> redis.ConnectionPool:
        """The pool of this process; a forked child gets one of its own."""
        return self._line().pool

    def _line(self) -> _Line:
        line = self._made
        if self.closed:
            raise ClosedError(f"the cache over {self.backend} was closed")
        if line is None:
            line = self._made = _Line(self._make_pool(), keeps=self._keeps)
        return line

    async def send(self, commands: Sequence[Command], *, retry: bool = True) -> Answer:
        return self.send_now(commands, retry=retry)

    def send_now(self, commands: Sequence[Command], *, retry: bool = True) -> Answer:
        """`send`, without a coroutine."""
        line = self._line()
        try:
            try:
                answer = self._exchange(line, commands, proven=not retry)
            except RedisConnectionError as error:
                if not retry or type(error) is not RedisConnectionError:
                    raise
                answer = self._exchange(line, commands, proven=True)
            if demoted(answer.replies):
                self._hang_up(line)
                answer = self._exchange(line, commands, proven=True) if retry else answer
        except (RedisError, OSError) as error:
            raise translate(error, self.backend) from error
        return answer

    def _hang_up(self, line: _Line) -> None:
        """Connect anew from now on: the address may lead to another server."""
        if self._owned:
            line.hang_up()

    def _exchange(self, line: _Line, commands: Sequence[Command], *, proven: bool) -> Answer:
        connection = (None if proven else line.at_hand()) or line.connection()
        intact = False
        try:
            deadline = self._time() + self._operation_timeout
            run_id = self._run_id(connection, deadline)
            commands = placed(commands, run_id)
            sent_at = self._time()
            replies: list[Any] = []
            troubled = False
            for page in paged(commands) if len(commands) > 1 else (commands,):
                if replies:
                    deadline = self._time() + self._operation_timeout
                found, refused = self._page(connection, page, deadline)
                replies += found
                troubled |= refused
            intact = not (troubled and demoted(replies))
            return Answer(replies, run_id, sent_at, self._time(), frozenset((run_id,)))
        finally:
            line.give_back(connection, intact=intact)

    def _page(
        self, connection: Any, commands: Sequence[Command], deadline: float
    ) -> tuple[list[Any], bool]:
        """The replies, also to calls of scripts that the server did not know; any errors?"""
        replies, refused = self._talk(connection, commands, deadline)
        missing = lacking(commands, replies) if refused else ()
        if missing:
            calls = taught([commands[at] for at in missing])
            again, _ = self._talk(connection, calls, deadline)
            for at, reply in zip(missing, again, strict=True):
                replies[at] = reply
        return replies, refused

    def _talk(
        self, connection: Any, commands: Sequence[Command], deadline: float
    ) -> tuple[list[Any], bool]:
        """The replies, and whether there are errors among them."""
        connection.send_packed_command(packed(connection, commands), check_health=False)
        replies: list[Any] = []
        refused = False
        for _ in commands:
            if self._time() >= deadline:
                raise RedisTimeoutError("the operation's time is over")
            try:
                replies.append(connection.read_response(disable_decoding=True))
            except ResponseError as error:
                replies.append(error)
                refused = True
            if not len(replies) % PACE:
                deadline = self._time() + self._operation_timeout
        return replies, refused

    def _run_id(self, connection: Any, deadline: float) -> str:
        known: str | None = getattr(connection, _RUN_ID, None)
        if known is None:
            (info,), _ = self._talk(connection, [("INFO", "server")], deadline)
            if isinstance(info, Exception):
                raise info
            known = run_id_of(info)
            connection.register_connect_callback(self._reconnected)
            setattr(connection, _RUN_ID, known)
        return known

    def _reconnected(self, connection: Any) -> None:
        setattr(connection, _RUN_ID, None)

    async def runs(self) -> frozenset[str]:
        return frozenset()

    def pool_of(self, key: str) -> redis.ConnectionPool:
        """The pool of the server that owns a key."""
        return self.pool()

    async def aclose(self) -> None:
        self.close_now()

    def close_now(self) -> None:
        """`aclose`, without a coroutine."""
        self.closed = True
        made, self._made = self._made, None
        if made is not None and self._owned:
            made.pool.disconnect()


class _Line:
    """The pool of one process, and connections of it at hand, as those of an event loop are."""

    def __init__(self, pool: redis.ConnectionPool, *, keeps: bool) -> None:
        self.pool = pool
        self._keeps = keeps
        self._lock = _forking.leaf_lock()
        self._kept: list[Any] = []
        self._wanted = 0

    def at_hand(self) -> Any:
        """A connection that was used before, if there is one; it may be broken by now."""
        with self._lock:
            return self._kept.pop() if self._kept else None

    def connection(self) -> Any:
        """A connection that was found to work."""
        with self._lock:
            self._wanted += 1
        try:
            self._let_go()
            return self.pool.get_connection()
        finally:
            with self._lock:
                self._wanted -= 1

    def give_back(self, connection: Any, *, intact: bool) -> None:
        """End the use of a connection."""
        if intact and self._keeps:
            with self._lock:
                if not self._wanted:
                    self._kept.append(connection)
                    return
        if not intact:
            connection.disconnect()
        self.pool.release(connection)

    def hang_up(self) -> None:
        """Close what is not in use."""
        self._let_go()
        self.pool.disconnect(inuse_connections=False)

    def _let_go(self) -> None:
        with self._lock:
            kept, self._kept = self._kept, []
        for connection in kept:
            self.pool.release(connection)
