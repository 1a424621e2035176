"""Help for tests, the library's own and its users'."""

from __future__ import annotations

from armature_cache.testing.binaries import find_redis, find_valkey
from armature_cache.testing.servers import RedisServer, ServerError

__all__ = ["RedisServer", "ServerError", "find_redis", "find_valkey"]
