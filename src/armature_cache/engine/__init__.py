"""The in-process engine: residency, eviction and expiry of entries."""

from armature_cache.engine.engine import Engine

__all__ = ["Engine"]
