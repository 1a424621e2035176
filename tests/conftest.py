"""Fixtures for all tests.

An `async def` test or fixture just runs: anyio's plugin gives each test an event loop of its own,
asyncio in debug mode. Warnings are errors, so a coroutine that nobody awaited fails the test.

    valkey, redis7     one shared server each for the whole run
    server             both of them in turn, as ids valkey9 and redis7
    server_url         the address of `server`
    start_server       starts a server of the same two kinds for one test, to kill, pause or flush
    cluster, sentinel  one shared Cluster and one Sentinel set-up of each of the two kinds
    start_cluster, start_sentinel
                       start such a group for one test, to fail over or to move slots
    memcached, memcached_ring
                       one shared Memcached, and three that share their keys
    any_url            the address of each of all these that is not a group, and of a file, in turn
    start_memcached    starts one for one test
    namespace          a name that no other test uses: shared servers are never flushed

Tests that need Redis or Memcached are deselected, with a line that says so, where there is no
redis-server or memcached; with ARMATURE_REQUIRE_REDIS=1 they fail there instead.
"""

from __future__ import annotations

import contextlib
import os
import re
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import hypothesis
import pytest

from armature_cache.testing import (
    ClusterServers,
    MemcachedServer,
    RedisServer,
    SentinelServers,
    find_memcached,
    find_redis,
    find_valkey,
)
from armature_cache.testing.options import Option

from .time_limits import pytest_runtest_call, pytest_runtest_teardown  # noqa: F401  hooks

_KINDS = ["valkey9", pytest.param("redis7", marks=pytest.mark.redis7)]
_DESELECTED = pytest.StashKey[dict[str, int]]()


class Need(NamedTuple):
    """A server that is not in a wheel, and the fixtures that need it."""

    name: str
    binary: str
    find: Callable[[], Path | None]
    fixtures: frozenset[str]


_NEEDS = {
    "redis7": Need("Redis", "redis-server", find_redis, frozenset({"redis7"})),
    "memcached": Need(
        "Memcached",
        "memcached",
        find_memcached,
        frozenset({"memcached", "memcached_ring", "start_memcached"}),
    ),
}

# No deadline: a busy machine is not a failure. The timeout per test holds.
hypothesis.settings.register_profile("armature", deadline=None, print_blob=True)
hypothesis.settings.load_profile("armature")


class StartServer(Protocol):
    """Starts a server that ends with the test."""

    def __call__(self, options: Mapping[str, Option] | None = None) -> RedisServer: ...


class StartCluster(Protocol):
    """Starts a Cluster that ends with the test."""

    def __call__(
        self, *, masters: int = 3, replicas: int = 1, options: Mapping[str, Option] | None = None
    ) -> ClusterServers: ...


class StartSentinel(Protocol):
    """Starts a Sentinel set-up that ends with the test."""

    def __call__(
        self, *, replicas: int = 1, options: Mapping[str, Option] | None = None
    ) -> SentinelServers: ...


class StartMemcached(Protocol):
    """Starts a Memcached server that ends with the test."""

    def __call__(self, arguments: Sequence[str] = (), **options: Any) -> MemcachedServer: ...


def pytest_make_parametrize_id(val: object) -> str | None:
    """A value's own words, without its address: every run names its tests alike."""
    named = isinstance(val, str | int | float | bool | None) or hasattr(val, "__name__")
    return None if named else re.sub(r" at 0x[0-9a-f]+", "", repr(val))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        for marker, need in _NEEDS.items():
            if not need.fixtures.isdisjoint(fixtures):
                item.add_marker(marker)
    if os.environ.get("ARMATURE_REQUIRE_REDIS") == "1":
        return
    counts = config.stash[_DESELECTED] = {}
    for marker, need in _NEEDS.items():
        if need.find():
            continue
        without = [item for item in items if item.get_closest_marker(marker)]
        if without:
            items[:] = [item for item in items if item not in without]
            counts[marker] = len(without)
            config.hook.pytest_deselected(items=without)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    for marker, count in config.stash.get(_DESELECTED, {}).items():
        need = _NEEDS[marker]
        terminalreporter.write_line(
            f"NOT RUN: {count} tests need {need.name}, and no {need.binary} was found on the PATH",
            yellow=True,
        )


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"debug": True}


@pytest.fixture(scope="session")
def valkey() -> Iterator[RedisServer]:
    with RedisServer(binary=binary_of("valkey9")) as running:
        yield running


