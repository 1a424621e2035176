"""Opening a whole cache from a URL."""

from __future__ import annotations

import inspect
from typing import Any, Final

from armature_cache.address import SCHEMES, mask_url
from armature_cache.config import CacheConfig
from armature_cache.errors import ConfigError
from armature_cache.options import TTL
from armature_cache.stores.base import CacheStore
from armature_cache.stores.memory import InMemoryCache
from armature_cache.stores.tagged import TaggedCache
from armature_cache.stores.tiered import TieredCache, TieredCacheConfig

_SETTINGS: Final = frozenset(inspect.signature(CacheConfig.redis).parameters) - {
    "url",
    "namespace",
    "default_ttl",
}


def open_cache(
    url: str,
    *,
    namespace: str = "cache",
    default_ttl: TTL = None,
    max_entries: int = 10_000,
    max_bytes: int | None = None,
    tiers: TieredCacheConfig | None = None,
    **settings: Any,
) -> TaggedCache:
    """The recommended cache for a URL, with tags.

    `redis://`, `rediss://`, `valkey://`, `valkeys://` and `unix://` give
    `TaggedCache(TieredCache(InMemoryCache(), RedisCache(...)))`; `memory://` gives
    `TaggedCache(InMemoryCache())`. `max_entries` and `max_bytes` bound the in-process tier;
    further settings are those of `CacheConfig.redis`. Raises `ConfigError`.
    """
    scheme = url.partition("://")[0] if isinstance(url, str) else ""
    if scheme == "memory":
        if settings or tiers is not None:
            name = next(iter(settings), "tiers")
            raise ConfigError(f"memory:// has no setting {name!r}", field=name)
        return TaggedCache(
            InMemoryCache(max_entries=max_entries, max_bytes=max_bytes, default_ttl=default_ttl)
        )
    if scheme.partition("+")[0] not in SCHEMES:
        raise ConfigError(
            f"{mask_url(str(url))!r} has no known scheme; use redis://host:port/db, rediss://, "
            "valkey://, valkeys://, unix:///path or memory://",
            field="url",
        )
    from armature_cache.stores.redis import RedisCache

    for name in settings:
        if name not in _SETTINGS:
            raise ConfigError(
                f"open_cache has no setting {name!r}; it has those of CacheConfig.redis: "
                + ", ".join(sorted(_SETTINGS)),
                field=name,
            )
    config = CacheConfig.redis(url, namespace=namespace, default_ttl=default_ttl, **settings)
    tiered = TieredCacheConfig(staleness_bound=config.staleness_bound) if tiers is None else tiers
    l1 = InMemoryCache(max_entries=max_entries, max_bytes=max_bytes)
    l2: CacheStore = RedisCache(config)
    return TaggedCache(TieredCache(l1, l2, tiered))
