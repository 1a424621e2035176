"""Clusters and Sentinel set-ups that tests break; each test gets them whole.

ring        one Cluster, shared: what a test killed or paused is brought back after it
watched     one Sentinel set-up, shared in the same way
group       a Cluster and a Sentinel set-up of each kind of server, which nobody breaks
open_at     opens the guide's stack at an address, and closes it after the test
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, Protocol

import pytest

from armature_cache import open_cache
from armature_cache.testing import ClusterServers, SentinelServers, find_valkey
from armature_cache.testing.group import ServerGroup
from tests.conftest import binary_of
from tests.contract.faces import Face


class OpenAt(Protocol):
    """Opens the guide's stack."""

    def __call__(self, url: str, *, face: str = "async", **settings: Any) -> Face: ...


@pytest.fixture
async def open_at(namespace: str):
    opened: list[Face] = []

    def build(url: str, *, face: str = "async", **settings: Any) -> Face:
        cache = open_cache(url, namespace=namespace, **settings)
        opened.append(Face(cache if face == "async" else cache.sync()))
        return opened[-1]

    yield build
    for cache in opened:
        await cache.close()


def _kinds() -> Iterator[Any]:
    for server in ("valkey9", "redis7"):
        marks = [pytest.mark.redis7] if server == "redis7" else []
        for shape in ("cluster", "sentinel"):
            yield pytest.param((shape, server), id=f"{shape}-{server}", marks=marks)


# Nothing fails over here, not even on a busy machine.
@pytest.fixture(scope="session", params=_kinds())
def group(request: pytest.FixtureRequest) -> Iterator[ServerGroup]:
    shape, server = request.param
    made: ServerGroup = (
        ClusterServers(binary=binary_of(server), node_timeout=30_000)
        if shape == "cluster"
        else SentinelServers(binary=binary_of(server), down_after=30_000)
    )
    with made as running:
        yield running


@pytest.fixture(scope="session")
def _ring() -> Iterator[ClusterServers]:
    with ClusterServers(binary=find_valkey()) as group:
        yield group


@pytest.fixture(scope="session")
def _watched() -> Iterator[SentinelServers]:
    with SentinelServers(binary=find_valkey()) as group:
        yield group


@pytest.fixture
async def ring(_ring: ClusterServers):
    yield _ring
    await asyncio.to_thread(_heal, _ring)


@pytest.fixture
async def watched(_watched: SentinelServers):
    yield _watched
    await asyncio.to_thread(_heal, _watched)


def narrowed(group: ServerGroup) -> str:
    """The address of a group by one of its servers."""
    scheme, _, rest = group.url.partition("://")
    hosts, slash, service = rest.partition("/")
    return f"{scheme}://{hosts.rpartition(',')[2]}{slash}{service}"


def _heal(group: ServerGroup) -> None:
    for server in group.servers:
        if server.paused:
            server.resume()
        elif not server.running:
            server.start()
    group.wait_ready()
