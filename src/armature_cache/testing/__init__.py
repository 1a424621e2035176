"""Help for tests, the library's own and its users'."""

from __future__ import annotations

from armature_cache.testing.binaries import find_memcached, find_redis, find_valkey
from armature_cache.testing.chaos import (
    Chaos,
    ChaosCache,
    Corrupt,
    Delay,
    Fail,
    Garbage,
    Hang,
    Lose,
    Ok,
    in_chaos,
)
from armature_cache.testing.cluster import ClusterServers
from armature_cache.testing.disabling import disabled
from armature_cache.testing.errors import ServerError
from armature_cache.testing.faketime import FakeTime
from armature_cache.testing.memcached import MemcachedServer
from armature_cache.testing.sentinel import SentinelServers
from armature_cache.testing.servers import RedisServer
from armature_cache.testing.slots import SlotMove, slot_of

__all__ = [
    "Chaos",
    "ChaosCache",
    "ClusterServers",
    "Corrupt",
    "Delay",
    "Fail",
    "FakeTime",
    "Garbage",
    "Hang",
    "Lose",
    "MemcachedServer",
    "Ok",
    "RedisServer",
    "SentinelServers",
    "ServerError",
    "SlotMove",
    "disabled",
    "find_memcached",
    "find_redis",
    "find_valkey",
    "in_chaos",
    "slot_of",
]
