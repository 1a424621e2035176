"""The decorators: results of functions, cached under keys made of their arguments."""

from armature_cache.decorator.batch_functions import AsyncBatchFunction, BatchFunction
from armature_cache.decorator.batches import cache_batch
from armature_cache.decorator.calls import FunctionStats
from armature_cache.decorator.decorate import CacheDecorator, cache, cached
from armature_cache.decorator.defaults import get_default_cache, set_default_cache
from armature_cache.decorator.functions import AsyncCachedFunction, CachedFunction
from armature_cache.decorator.invalidations import cache_invalidate
from armature_cache.decorator.updates import cache_update

__all__ = [
    "AsyncBatchFunction",
    "AsyncCachedFunction",
    "BatchFunction",
    "CacheDecorator",
    "CachedFunction",
    "FunctionStats",
    "cache",
    "cache_batch",
    "cache_invalidate",
    "cache_update",
    "cached",
    "get_default_cache",
    "set_default_cache",
]
