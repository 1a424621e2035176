"""What the workers talk to: servers that can be broken, and the wires before them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from armature_cache.redisio.names import Names
from armature_cache.testing import (
    ClusterServers,
    RedisServer,
    SentinelServers,
    find_redis,
    find_valkey,
)
from armature_cache.testing.group import ServerGroup
from tests.torture.space import COUNTER_NAMESPACE, NAMESPACE
from tests.torture.wires import Wires


class Topology:
    """The servers of one kind; `group` is none where there is a single server."""

    def __init__(self, servers: list[RedisServer], url: str, group: ServerGroup | None) -> None:
        self.servers = servers
        self.url = url
        self.group = group
        clustered = isinstance(group, ClusterServers)
        self.names = Names(NAMESPACE, clustered=clustered)
        self.count_names = Names(COUNTER_NAMESPACE, clustered=clustered)

    @property
    def cluster(self) -> ClusterServers | None:
        """The servers, if they are a Cluster."""
        return self.group if isinstance(self.group, ClusterServers) else None

    @property
    def watched(self) -> SentinelServers | None:
        """The servers, if they are watched by Sentinels."""
        return self.group if isinstance(self.group, SentinelServers) else None

    @property
    def data(self) -> list[RedisServer]:
        """The servers that hold data."""
        return self.servers if self.group is None else self.group.nodes

    def primaries(self) -> list[RedisServer]:
        """The servers that are written to now."""
        if self.cluster is not None:
            return self.cluster.masters()
        return self.servers if self.watched is None else [self.watched.primary()]

    def holder(self, name: str) -> RedisServer:
        """The primary that has a key of the server."""
        if self.cluster is not None:
            return self.cluster.owner_of(name)
        return self.primaries()[0]

    def replicas_of(self, primary: RedisServer) -> list[RedisServer]:
        """Its replicas that run."""
        found: list[RedisServer] = []
        if self.cluster is not None:
            found = self.cluster.replicas_of(primary)
        elif self.watched is not None:
            found = self.watched.replicas()
        return [each for each in found if each.running and not each.paused]

    def heal(self) -> None:
        """Bring back what was killed or frozen, and wait until all is well."""
        for server in self.servers:
            if server.paused:
                server.resume()
            elif not server.running:
                server.start()
        if self.group is not None:
            self.group.wait_ready()

    def wires(self, workers: int) -> Wires:
        """Proxies before all servers."""
        return Wires([(server.host, server.port) for server in self.servers], workers)


def _binary(server: str) -> Path:
    found = {"valkey": find_valkey, "redis": find_redis}[server]()
    if found is None:
        raise SystemExit(f"no server binary for {server}")
    return found


_PATIENCE: Final = 60.0
_FENCED: Final = {"min-replicas-to-write": 1, "min-replicas-max-lag": 2}
"""Sentinels let an old primary go on for a moment; nothing but this tells it that it is alone."""

TOPOLOGIES: Final = ("standalone", "cluster", "sentinel", "ring")
SERVERS: Final = ("valkey", "redis", "memcached")


@contextlib.contextmanager
def open_topology(name: str, server: str) -> Iterator[Topology]:
    """Start a topology; its name is one of `TOPOLOGIES`."""
    if server == "memcached":
        from tests.torture.memcached import open_memcached

        with open_memcached(name) as topology:
            yield topology
        return
    binary = _binary(server)
    if name == "standalone":
        with RedisServer(binary=binary) as single:
            yield Topology([single], single.url, None)
        return
    group: ServerGroup = (
        ClusterServers(binary=binary, node_timeout=2000, timeout=_PATIENCE)
        if name == "cluster"
        else SentinelServers(
            binary=binary, replicas=2, options=_FENCED, down_after=1500, timeout=_PATIENCE
        )
    )
    with group:
        yield Topology(group.servers, group.url, group)
