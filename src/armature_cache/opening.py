"""Opening a whole cache: from a URL, a mapping, or the environment."""

from __future__ import annotations

import dataclasses
import inspect
import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from armature_cache import settings as text
from armature_cache._words import suggestion
from armature_cache.address import FILE_SCHEME, MEMCACHED_SCHEMES, SCHEMES, mask_url
from armature_cache.config import DEFAULT_NAMESPACE, CacheConfig
from armature_cache.errors import ConfigError, InvalidTTL
from armature_cache.options import TTL, check_namespace
from armature_cache.stores.memory import InMemoryCache
from armature_cache.stores.tagged import TaggedCache
from armature_cache.stores.tier_config import TieredCacheConfig
from armature_cache.stores.tiered import TieredCache

if TYPE_CHECKING:
    from armature_cache.codecs.base import Codec
    from armature_cache.codecs.sealed import SealedCodec
    from armature_cache.stores.base import CacheStore

ENV_PREFIX: Final = "ARMATURE_CACHE_"
_OWN: Final = frozenset({"url", "path", "namespace", "default_ttl"})
"""Settings that every kind of cache has."""
_TIERS: Final = frozenset(field.name for field in dataclasses.fields(TieredCacheConfig))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Order:
    """What was asked for; `settings` are those that not every kind of store has."""

    url: str
    namespace: str
    default_ttl: TTL
    near: dict[str, Any]
    codec: Codec | SealedCodec | None
    tiers: TieredCacheConfig | None
    settings: dict[str, Any]

    @property
    def scheme(self) -> str:
        """What kind of store it is about."""
        return self.url.partition("://")[0].partition("+")[0]

    def refuse_all_but(self, known: Iterable[str], *, of: str) -> None:
        """Raise `ConfigError` for a setting that this kind of store does not have."""
        names = sorted(known)
        for name in self.settings:
            if name not in names:
                raise ConfigError(
                    f"open_cache has no setting {name!r}{suggestion(name, names)}; it has those "
                    f"of {of}: {', '.join(names)}",
                    field=name,
                )


Opener = Callable[[Order], Callable[[], TaggedCache]]
"""Checks an order, and returns what opens the cache. Neither does any I/O."""


def _memory(order: Order) -> Callable[[], TaggedCache]:
    foreign = {"tiers": order.tiers, "codec": order.codec, **order.settings}
    for name in (name for name, given in foreign.items() if given is not None):
        raise ConfigError(f"memory:// has no setting {name!r}", field=name)
    if "?" in order.url:
        raise ConfigError("memory:// has no user, password or options", field="url")
    cache = TaggedCache(InMemoryCache(default_ttl=order.default_ttl, **order.near))
    return lambda: cache


def _redis(order: Order) -> Callable[[], TaggedCache]:
    config = _config(order, "redis")

    def shared() -> CacheStore:
        from armature_cache.stores.redis import RedisCache

        return RedisCache(config, codec=order.codec)

    return _tiered(order, config, shared)


def _sqlite(order: Order) -> Callable[[], TaggedCache]:
    config = _config(order, "sqlite")

    def shared() -> CacheStore:
        from armature_cache.stores.sqlite import SQLiteCache

        return SQLiteCache(config, codec=order.codec)

    return _tiered(order, config, shared)


def _memcached(order: Order) -> Callable[[], TaggedCache]:
    config = _config(order, "memcached")

    def shared() -> CacheStore:
        from armature_cache.stores.memcached import MemcachedCache

        return MemcachedCache(config, codec=order.codec)

    return _tiered(order, config, shared)


def _config(order: Order, kind: str) -> CacheConfig:
    make = getattr(CacheConfig, kind)
    known = inspect.signature(make).parameters.keys()
    order.refuse_all_but(known - _OWN, of=f"CacheConfig.{kind}")
    config: CacheConfig = make(
        order.url,
        namespace=order.namespace,
        default_ttl=order.default_ttl,
        **order.settings,
    )
    return config


def _tiered(
    order: Order, config: CacheConfig, shared: Callable[[], CacheStore]
) -> Callable[[], TaggedCache]:
    tiers = order.tiers or TieredCacheConfig(staleness_bound=config.staleness_bound)
    l1 = InMemoryCache(**order.near)
    return lambda: TaggedCache(TieredCache(l1, shared(), tiers))


_OPENERS: Final[dict[str, Opener]] = {
    "memory": _memory,
    FILE_SCHEME: _sqlite,
    **dict.fromkeys(SCHEMES, _redis),
    **dict.fromkeys(MEMCACHED_SCHEMES, _memcached),
}
"""By the scheme of the URL, without what follows a plus: to add a store, add its scheme here."""


