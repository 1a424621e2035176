"""A port that a test can hold up, fail, and count."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from armature_cache import CacheConfig, RedisCache
from armature_cache.clocks import server_replica
from armature_cache.errors import BackendUnavailable
from armature_cache.redisio.port import Answer, Command, Port


def apart(config: CacheConfig, **given: Any) -> RedisCache:
    """A store with a replica of its own, as another process has."""
    replicas = server_replica.replica_of._replicas
    known = dict(replicas)
    replicas.clear()
    try:
        return RedisCache(config, **given)
    finally:
        replicas.clear()
        replicas.update(known)


class Tap:
    """Stands before a store's port. `before` and `after` are awaited around each pipeline."""

    def __init__(self, port: Port) -> None:
        self._port = port
        self.backend = port.backend
        self.namespace = ""
        self.sent = 0
        self.failing = False
        self.before: Callable[[Sequence[Command]], Awaitable[None]] | None = None
        self.after: Callable[[Sequence[Command]], Awaitable[None]] | None = None

    async def send(self, commands: Sequence[Command], *, retry: bool = True) -> Answer:
        if self.failing:
            raise BackendUnavailable("the test cut the line", backend=self.backend)
        if self.before is not None:
            await self.before(commands)
        self.sent += 1
        answer = await self._port.send(commands, retry=retry)
        if self.after is not None:
            await self.after(commands)
        return answer

    @property
    def closed(self) -> bool:
        return self._port.closed

    async def runs(self) -> frozenset[str]:
        return await self._port.runs()

    async def aclose(self) -> None:
        await self._port.aclose()


def tap(store: RedisCache) -> Tap:
    """Put a tap before the port of a store."""
    inside: Any = store
    inside._port = inside.clock.port = inside._writes._port = Tap(inside._port)
    found: Tap = inside._port
    return found


def is_read(commands: Sequence[Command]) -> bool:
    """Whether a pipeline reads a value."""
    return any(command[0] in {"GET", "MGET"} for command in commands)
