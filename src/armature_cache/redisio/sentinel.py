"""Pools that ask the sentinels for the primary whenever they connect.

Those of redis-py fail where all connections are in use, and leave those to the sentinels open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import redis
import redis.asyncio
import redis.asyncio.sentinel
import redis.sentinel
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from armature_cache.redisio.tls import sentinel_options_of

if TYPE_CHECKING:
    from armature_cache.config import CacheConfig


class BlockingSentinelPool(redis.sentinel.SentinelConnectionPool, redis.BlockingConnectionPool):
    """Lets threads wait for a connection, and closes those to the sentinels with its own."""

    def disconnect(self, inuse_connections: bool = True) -> None:  # noqa: FBT001, FBT002 - redis-py's
        if inuse_connections:
            super().disconnect()
            for sentinel in self.sentinel_manager.sentinels:
                sentinel.close()
            return
        for connection in list(self.pool.queue):
            if connection is not None:
                connection.disconnect()


class AsyncSentinelPool(
    redis.asyncio.sentinel.SentinelConnectionPool, redis.asyncio.BlockingConnectionPool
):
    """Lets tasks wait for a connection, and closes those to the sentinels with its own."""

    async def disconnect(self, inuse_connections: bool = True) -> None:  # noqa: FBT001, FBT002 - redis-py's
        await super().disconnect(inuse_connections)
        if inuse_connections:
            for sentinel in self.sentinel_manager.sentinels:
                await sentinel.connection_pool.disconnect()


def async_pool(config: CacheConfig, settings: dict[str, Any]) -> AsyncSentinelPool:
    """A pool for one event loop; `settings` are those of its connections."""
    address = config.address
    library: Any = redis.asyncio.sentinel
    kwargs = {**_sentinels(config), "retry": AsyncRetry(NoBackoff(), 0)}
    manager = library.Sentinel(address.hosts, sentinel_kwargs=kwargs)
    make: Any = AsyncSentinelPool
    pool: AsyncSentinelPool = make(address.service, manager, ssl=address.tls, **settings)
    return pool


def blocking_pool(config: CacheConfig, settings: dict[str, Any]) -> BlockingSentinelPool:
    """A pool for threads; `settings` are those of its connections."""
    address = config.address
    library: Any = redis.sentinel
    kwargs = {**_sentinels(config), "retry": Retry(NoBackoff(), 0)}
    manager = library.Sentinel(address.hosts, sentinel_kwargs=kwargs)
    make: Any = BlockingSentinelPool
    pool: BlockingSentinelPool = make(address.service, manager, ssl=address.tls, **settings)
    return pool


def _sentinels(config: CacheConfig) -> dict[str, Any]:
    """A sentinel that does not answer is not asked again: the next one is."""
    return {
        **sentinel_options_of(config.address),
        "socket_connect_timeout": config.connect_timeout,
        "socket_timeout": config.operation_timeout,
    }
