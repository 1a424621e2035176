"""Where a shared store is: its URL, taken apart."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import Final, Literal
from urllib.parse import parse_qsl, unquote

from armature_cache._words import suggestion
from armature_cache.errors import ConfigError

Topology = Literal["single", "cluster", "sentinel", "file", "ring"]

FILE_SCHEME: Final = "sqlite"
SCHEMES: Final = ("redis", "rediss", "valkey", "valkeys", "unix")
MEMCACHED_SCHEMES: Final = ("memcached", "memcacheds")
_CREDENTIALS: Final = ("db", "username", "password")
_YES_NO: Final = ("true", "false")
_OPTIONS: Final[dict[str, tuple[str, ...]]] = {
    "db": (),
    "username": (),
    "password": (),
    "client_name": (),
    "ssl_ca_certs": (),
    "ssl_ca_path": (),
    "ssl_ca_data": (),
    "ssl_certfile": (),
    "ssl_keyfile": (),
    "ssl_password": (),
    "ssl_cert_reqs": ("required", "optional", "none"),
    "ssl_check_hostname": _YES_NO,
    "ssl_ciphers": (),
    "ssl_min_version": ("1.2", "1.3"),
    "sentinel_username": (),
    "sentinel_password": (),
    "sentinel_tls": _YES_NO,
}
"""The options of a URL, and the values that each of them may have; empty: any."""
_MEMCACHED_OPTIONS: Final = {
    name: values
    for name, values in _OPTIONS.items()
    if name in {"username", "password"} or name.startswith("ssl_")
}
_DEFAULT_PORT: Final = {"single": 6379, "cluster": 6379, "sentinel": 26379, "ring": 11211}
_MOST_PORT: Final = 65_535


@dataclasses.dataclass(frozen=True, slots=True, repr=False)
class Address:
    """The parts of a URL.

    `hosts` are seeds in a cluster, sentinels under Sentinel, and all servers in a ring of
    Memcached, where the path of a socket stands for a host without a port.

    `options` are those for connections, `sentinel_options` those for connections to sentinels only,
    without the prefix of their names.
    """

    topology: Topology
    tls: bool
    hosts: tuple[tuple[str, int], ...]
    path: str
    service: str
    db: int
    username: str | None
    password: str | None
    options: tuple[tuple[str, str], ...]
    sentinel_options: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        return f"<Address {self.shown}>"

    @property
    def shown(self) -> str:
        """The URL without secrets and options: fit for logs and messages."""
        if self.topology == "file":
            return f"{FILE_SCHEME}:///{self.path}"
        if self.path:
            return f"unix://{self.path}"
        if self.topology == "ring":
            return f"memcached{'s' * self.tls}://{','.join(self.servers)}"
        scheme = "rediss" if self.tls else "redis"
        if self.topology != "single":
            scheme += f"+{self.topology}"
        secret = "***@" if self.password or self.username else ""
        service = f"/{self.service}" if self.service else ""
        return f"{scheme}://{secret}{','.join(self.servers)}{service}/{self.db}"

    @property
    def servers(self) -> tuple[str, ...]:
        """The hosts with their ports, as they stand in a URL."""
        return tuple(_shown(*each) for each in self.hosts)


def parse_address(url: str) -> Address:
    """The address in a URL; raises `ConfigError` with advice, and without secrets.

    `redis://[user[:password]@]host[:port][/db]`, `rediss://` for TLS, `unix:///path[?db=n]`,
    `redis+cluster://host:port,host:port`, `redis+sentinel://host:port,host:port/service[/db]`;
    `valkey` may stand for `redis` everywhere.
    """
    if not isinstance(url, str) or not url:
        raise _wrong("url is a string such as redis://localhost:6379/0")
    scheme, separator, rest = url.partition("://")
    base, _, kind = scheme.partition("+")
    known = base in SCHEMES and kind in {"", "cluster", "sentinel"}
    if not separator or not known or (kind and base == "unix"):
        raise _wrong(
            f"{mask_url(url)!r} has no known scheme; use redis://, rediss://, valkey://, "
            "valkeys://, unix://, redis+cluster:// or redis+sentinel://"
        )
    rest, _, query = rest.partition("?")
    if "@" in query or (base != "unix" and "@" in rest.partition("/")[2]):
        raise _wrong("url cannot be read: percent-encode special characters of the password")
    options = dict(parse_qsl(query, keep_blank_values=True))
    tls = base in {"rediss", "valkeys"}
    _check_options(options, _OPTIONS, tls=tls, where="CacheConfig.redis")
    if kind != "sentinel":
        for name in options:
            if name.startswith("sentinel_"):
                raise _wrong(f"the url option {name!r} is for redis+sentinel://")
    authority, _, path = rest.partition("/")
    secret, at, places = authority.rpartition("@")
    username, password = _credentials(secret if at else "", options)
    topology: Topology = "cluster" if kind == "cluster" else "single"
    topology = "sentinel" if kind == "sentinel" else topology
    service, db = _service_and_db(topology, "" if base == "unix" else path, options)
    if base == "unix" and (places or not path):
        raise _wrong("a unix url names a socket: unix:///run/redis.sock")
    return Address(
        topology=topology,
        tls=tls,
        hosts=() if base == "unix" else _hosts(places, topology),
        path=f"/{path}" if base == "unix" else "",
        service=service,
        db=db,
        username=username,
        password=password,
        options=tuple(
            (name, value)
            for name, value in options.items()
            if name not in _CREDENTIALS and not name.startswith("sentinel_")
        ),
        sentinel_options=tuple(
            (name.removeprefix("sentinel_"), value)
            for name, value in options.items()
            if name.startswith("sentinel_")
        ),
    )


def file_address(path: str | os.PathLike[str]) -> Address:
    """The address of a cache file, given by its path or by a `sqlite:///` URL.

    `sqlite:///relative` is relative to the working directory, `sqlite:////absolute` is not; what is
    special in URLs is percent-encoded. Raises `ConfigError`.
    """
    name = os.fspath(path) if isinstance(path, str | os.PathLike) else None
    if not isinstance(name, str) or not name:
        raise ConfigError(f"path is a non-empty str or a Path, not {path!r:.80}", field="path")
    if name.startswith(f"{FILE_SCHEME}:"):
        name = _file_in(name)
    elif "://" in name:
        raise ConfigError(
            f"{mask_url(name)!r} is no file: give a path, or sqlite:///relative/path or "
            "sqlite:////absolute/path",
            field="path",
        )
    if name == ":memory:" or name.startswith("file:"):
        raise ConfigError(
            "an SQLite cache is a file with a path; for one process alone use memory://",
            field="path",
        )
    if "\0" in name or name.endswith("/"):
        raise ConfigError(f"path names a file: {name[:80]!r} cannot be one", field="path")
    return Address("file", False, (), os.path.abspath(name), "", 0, None, None, ())  # noqa: FBT003, PTH100


def _file_in(url: str) -> str:
    _, separator, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    if not separator or not slash or not path or host:
        raise _wrong(
            f"{url[:80]!r} names no file; use sqlite:///relative/path or sqlite:////absolute/path, "
            "with one slash more than it seems to need"
        )
    if "?" in path or "#" in path:
        raise _wrong(
            "a sqlite url has no options: give them as arguments, and write ? and # in the name of "
            "a file as %3F and %23"
        )
    try:
        return unquote(path, errors="strict")
    except UnicodeDecodeError:
        raise _wrong("the path of a sqlite url is percent-encoded UTF-8") from None


def parse_memcached(urls: str | Sequence[str]) -> Address:
    """The address of one or several Memcached servers; raises `ConfigError`.

    `memcached://[user:password@]host[:port][,host...]`, `memcacheds://` for TLS, and
    `memcached:///path` for a socket; several URLs add up. The order of servers does not matter.
    """
    given = [urls] if isinstance(urls, str) else list(urls) if isinstance(urls, Sequence) else []
    if not given:
        raise _wrong("url is a string such as memcached://localhost:11211, or a list of such")
    first, *others = map(_parse_memcached, given)
    for other in others:
        if dataclasses.replace(other, hosts=first.hosts) != first:
            raise _wrong("all urls of a cache have the same scheme, user, password and options")
    hosts = tuple(sorted({host for each in (first, *others) for host in each.hosts}))
    if len(hosts) < sum(len(each.hosts) for each in (first, *others)):
        raise _wrong("a server is named twice in the url")
    return dataclasses.replace(first, hosts=hosts)


def _parse_memcached(url: str) -> Address:
    scheme, separator, rest = url.partition("://") if isinstance(url, str) else ("", "", "")
    if not separator or scheme not in MEMCACHED_SCHEMES:
        raise _wrong(
            f"{mask_url(str(url))!r} has no known scheme; use memcached://host:port or "
            "memcacheds://host:port"
        )
    rest, _, query = rest.partition("?")
    authority, slash, path = rest.partition("/")
    if "@" in query or "@" in path:
        raise _wrong("url cannot be read: percent-encode special characters of the password")
    tls = scheme == "memcacheds"
    options = dict(parse_qsl(query, keep_blank_values=True))
    _check_options(options, _MEMCACHED_OPTIONS, tls=tls, where="CacheConfig.memcached")
    secret, at, places = authority.rpartition("@")
    username, password = _credentials(secret if at else "", options)
    if (username is None) != (password is None):
        raise _wrong("Memcached wants a user and a password, or neither")
    if path and (places or tls):
        raise _wrong("a socket has neither host nor TLS: memcached:///run/memcached.sock")
    named = tuple((k, v) for k, v in options.items() if k not in _CREDENTIALS)
    return Address(
        topology="ring",
        tls=tls,
        hosts=((slash + unquote(path), 0),) if path else _hosts(places, "ring"),
        path="",
        service="",
        db=0,
        username=username,
        password=password,
        options=named,
    )


def mask_url(url: str) -> str:
    """The URL without user, password and options: fit for logs and messages."""
    scheme, separator, rest = url.partition("://")
    if not separator or "@" in scheme:
        return "<not a url>"
    # A password with a bare "/" or "?" must not show either: all before the last "@" is secret.
    place, _, query = rest.partition("?")
    if "@" in query:
        return f"{scheme}://***"
    secret, _, shown = place.rpartition("@")
    return f"{scheme}://{'***@' if secret else ''}{shown}"


def _wrong(message: str) -> ConfigError:
    return ConfigError(message, field="url")


def _credentials(secret: str, options: dict[str, str]) -> tuple[str | None, str | None]:
    username, _, password = secret.partition(":")
    return (
        unquote(username) or options.get("username") or None,
        unquote(password) or options.get("password") or None,
    )


def _hosts(places: str, topology: Topology) -> tuple[tuple[str, int], ...]:
    parts = places.split(",")
    if topology == "single" and len(parts) > 1:
        raise _wrong("several hosts need redis+cluster:// or redis+sentinel://")
    return tuple(_host(part, _DEFAULT_PORT[topology]) for part in parts)


def _host(place: str, default: int) -> tuple[str, int]:
    if place.startswith("["):
        host, bracket, tail = place[1:].partition("]")
        good, port = bool(bracket) and tail[:1] in {"", ":"}, tail[1:]
    else:
        host, _, port = place.partition(":")
        good = ":" not in port
    number = int(port) if port.isascii() and port.isdigit() else 0 if port else default
    if not good or not 0 < number <= _MOST_PORT:
        raise _wrong(
            "url cannot be read: a host is name:port with a port from 1 to 65535, an IPv6 address "
            "stands in brackets, and special characters of a password are percent-encoded"
        )
    return unquote(host) or "localhost", number


def _service_and_db(topology: Topology, path: str, options: dict[str, str]) -> tuple[str, int]:
    parts = [unquote(part) for part in path.split("/") if part]
    service = ""
    if topology == "sentinel":
        if not parts:
            raise _wrong("a sentinel url names its service: redis+sentinel://host:26379/mymaster")
        service = parts.pop(0)
    name = options.get("db", parts.pop(0) if parts else "0")
    if parts or not (name.isascii() and name.isdigit()):
        raise _wrong(f"the database of a url is a number, not {name[:40]!r}")
    if topology == "cluster" and int(name):
        raise _wrong("a cluster has database 0 only")
    return service, int(name)


def _check_options(
    options: dict[str, str], known: dict[str, tuple[str, ...]], *, tls: bool, where: str
) -> None:
    for name, value in options.items():
        if name not in known:
            raise _wrong(
                f"unknown url option {name!r}{suggestion(name, known)}; known are "
                f"{', '.join(known)}; give timeouts and pool sizes as arguments of {where}"
            )
        choices = known[name]
        if choices and value not in choices:
            raise _wrong(f"the url option {name!r} is one of {', '.join(choices)}")
        if name.startswith("ssl_") and not tls:
            raise _wrong(f"the url option {name!r} is for TLS: use rediss:// or memcacheds://")


def _shown(host: str, port: int) -> str:
    if host.startswith("/"):
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
