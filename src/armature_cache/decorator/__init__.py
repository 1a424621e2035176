"""The decorator: results of functions, cached under keys made of their arguments."""

from armature_cache.decorator.calls import FunctionStats
from armature_cache.decorator.decorate import CacheDecorator, cache, cached
from armature_cache.decorator.defaults import get_default_cache, set_default_cache
from armature_cache.decorator.functions import AsyncCachedFunction, CachedFunction

__all__ = [
    "AsyncCachedFunction",
    "CacheDecorator",
    "CachedFunction",
    "FunctionStats",
    "cache",
    "cached",
    "get_default_cache",
    "set_default_cache",
]
