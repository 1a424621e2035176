"""Help for tests, the library's own and its users'."""

from __future__ import annotations

from armature_cache.testing.binaries import find_redis, find_valkey
from armature_cache.testing.cluster import ClusterServers
from armature_cache.testing.errors import ServerError
from armature_cache.testing.sentinel import SentinelServers
from armature_cache.testing.servers import RedisServer
from armature_cache.testing.slots import SlotMove, slot_of

__all__ = [
    "ClusterServers",
    "RedisServer",
    "SentinelServers",
    "ServerError",
    "SlotMove",
    "find_redis",
    "find_valkey",
    "slot_of",
]
