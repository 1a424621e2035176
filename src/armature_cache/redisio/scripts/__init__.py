"""The Lua scripts of the coherence protocol."""

from armature_cache.redisio.scripts.clock import BUMP, CHECK, OFFER, SET, SYNC
from armature_cache.redisio.scripts.values import BURY, FILL, INCREMENT, PLACE, PRUNE, SAME

__all__ = [
    "BUMP",
    "BURY",
    "CHECK",
    "FILL",
    "INCREMENT",
    "OFFER",
    "PLACE",
    "PRUNE",
    "SAME",
    "SET",
    "SYNC",
]
