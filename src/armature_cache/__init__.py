"""Armature Cache: tiers, tags and decorators that stay coherent across processes.

The classes here are awaited; `armature_cache.sync` has the same ones without `await`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Final

from armature_cache.advice import Advice
from armature_cache.clocks.coherence import CoherenceStats
from armature_cache.codecs.types import register_type
from armature_cache.config import CacheConfig
from armature_cache.decorator import (
    AsyncBatchFunction,
    AsyncCachedFunction,
    BatchFunction,
    CachedFunction,
    FunctionStats,
    cache,
    cache_batch,
    cache_invalidate,
    cache_update,
    get_default_cache,
    set_default_cache,
)
from armature_cache.errors import (
    AuthenticationFailed,
    BackendError,
    BackendTimeout,
    BackendUnavailable,
    CacheError,
    CacheKeyError,
    ClosedError,
    CodecError,
    ConfigError,
    CounterError,
    InvalidationError,
    InvalidTag,
    InvalidTTL,
    LoadCancelled,
    LoadFailed,
    LoadTimeout,
    NotLoaded,
    NotSupported,
    PartialLoadError,
    StaleTopology,
    TagsNotSupported,
    UndecodablePayload,
    UnsupportedValue,
    ValueTooLarge,
)
from armature_cache.keys import CacheKeyWarning
from armature_cache.load_context import LoadContext, load_context
from armature_cache.opening import open_cache, open_cache_from_env, open_cache_from_mapping
from armature_cache.policy import LoadPolicy
from armature_cache.registry import CacheRegistry
from armature_cache.scopes import request_scope
from armature_cache.stores.base import CacheStore
from armature_cache.stores.draft import Mark
from armature_cache.stores.memory import InMemoryCache
from armature_cache.stores.namespaced import NamespacedCache
from armature_cache.stores.null import NullCache
from armature_cache.stores.stats import CacheStats
from armature_cache.stores.tagged import TaggedCache
from armature_cache.stores.tier_config import TieredCacheConfig
from armature_cache.stores.tiered import TieredCache

if TYPE_CHECKING:
    from armature_cache.codecs.base import Codec
    from armature_cache.codecs.compression import Lz4, Zstd
    from armature_cache.codecs.json import JsonCodec
    from armature_cache.codecs.keyring import KeyRing
    from armature_cache.codecs.msgpack import MessagePackCodec
    from armature_cache.codecs.pickle import PickleCodec
    from armature_cache.codecs.sealed import SealedCodec
    from armature_cache.stores.isolation import CacheMutationWarning
    from armature_cache.stores.memcached import MemcachedCache
    from armature_cache.stores.redis import RedisCache
    from armature_cache.stores.sqlite import SQLiteCache

__version__ = "0.1.0"

__all__ = [
    "Advice",
    "AsyncBatchFunction",
    "AsyncCachedFunction",
    "AuthenticationFailed",
    "BackendError",
    "BackendTimeout",
    "BackendUnavailable",
    "BatchFunction",
    "CacheConfig",
    "CacheError",
    "CacheKeyError",
    "CacheKeyWarning",
    "CacheMutationWarning",
    "CacheRegistry",
    "CacheStats",
    "CacheStore",
    "CachedFunction",
    "ClosedError",
    "Codec",
    "CodecError",
    "CoherenceStats",
    "ConfigError",
    "CounterError",
    "FunctionStats",
    "InMemoryCache",
    "InvalidTTL",
    "InvalidTag",
    "InvalidationError",
    "JsonCodec",
    "KeyRing",
    "LoadCancelled",
    "LoadContext",
    "LoadFailed",
    "LoadPolicy",
    "LoadTimeout",
    "Lz4",
    "Mark",
    "MemcachedCache",
    "MessagePackCodec",
    "NamespacedCache",
    "NotLoaded",
    "NotSupported",
    "NullCache",
    "PartialLoadError",
    "PickleCodec",
    "RedisCache",
    "SQLiteCache",
    "SealedCodec",
    "StaleTopology",
    "TaggedCache",
    "TagsNotSupported",
    "TieredCache",
    "TieredCacheConfig",
    "UndecodablePayload",
    "UnsupportedValue",
    "ValueTooLarge",
    "Zstd",
    "cache",
    "cache_batch",
    "cache_invalidate",
    "cache_update",
    "get_default_cache",
    "load_context",
    "open_cache",
    "open_cache_from_env",
    "open_cache_from_mapping",
    "register_type",
    "request_scope",
    "set_default_cache",
]

_LAZY: Final = {
    "CacheMutationWarning": "armature_cache.stores.isolation",
    "Codec": "armature_cache.codecs.base",
    "JsonCodec": "armature_cache.codecs.json",
    "KeyRing": "armature_cache.codecs.keyring",
    "Lz4": "armature_cache.codecs.compression",
    "MemcachedCache": "armature_cache.stores.memcached",
    "MessagePackCodec": "armature_cache.codecs.msgpack",
    "PickleCodec": "armature_cache.codecs.pickle",
    "RedisCache": "armature_cache.stores.redis",
    "SQLiteCache": "armature_cache.stores.sqlite",
    "SealedCodec": "armature_cache.codecs.sealed",
    "Zstd": "armature_cache.codecs.compression",
}


def __getattr__(name: str) -> object:
    """What is imported at its first use, for the sake of the import time."""
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'armature_cache' has no attribute {name!r}")
