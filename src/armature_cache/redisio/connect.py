"""Ports from a configuration or from a client that the user made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import redis
import redis.asyncio as redis_aio

from armature_cache.config import mask_url
from armature_cache.errors import ConfigError
from armature_cache.redisio.aio import AsyncPort
from armature_cache.redisio.blocking import BlockingPort

if TYPE_CHECKING:
    from armature_cache._time import TimeSource
    from armature_cache.config import CacheConfig

_CARRIED: Final = (
    "host", "port", "path", "db", "username", "password", "credential_provider", "client_name",
    "socket_keepalive", "socket_keepalive_options", "socket_timeout", "socket_connect_timeout",
)  # fmt: skip


def server_url(url: str) -> str:
    """The URL in the spelling of redis-py."""
    for ours, theirs in (("valkeys://", "rediss://"), ("valkey://", "redis://")):
        if url.startswith(ours):
            return theirs + url[len(ours) :]
    return url


def _settings(config: CacheConfig) -> dict[str, Any]:
    return {
        "max_connections": config.max_connections,
        "timeout": config.connect_timeout,
        "socket_connect_timeout": config.connect_timeout,
        "socket_timeout": config.operation_timeout,
        "protocol": 2,
        "decode_responses": False,
    }


def async_port(config: CacheConfig, time: TimeSource) -> AsyncPort:
    """A port for event loops."""
    url, settings = server_url(config.url), _settings(config)

    def make() -> redis_aio.ConnectionPool:
        return redis_aio.BlockingConnectionPool.from_url(url, **settings)

    return AsyncPort(
        make,
        backend=mask_url(config.url),
        connect_timeout=config.connect_timeout,
        operation_timeout=config.operation_timeout,
        time=time,
    )


def blocking_port(config: CacheConfig, time: TimeSource) -> BlockingPort:
    """A port for threads."""
    url, settings = server_url(config.url), _settings(config)

    def make() -> redis.ConnectionPool:
        return redis.BlockingConnectionPool.from_url(url, **settings)

    return BlockingPort(
        make,
        backend=mask_url(config.url),
        operation_timeout=config.operation_timeout,
        time=time,
    )


def place_of(config: CacheConfig) -> str:
    """What tells one clock from another: server, database and namespace."""
    pool = redis.ConnectionPool.from_url(server_url(config.url))
    return _place(pool.connection_kwargs, config.namespace)


def place_of_client(client: redis.Redis | redis_aio.Redis, config: CacheConfig) -> str:
    """`place_of`, for a client that the user made."""
    return _place(client.connection_pool.connection_kwargs, config.namespace)


def _place(kwargs: Mapping[str, Any], namespace: str) -> str:
    where = kwargs.get("path") or f"{kwargs.get('host', 'localhost')}:{kwargs.get('port', 6379)}"
    return f"{where}/{kwargs.get('db', 0)}/{namespace}"


def url_of(client: redis.Redis | redis_aio.Redis) -> str:
    """A URL that names a client's server, without secrets."""
    kwargs = client.connection_pool.connection_kwargs
    if kwargs.get("path"):
        return f"unix://{kwargs['path']}?db={kwargs.get('db', 0)}"
    host = kwargs.get("host", "localhost")
    host = f"[{host}]" if ":" in host else host
    return f"redis://{host}:{kwargs.get('port', 6379)}/{kwargs.get('db', 0)}"


def async_port_of(client: redis_aio.Redis, config: CacheConfig, time: TimeSource) -> AsyncPort:
    """A port over the pool of an asyncio client that the user made and will close."""
    if not isinstance(client, redis_aio.Redis):
        raise ConfigError(
            f"from_client takes a redis.asyncio.Redis, not {type(client).__name__}; a redis.Redis "
            "goes into armature_cache.sync.RedisCache.from_client",
            field="client",
        )
    pool = client.connection_pool
    return AsyncPort(
        lambda: pool,
        backend=mask_url(url_of(client)),
        connect_timeout=config.connect_timeout,
        operation_timeout=config.operation_timeout,
        time=time,
        owned=False,
    )


def blocking_port_of(client: redis.Redis, config: CacheConfig, time: TimeSource) -> BlockingPort:
    """A port over the pool of a blocking client that the user made and will close."""
    if not isinstance(client, redis.Redis):
        raise ConfigError(
            f"from_client takes a redis.Redis, not {type(client).__name__}; a redis.asyncio.Redis "
            "goes into armature_cache.RedisCache.from_client, which has a sync() face",
            field="client",
        )
    pool = client.connection_pool
    return BlockingPort(
        lambda: pool,
        backend=mask_url(url_of(client)),
        operation_timeout=config.operation_timeout,
        time=time,
        owned=False,
    )


def blocking_twin(
    client: redis.Redis | redis_aio.Redis, config: CacheConfig, time: TimeSource
) -> BlockingPort:
    """A port for threads to the server of a client, with connections of its own."""
    source = client.connection_pool
    kwargs = source.connection_kwargs
    carried = {name: kwargs[name] for name in _CARRIED if kwargs.get(name) is not None}
    carried |= {name: value for name, value in kwargs.items() if name.startswith("ssl_")}
    name = source.connection_class.__name__
    kind: type[redis.connection.AbstractConnection] = (
        redis.UnixDomainSocketConnection
        if kwargs.get("path")
        else redis.SSLConnection
        if "SSL" in name
        else redis.Connection
    )

    pool_of: Any = redis.BlockingConnectionPool

    def make() -> redis.ConnectionPool:
        pool: redis.ConnectionPool = pool_of(
            connection_class=kind, **{**carried, **_settings(config)}
        )
        return pool

    return BlockingPort(
        make,
        backend=mask_url(url_of(client)),
        operation_timeout=config.operation_timeout,
        time=time,
    )
