"""Opening a whole cache from a URL."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final

from armature_cache.address import SCHEMES, mask_url
from armature_cache.config import CacheConfig
from armature_cache.errors import ConfigError
from armature_cache.options import TTL
from armature_cache.stores.base import CacheStore
from armature_cache.stores.memory import InMemoryCache
from armature_cache.stores.tagged import TaggedCache
from armature_cache.stores.tier_config import TieredCacheConfig
from armature_cache.stores.tiered import TieredCache

if TYPE_CHECKING:
    from armature_cache.codecs.base import Codec
    from armature_cache.codecs.sealed import SealedCodec

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
    isolate: bool = False,
    detect_mutation: bool = False,
    codec: Codec | SealedCodec | None = None,
    tiers: TieredCacheConfig | None = None,
    **settings: Any,
) -> TaggedCache:
    """The recommended cache for a URL, with tags.

    `redis://`, `rediss://`, `valkey://`, `valkeys://` and `unix://` give
    `TaggedCache(TieredCache(InMemoryCache(), RedisCache(...)))`; `memory://` gives
    `TaggedCache(InMemoryCache())`. `max_entries`, `max_bytes`, `isolate` and `detect_mutation` are
    those of the in-process tier, `codec` that of the shared one; further settings are those of
    `CacheConfig.redis`. Raises `ConfigError`.
    """
    scheme = url.partition("://")[0] if isinstance(url, str) else ""
    near: Any = {
        "max_entries": max_entries,
        "max_bytes": max_bytes,
        "isolate": isolate,
        "detect_mutation": detect_mutation,
    }
    if scheme == "memory":
        foreign = {"tiers": tiers, "codec": codec, **settings}
        for name in (name for name, given in foreign.items() if given is not None):
            raise ConfigError(f"memory:// has no setting {name!r}", field=name)
        return TaggedCache(InMemoryCache(default_ttl=default_ttl, **near))
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
    l2: CacheStore = RedisCache(config, codec=codec)
    return TaggedCache(TieredCache(InMemoryCache(**near), l2, tiered))
