"""Settings of a shared store, from a URL; frozen, checked, and silent about secrets."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import Final, Literal, get_args

from armature_cache.address import Address, file_address, mask_url, parse_address, parse_memcached
from armature_cache.errors import ConfigError
from armature_cache.options import (
    TTL,
    Consistency,
    check_consistency,
    check_count,
    check_flag,
    check_namespace,
    check_seconds,
    resolve_ttl,
)

DEFAULT_NAMESPACE: Final = "cache"
DEFAULT_MAX_TTL: Final = 400 * 86_400.0
DEFAULT_MAX_VALUE_BYTES: Final = 64 * 1024 * 1024
DEFAULT_MAX_FILE_BYTES: Final = 1024 * 1024 * 1024
LEAST_FILE_BYTES: Final = 1024 * 1024
_VALUE_PART: Final = 4
"""How many of the largest values a file has room for at least."""
_BOUNDS: Final = (0.001, 3600)
OnFailover = Literal["reset", "replay"]
DEFAULT_STALENESS_BOUND: Final = 0.1


@dataclasses.dataclass(frozen=True, slots=True, repr=False)
class CacheConfig:
    """Settings of a shared store; made by `CacheConfig.redis(url)` and the like.

    Times are in seconds. `namespace` prefixes every key. `default_ttl` is used when a call gives
    none (None: no expiry). `max_ttl` bounds every lifetime, and is the server-side lifetime of
    entries without expiry. `staleness_bound` is how long after an acknowledged invalidation
    another process may still serve the old entry; `consistency="strong"` lets every read ask for
    news instead, unless the call says otherwise. `hints=False` does without the background
    thread. `on_failover` says what becomes of entries when another server takes over:
    `reset`, all are dead; `replay`, they live on once each process has sent its last
    invalidations again (the same for all processes of a namespace). With `reclaim=True` a
    background thread takes what this process has invalidated by tag off the server; else dead
    values stay there until their lifetime ends, or they are evicted. `max_file_bytes` bounds
    the file of an SQLite cache.
    """

    url: str
    address: Address
    namespace: str = DEFAULT_NAMESPACE
    default_ttl: float | None = None
    connect_timeout: float = 5.0
    operation_timeout: float = 3.0
    max_connections: int = 50
    staleness_bound: float = DEFAULT_STALENESS_BOUND
    max_ttl: float = DEFAULT_MAX_TTL
    max_value_bytes: int = DEFAULT_MAX_VALUE_BYTES
    max_load_time: float = 60.0
    hints: bool = True
    consistency: Consistency = "bounded"
    on_failover: OnFailover = "reset"
    reclaim: bool = False
    max_file_bytes: int = DEFAULT_MAX_FILE_BYTES

    @classmethod
    def redis(
        cls,
        url: str,
        *,
        namespace: str = DEFAULT_NAMESPACE,
        default_ttl: TTL = None,
        connect_timeout: float = 5.0,
        operation_timeout: float = 3.0,
        max_connections: int = 50,
        staleness_bound: float = DEFAULT_STALENESS_BOUND,
        max_ttl: float = DEFAULT_MAX_TTL,
        max_value_bytes: int = DEFAULT_MAX_VALUE_BYTES,
        max_load_time: float = 60.0,
        hints: bool = True,
        consistency: Consistency = "bounded",
        on_failover: OnFailover = "reset",
        reclaim: bool = False,
    ) -> CacheConfig:
        """Settings of a Redis or Valkey server.

        URLs are `redis://[user[:password]@]host[:port][/db]`, `rediss://` for TLS (options such
        as `?ssl_ca_certs=path`), `unix:///path[?db=n]`, `redis+cluster://host:port,host:port`
        and `redis+sentinel://host:port,host:port/service[/db]`; `valkey` may stand for `redis`.
        Raises `ConfigError` with the field to mend.
        """
        limit = check_seconds("max_ttl", max_ttl)
        address = parse_address(url)
        check_failover(on_failover, address, hints=hints)
        return cls(
            url=url,
            address=address,
            namespace=check_namespace(namespace),
            default_ttl=resolve_ttl(default_ttl, None, limit=limit),
            connect_timeout=check_seconds("connect_timeout", connect_timeout),
            operation_timeout=check_seconds("operation_timeout", operation_timeout),
            max_connections=check_count("max_connections", max_connections),
            staleness_bound=check_bound(staleness_bound),
            max_ttl=limit,
            max_value_bytes=check_count("max_value_bytes", max_value_bytes),
            max_load_time=check_seconds("max_load_time", max_load_time),
            hints=check_flag("hints", hints),
            consistency="strong" if check_consistency(consistency) else "bounded",
            on_failover=on_failover,
            reclaim=check_flag("reclaim", reclaim),
        )

    @classmethod
    def memcached(
        cls,
        url: str | Sequence[str],
        *,
        namespace: str = "cache",
        default_ttl: TTL = None,
        connect_timeout: float = 5.0,
        operation_timeout: float = 3.0,
        max_connections: int = 50,
        staleness_bound: float = DEFAULT_STALENESS_BOUND,
        max_ttl: float = DEFAULT_MAX_TTL,
        max_value_bytes: int = DEFAULT_MAX_VALUE_BYTES,
        max_load_time: float = 60.0,
        hints: bool = True,
        consistency: Consistency = "bounded",
    ) -> CacheConfig:
        """Settings of one or several Memcached servers.

        URLs are `memcached://[user:password@]host[:port][,host[:port]...]`, `memcacheds://` for
        TLS (options such as `?ssl_ca_certs=path`) and `memcached:///path` for a socket; several
        may be given. Every process has to name all servers by the same names, in any order.
        `hints=False` does without the background thread, which here renews trust ahead of its end:
        Memcached tells nobody of changes. Raises `ConfigError` with the field to mend.
        """
        limit = check_seconds("max_ttl", max_ttl)
        address = parse_memcached(url)
        return cls(
            url=address.shown,
            address=address,
            namespace=check_namespace(namespace),
            default_ttl=resolve_ttl(default_ttl, None, limit=limit),
            connect_timeout=check_seconds("connect_timeout", connect_timeout),
            operation_timeout=check_seconds("operation_timeout", operation_timeout),
            max_connections=check_count("max_connections", max_connections),
            staleness_bound=check_bound(staleness_bound),
            max_ttl=limit,
            max_value_bytes=check_count("max_value_bytes", max_value_bytes),
            max_load_time=check_seconds("max_load_time", max_load_time),
            hints=check_flag("hints", hints),
            consistency="strong" if check_consistency(consistency) else "bounded",
        )

    @classmethod
    def sqlite(
        cls,
        path: str | os.PathLike[str],
        *,
        namespace: str = "cache",
        default_ttl: TTL = None,
        max_file_bytes: int = DEFAULT_MAX_FILE_BYTES,
        operation_timeout: float = 3.0,
        staleness_bound: float = DEFAULT_STALENESS_BOUND,
        max_ttl: float = DEFAULT_MAX_TTL,
        max_value_bytes: int = DEFAULT_MAX_VALUE_BYTES,
        max_load_time: float = 60.0,
        hints: bool = True,
        consistency: Consistency = "bounded",
    ) -> CacheConfig:
        """Settings of a cache in a file, for the processes of one machine.

        `path` is that of the file, or a URL: `sqlite:///relative`, `sqlite:////absolute`. Its
        folder has to be there, on a disk of this machine. The file takes at most `max_file_bytes`
        (at least 1 MiB), and a value a quarter of that; what was read least recently is evicted.
        `operation_timeout` is how long others are waited for who are writing. Raises `ConfigError`
        with the field to mend.
        """
        limit = check_seconds("max_ttl", max_ttl)
        address = file_address(path)
        if check_count("max_file_bytes", max_file_bytes) < LEAST_FILE_BYTES:
            raise ConfigError(
                f"max_file_bytes is at least {LEAST_FILE_BYTES} (1 MiB), not {max_file_bytes}",
                field="max_file_bytes",
            )
        largest = check_count("max_value_bytes", max_value_bytes)
        return cls(
            url=address.shown,
            address=address,
            namespace=check_namespace(namespace),
            default_ttl=resolve_ttl(default_ttl, None, limit=limit),
            operation_timeout=check_seconds("operation_timeout", operation_timeout),
            staleness_bound=check_bound(staleness_bound),
            max_ttl=limit,
            max_value_bytes=min(largest, max_file_bytes // _VALUE_PART),
            max_load_time=check_seconds("max_load_time", max_load_time),
            hints=hints,
            consistency="strong" if check_consistency(consistency) else "bounded",
            max_file_bytes=max_file_bytes,
        )

    @property
    def file(self) -> str:
        """The path of a cache file; empty for other shared stores."""
        return self.address.path if self.address.topology == "file" else ""

    def __repr__(self) -> str:
        shown = (
            f"{field.name}={getattr(self, field.name)!r}"
            for field in dataclasses.fields(self)
            if field.name not in {"url", "address"}
        )
        return f"CacheConfig(url={mask_url(self.url)!r}, {', '.join(shown)})"


def check_failover(policy: str, address: Address, *, hints: bool) -> None:
    """Refuse a policy that is unknown, or whose conditions do not hold."""
    if policy not in get_args(OnFailover):
        raise ConfigError(
            f"on_failover is one of {get_args(OnFailover)}, not {policy!r}", field="on_failover"
        )
    if policy == "reset":
        return
    if address.topology == "cluster":
        raise ConfigError(
            'on_failover="replay" is for one primary with replicas: in a Cluster, a master with '
            "values may lose what the clock's master has acknowledged",
            field="on_failover",
        )
    if not hints:
        raise ConfigError(
            'on_failover="replay" needs hints=True: a process has to notice a failover by itself',
            field="on_failover",
        )


def check_bound(value: float) -> float:
    """A staleness bound: from 1 ms to one hour, or `ConfigError`."""
    bound = check_seconds("staleness_bound", value)
    low, high = _BOUNDS
    if not low <= bound <= high:
        raise ConfigError(
            f"staleness_bound is between {low} and {high} seconds, not {value!r}",
            field="staleness_bound",
        )
    return bound