def open_cache(
    url: str,
    *,
    namespace: str = DEFAULT_NAMESPACE,
    default_ttl: TTL = None,
    max_entries: int = 10_000,
    max_bytes: int | None = None,
    isolate: bool = False,
    detect_mutation: bool = False,
    codec: Codec | SealedCodec | None = None,
    tiers: TieredCacheConfig | None = None,
    **settings: Any,
) -> TaggedCache:
    """The recommended cache for a URL, with tags.

    `redis://`, `rediss://`, `valkey://`, `valkeys://` and `unix://` give
    `TaggedCache(TieredCache(InMemoryCache(), RedisCache(...)))`; `memcached://` and
    `memcacheds://` the same over a `MemcachedCache`, `sqlite:///path` over a `SQLiteCache`;
    `memory://` gives `TaggedCache(InMemoryCache())`. `max_entries`, `max_bytes`, `isolate` and
    `detect_mutation` are those of the in-process tier, `codec` that of the shared one; further
    settings are those of `CacheConfig.redis`, `CacheConfig.memcached` or `CacheConfig.sqlite`.
    Raises `ConfigError`.
    """
    near = {
        "max_entries": max_entries,
        "max_bytes": max_bytes,
        "isolate": isolate,
        "detect_mutation": detect_mutation,
    }
    order = Order(
        url=url,
        namespace=namespace,
        default_ttl=default_ttl,
        near=near,
        codec=codec,
        tiers=tiers,
        settings=settings,
    )
    return _checked(order)()


def _checked(order: Order) -> Callable[[], TaggedCache]:
    scheme = order.scheme if isinstance(order.url, str) else ""
    if scheme not in _OPENERS:
        raise ConfigError(
            f"{mask_url(str(order.url))!r} has no known scheme{suggestion(scheme, _OPENERS)}; use "
            "redis://host:port/db, rediss://, valkey://, valkeys://, unix:///path, "
            "memcached://host:port,host:port, memcacheds://, sqlite:///path or memory://",
            field="url",
        )
    check_namespace(order.namespace)
    return _OPENERS[scheme](order)


def open_cache_from_mapping(mapping: Mapping[str, object]) -> TaggedCache:
    """`open_cache` with settings from a mapping, as a file or Django's settings give it.

    It has a `url`, and any of the settings of `open_cache`, of the constructor of `CacheConfig` for
    that URL and of `TieredCacheConfig`, side by side, in any case; and `username` and `password`
    apart from the URL. Text is understood: `"1h30m"`, `"64MiB"`, `"off"`. Raises `ConfigError`.
    """
    return prepared(mapping, lambda name: name or "what was given")()


def open_cache_from_env(
    environ: Mapping[str, str] | None = None, *, prefix: str = ENV_PREFIX
) -> TaggedCache:
    """`open_cache` with settings from environment variables: `ARMATURE_CACHE_URL` and so on.

    Each setting of `open_cache_from_mapping` has a variable: the prefix and its name, in capitals.
    An empty variable counts as not set; one that is no setting raises `ConfigError`. Variables
    with a double underscore are those of named caches, see `CacheRegistry.from_env`. `environ` is
    `os.environ` by default.
    """
    given = text.from_environment(os.environ if environ is None else environ, prefix)
    return prepared(given.get("default", {}), text.variable_of(prefix))()


def prepared(mapping: Mapping[str, object], place: text.Place) -> Callable[[], TaggedCache]:
    """Checks settings that were given as text, and returns what opens the cache."""
    found = text.read(mapping, text.OF_CACHES, place)
    if "url" not in found:
        raise ConfigError(
            f"{place('url')} is missing: redis://host:port/db, memory:// or another of the urls of "
            "open_cache",
            field="url",
        )
    found["url"] = _with_login(found["url"], found, place)
    tiers = {name: found.pop(name) for name in _TIERS & found.keys() - _SHARED}
    try:
        return _checked(_order(found, tiers))
    except (ConfigError, InvalidTTL) as error:
        raise text.placed(error, place, "default_ttl") from error


def _with_login(url: str, found: dict[str, Any], place: text.Place) -> str:
    """The URL with the user and the password that were given apart from it."""
    login: dict[str, object] = {
        name: found.pop(name) for name in ("username", "password") if name in found
    }
    user, _, secret = url.partition("://")[2].rpartition("@")[0].partition(":")
    for name, there in (("username", user), ("password", secret)):
        if there and name in login:
            raise ConfigError(
                f"{place(name)} is given, and the url has one, too: leave one out", field=name
            )
    return url + ("&" if "?" in url else "?") * bool(login) + urlencode(login)


_SHARED: Final = frozenset({"staleness_bound", "consistency"})
"""Settings of both the tiers and the shared store, given once for both."""


def _order(found: dict[str, Any], tiers: dict[str, Any]) -> Order:
    names = inspect.signature(InMemoryCache).parameters.keys() & found.keys() - {"default_ttl"}
    near = {name: found.pop(name) for name in names}
    both = {name: found[name] for name in _SHARED & found.keys()}
    return Order(
        url=found.pop("url"),
        namespace=found.pop("namespace", DEFAULT_NAMESPACE),
        default_ttl=found.pop("default_ttl", None),
        near=near,
        codec=found.pop("codec", None),
        tiers=TieredCacheConfig(**tiers, **both) if tiers else None,
        settings=found,
    )
