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
    Answer,
    Command,
    demoted,
    lacking,
    placed,
    run_id_of,
    translate,
    whole,
)

if TYPE_CHECKING:
    from armature_cache._time import TimeSource

_RUN_ID = "_armature_run_id"


class BlockingPort:
    """Sends pipelines with redis-py's blocking connections."""

    def __init__(
        self,
        make_pool: Callable[[], redis.ConnectionPool],
        *,
        backend: str,
        operation_timeout: float,
        time: TimeSource,
        owned: bool = True,
    ) -> None:
        self.backend = backend
        self._make_pool = make_pool
        self._operation_timeout = operation_timeout
        self._time = time
        self._owned = owned
        self._made: redis.ConnectionPool | None = None
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
        if self.closed:
            raise ClosedError(f"the cache over {self.backend} was closed")
        if self._made is None:
            self._made = self._make_pool()
        return self._made

    async def send(self, commands: Sequence[Command], *, retry: bool = True) -> Answer:
        return self.send_now(commands, retry=retry)

    def send_now(self, commands: Sequence[Command], *, retry: bool = True) -> Answer:
        """`send`, without a coroutine."""
        pool = self.pool()
        try:
            try:
                answer = self._exchange(pool, commands)
            except RedisConnectionError as error:
                if not retry or type(error) is not RedisConnectionError:
                    raise
                answer = self._exchange(pool, commands)
            if demoted(answer.replies):
                self._hang_up(pool)
                answer = self._exchange(pool, commands) if retry else answer
        except (RedisError, OSError) as error:
            raise translate(error, self.backend) from error
        return answer

    def _hang_up(self, pool: redis.ConnectionPool) -> None:
        """Connect anew from now on: the address may lead to another server."""
        if self._owned:
            pool.disconnect(inuse_connections=False)

    def _exchange(self, pool: Any, commands: Sequence[Command]) -> Answer:
        connection = pool.get_connection()
        try:
            deadline = self._time() + self._operation_timeout
            run_id = self._run_id(connection, deadline)
            commands = placed(commands, run_id)
            sent_at = self._time()
            replies = self._talk(connection, commands, deadline)
            missing = lacking(commands, replies)
            if missing:
                again = [whole(commands[at]) for at in missing]
                for at, reply in zip(missing, self._talk(connection, again, deadline), strict=True):
                    replies[at] = reply
            if demoted(replies):
                connection.disconnect()
            return Answer(replies, run_id, sent_at, self._time(), frozenset((run_id,)))
        except BaseException:
            connection.disconnect()
            raise
        finally:
            pool.release(connection)

    def _talk(self, connection: Any, commands: Sequence[Command], deadline: float) -> list[Any]:
        connection.send_packed_command(connection.pack_commands(commands), check_health=False)
        replies: list[Any] = []
        for _ in commands:
            if self._time() >= deadline:
                raise RedisTimeoutError("the operation's time is over")
            try:
                replies.append(connection.read_response(disable_decoding=True))
            except ResponseError as error:
                replies.append(error)
        return replies

    def _run_id(self, connection: Any, deadline: float) -> str:
        known: str | None = getattr(connection, _RUN_ID, None)
        if known is None:
            (info,) = self._talk(connection, [("INFO", "server")], deadline)
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
            made.disconnect()
