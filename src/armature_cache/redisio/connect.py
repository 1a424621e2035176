"""Ports from a configuration or from a client that the user made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import redis
import redis.asyncio as redis_aio

from armature_cache._runtime.aio import ASYNC
from armature_cache._runtime.blocking import BLOCKING
from armature_cache._runtime.ready import run_ready
from armature_cache.address import mask_url
from armature_cache.errors import ConfigError
from armature_cache.redisio import sentinel
from armature_cache.redisio.aio import AsyncPort
from armature_cache.redisio.blocking import BlockingPort
from armature_cache.redisio.cluster import ClusterPort, Node
from armature_cache.redisio.tls import options_of

if TYPE_CHECKING:
    from armature_cache._time import TimeSource
    from armature_cache.address import Address
    from armature_cache.config import CacheConfig
    from armature_cache.redisio.port import Port

_CARRIED: Final = (
    "host", "port", "path", "db", "username", "password", "credential_provider", "client_name",
    "socket_keepalive", "socket_keepalive_options", "socket_timeout", "socket_connect_timeout",
)  # fmt: skip


def _settings(config: CacheConfig) -> dict[str, Any]:
    return {
        "max_connections": config.max_connections,
        "timeout": config.connect_timeout,
        "socket_connect_timeout": config.connect_timeout,
        "socket_timeout": config.operation_timeout,
        "protocol": 2,
        "decode_responses": False,
    }


def _login(address: Address) -> dict[str, Any]:
    """What every connection of a deployment needs, wherever it leads."""
    return {
        **options_of(address),
        "db": address.db,
        "username": address.username,
        "password": address.password,
    }


def _endpoint(address: Address, library: Any, node: Node | None) -> dict[str, Any]:
    """One server, as a pool of redis-py wants it: a node of a cluster, or the only one."""
    if address.path:
        return {"connection_class": library.UnixDomainSocketConnection, "path": address.path}
    host, port = node or address.hosts[0]
    kind = library.SSLConnection if address.tls else library.Connection
    return {"connection_class": kind, "host": host, "port": port}


def async_port(config: CacheConfig, time: TimeSource) -> Port:
    """A port for event loops."""
    if config.address.topology != "cluster":
        return _async_port(config, time, None)
    return ClusterPort(
        lambda node: _async_port(config, time, node),
        config.address.hosts,
        backend=config.address.shown,
        runtime=ASYNC,
        time=time,
        patience=config.operation_timeout,
    )


def _async_port(config: CacheConfig, time: TimeSource, node: Node | None) -> AsyncPort:
    address = config.address

    def make() -> redis_aio.ConnectionPool:
        if address.topology == "sentinel":
            return sentinel.async_pool(config, {**_settings(config), **_login(address)})
        settings = {**_settings(config), "socket_timeout": None}
        return redis_aio.BlockingConnectionPool(
            **_endpoint(address, redis_aio, node), **_login(address), **settings
        )

    return AsyncPort(
        make,
        backend=address.shown,
        connect_timeout=config.connect_timeout,
        operation_timeout=config.operation_timeout,
        time=time,
        merges=node is None,
        keeps=address.topology != "sentinel",
    )


def blocking_port(config: CacheConfig, time: TimeSource) -> ThreadPort:
    """A port for threads."""
    if config.address.topology != "cluster":
        return _blocking_port(config, time, None)
    return BlockingClusterPort(
        lambda node: _blocking_port(config, time, node),
        config.address.hosts,
        backend=config.address.shown,
        runtime=BLOCKING,
        time=time,
        patience=config.operation_timeout,
    )


def _blocking_port(config: CacheConfig, time: TimeSource, node: Node | None) -> BlockingPort:
    address = config.address
    pool_of: Any = redis.BlockingConnectionPool

    def make() -> redis.ConnectionPool:
        pool: redis.ConnectionPool
        if address.topology == "sentinel":
            pool = sentinel.blocking_pool(config, {**_settings(config), **_login(address)})
        else:
            place = _endpoint(address, redis, node)
            pool = pool_of(**place, **_login(address), **_settings(config))
        return pool

    return BlockingPort(
        make,
        backend=address.shown,
        operation_timeout=config.operation_timeout,
        time=time,
        keeps=address.topology != "sentinel",
    )


class BlockingClusterPort(ClusterPort[BlockingPort]):
    """The cluster's port for threads."""

    def pool_of(self, key: str) -> redis.ConnectionPool:
        """The pool of the server that owns a key."""
        if not self.is_mapped:
            run_ready(self.primaries())
        return self.port_of(key).pool()

    def close_now(self) -> None:
        """`aclose`, without a coroutine."""
        run_ready(self.aclose())


ThreadPort = BlockingPort | BlockingClusterPort


def check_kind(config: CacheConfig) -> None:
    """Refuse the settings of another kind of store."""
    if config.address.topology == "ring":
        raise ConfigError(
            "RedisCache takes CacheConfig.redis(...); these settings are for MemcachedCache",
            field="config",
        )


async def primaries(port: Port) -> list[Port]:
    """The ports of all primaries behind a port."""
    return list(await port.primaries()) if isinstance(port, ClusterPort) else [port]


def place_of(config: CacheConfig) -> str:
    """What tells one clock from another: deployment, database and namespace."""
    address = config.address
    where = address.path or ",".join(f"{host}:{port}" for host, port in sorted(address.hosts))
    return f"{where}/{address.service}/{address.db}/{config.namespace}"


def place_of_client(client: redis.Redis | redis_aio.Redis, config: CacheConfig) -> str:
    """`place_of`, for a client that the user made."""
    return _place(client.connection_pool.connection_kwargs, config.namespace)


def _place(kwargs: Mapping[str, Any], namespace: str) -> str:
    where = kwargs.get("path") or f"{kwargs.get('host', 'localhost')}:{kwargs.get('port', 6379)}"
    return f"{where}//{kwargs.get('db', 0)}/{namespace}"


def url_of(client: redis.Redis | redis_aio.Redis) -> str:
    """A URL that names a client's server, without secrets."""
    kwargs = client.connection_pool.connection_kwargs
    if kwargs.get("path"):
        return f"unix://{kwargs['path']}?db={kwargs.get('db', 0)}"
    host = kwargs.get("host", "localhost")
    host = f"[{host}]" if ":" in host else host
    return f"redis://{host}:{kwargs.get('port', 6379)}/{kwargs.get('db', 0)}"


def check_async_client(client: object) -> None:
    """Refuse what is no asyncio client."""
    if not isinstance(client, redis_aio.Redis):
        raise ConfigError(
            f"from_client takes a redis.asyncio.Redis, not {type(client).__name__}; a redis.Redis "
            "goes into armature_cache.sync.RedisCache.from_client",
            field="client",
        )


def check_blocking_client(client: object) -> None:
    """Refuse what is no blocking client."""
    if not isinstance(client, redis.Redis):
        raise ConfigError(
            f"from_client takes a redis.Redis, not {type(client).__name__}; a redis.asyncio.Redis "
            "goes into armature_cache.RedisCache.from_client, which has a sync() face",
            field="client",
        )


def async_port_of(client: redis_aio.Redis, config: CacheConfig, time: TimeSource) -> AsyncPort:
    """A port over the pool of an asyncio client that the user made and will close."""
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
