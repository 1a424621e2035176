"""Ports to Memcached from a configuration."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Final

from armature_cache._runtime.streams import Endpoint
from armature_cache.errors import ConfigError
from armature_cache.memcachedio.aio import AsyncPort
from armature_cache.memcachedio.blocking import BlockingPort
from armature_cache.memcachedio.names import Names
from armature_cache.memcachedio.ring import Ring
from armature_cache.memcachedio.server import Server

if TYPE_CHECKING:
    from armature_cache._time import TimeSource
    from armature_cache.address import Address
    from armature_cache.config import CacheConfig

_VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_REQUIREMENTS: Final = {
    "required": ssl.CERT_REQUIRED,
    "optional": ssl.CERT_OPTIONAL,
    "none": ssl.CERT_NONE,
}


def async_port(config: CacheConfig, time: TimeSource) -> AsyncPort:
    """A port for event loops."""
    return AsyncPort(
        _servers(config, time),
        connect_timeout=config.connect_timeout,
        operation_timeout=config.operation_timeout,
        limit=config.max_value_bytes,
    )


def blocking_port(config: CacheConfig, time: TimeSource) -> BlockingPort:
    """A port for threads."""
    return BlockingPort(
        _servers(config, time),
        connect_timeout=config.connect_timeout,
        operation_timeout=config.operation_timeout,
        limit=config.max_value_bytes,
        max_connections=config.max_connections,
    )


def names_of(config: CacheConfig) -> Names:
    """What the items of a configuration's namespace are called, and where they are."""
    return Names(config.namespace, Ring(config.address.servers))


def place_of(config: CacheConfig) -> str:
    """What tells one clock from another: servers and namespace."""
    return f"memcached/{','.join(config.address.servers)}/{config.namespace}"


def check_kind(config: CacheConfig) -> None:
    """Refuse the settings of another kind of store."""
    if config.address.topology != "ring":
        raise ConfigError(
            "MemcachedCache takes CacheConfig.memcached(...); these settings are for RedisCache",
            field="config",
        )


def _servers(config: CacheConfig, time: TimeSource) -> list[Server]:
    address = config.address
    credentials = None
    if address.username is not None and address.password is not None:
        credentials = (address.username, address.password)
    tls = _context(address) if address.tls else None
    return [
        Server(
            Endpoint(host, port, host if host.startswith("/") else "", tls),
            f"memcached{'s' * address.tls}://{shown}",
            time=time,
            credentials=credentials,
        )
        for (host, port), shown in zip(address.hosts, address.servers, strict=True)
    ]


def _context(address: Address) -> ssl.SSLContext:
    options = dict(address.options)
    try:
        context = ssl.create_default_context(
            cafile=options.get("ssl_ca_certs"),
            capath=options.get("ssl_ca_path"),
            cadata=options.get("ssl_ca_data"),
        )
        wanted = options.get("ssl_cert_reqs", "required")
        checks = options.get("ssl_check_hostname", "true" if wanted == "required" else "false")
        context.check_hostname = checks == "true" and wanted == "required"
        context.verify_mode = _REQUIREMENTS[wanted]
        if "ssl_certfile" in options:
            context.load_cert_chain(
                options["ssl_certfile"], options.get("ssl_keyfile"), options.get("ssl_password")
            )
        if "ssl_ciphers" in options:
            context.set_ciphers(options["ssl_ciphers"])
        if "ssl_min_version" in options:
            context.minimum_version = _VERSIONS[options["ssl_min_version"]]
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"the TLS options of the url cannot be used: {error}", field="url"
        ) from error
    return context
