"""The Lua scripts of the coherence protocol."""

from armature_cache.redisio.scripts.clock import BUMP, CHECK, OFFER, SET
from armature_cache.redisio.scripts.sync import RESIGN, SYNC
from armature_cache.redisio.scripts.values import (
    BURY,
    CLAIM,
    FILL,
    INCREMENT,
    PLACE,
    PRUNE,
    RECLAIM,
    RELEASE,
    SAME,
    TOUCH,
    WAKE,
)

__all__ = [
    "BUMP",
    "BURY",
    "CHECK",
    "CLAIM",
    "FILL",
    "INCREMENT",
    "OFFER",
    "PLACE",
    "PRUNE",
    "RECLAIM",
    "RELEASE",
    "RESIGN",
    "SAME",
    "SET",
    "SYNC",
    "TOUCH",
    "WAKE",
]
