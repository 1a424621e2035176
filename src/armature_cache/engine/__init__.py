"""The in-process engine: residency, eviction and expiry of entries."""

from .engine import Engine

__all__ = ["Engine"]