@pytest.fixture(scope="session")
def redis7() -> Iterator[RedisServer]:
    with RedisServer(binary=binary_of("redis7")) as running:
        yield running


@pytest.fixture(scope="session", params=_KINDS)
def server(request: pytest.FixtureRequest) -> RedisServer:
    running = request.getfixturevalue("valkey" if request.param == "valkey9" else "redis7")
    assert isinstance(running, RedisServer)
    return running


@pytest.fixture(scope="session")
def server_url(server: RedisServer) -> str:
    return server.url


@pytest.fixture(params=_KINDS)
def start_server(request: pytest.FixtureRequest) -> Iterator[StartServer]:
    with contextlib.ExitStack() as running:

        def start(options: Mapping[str, Option] | None = None) -> RedisServer:
            own = RedisServer(binary=binary_of(request.param), options=options)
            return running.enter_context(own)

        yield start


# Nothing fails over in the shared groups, not even on a busy machine.
@pytest.fixture(scope="session", params=_KINDS)
def cluster(request: pytest.FixtureRequest) -> Iterator[ClusterServers]:
    with ClusterServers(binary=binary_of(request.param), node_timeout=30_000) as running:
        yield running


@pytest.fixture(scope="session", params=_KINDS)
def sentinel(request: pytest.FixtureRequest) -> Iterator[SentinelServers]:
    with SentinelServers(binary=binary_of(request.param), down_after=30_000) as running:
        yield running


@pytest.fixture(params=_KINDS)
def start_cluster(request: pytest.FixtureRequest) -> Iterator[StartCluster]:
    with contextlib.ExitStack() as running:

        def start(
            *, masters: int = 3, replicas: int = 1, options: Mapping[str, Option] | None = None
        ) -> ClusterServers:
            binary = binary_of(request.param)
            own = ClusterServers(masters=masters, replicas=replicas, binary=binary, options=options)
            return running.enter_context(own)

        yield start


@pytest.fixture(params=_KINDS)
def start_sentinel(request: pytest.FixtureRequest) -> Iterator[StartSentinel]:
    with contextlib.ExitStack() as running:

        def start(
            *, replicas: int = 1, options: Mapping[str, Option] | None = None
        ) -> SentinelServers:
            own = SentinelServers(
                replicas=replicas, binary=binary_of(request.param), options=options
            )
            return running.enter_context(own)

        yield start


@pytest.fixture(scope="session")
def memcached() -> Iterator[MemcachedServer]:
    with MemcachedServer() as running:
        yield running


@pytest.fixture(scope="session")
def memcached_ring() -> Iterator[list[MemcachedServer]]:
    with contextlib.ExitStack() as running:
        yield [running.enter_context(MemcachedServer()) for _ in range(3)]


@pytest.fixture(
    scope="session",
    params=[
        *_KINDS,
        "file",
        *(pytest.param(kind, marks=pytest.mark.memcached) for kind in ("memcached", "ring")),
    ],
)
def any_url(request: pytest.FixtureRequest) -> str:
    if request.param == "file":
        folder = request.getfixturevalue("tmp_path_factory").mktemp("any")
        return f"sqlite:///{folder}/cache.db"
    fixture = {"valkey9": "valkey", "ring": "memcached_ring"}.get(request.param, request.param)
    servers = request.getfixturevalue(fixture)
    return joined(servers) if isinstance(servers, list) else str(servers.url)


@pytest.fixture
def start_memcached() -> Iterator[StartMemcached]:
    with contextlib.ExitStack() as running:

        def start(arguments: Sequence[str] = (), **options: Any) -> MemcachedServer:
            return running.enter_context(MemcachedServer(arguments=arguments, **options))

        yield start


@pytest.fixture
def namespace() -> str:
    # Not from `random`: pytest-randomly seeds it alike for every test.
    return f"t{uuid.uuid4().hex[:12]}"


def joined(servers: Sequence[MemcachedServer]) -> str:
    """The address of several servers that share their keys."""
    return "memcached://" + ",".join(f"{server.host}:{server.port}" for server in servers)


def binary_of(kind: str) -> Path:
    """The binary of a kind of server: valkey9 or redis7."""
    binary = find_valkey() if kind == "valkey9" else find_redis()
    if binary is None:
        pytest.fail(f"no server binary for {kind}")
    return binary
