"""The same random programs give the same answers, wherever a cache keeps its entries."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings

from armature_cache import (
    CacheConfig,
    InMemoryCache,
    MemcachedCache,
    RedisCache,
    SQLiteCache,
    TaggedCache,
    TieredCache,
)
from armature_cache.clocks.nonces import NonceReplica
from armature_cache.clocks.server_replica import ServerReplica
from tests.contract.faces import ManualTime
from tests.differential.programs import PROGRAMS, Step, run
from tests.stateful.drivers import Driver

pytestmark = pytest.mark.slow
Far = RedisCache | MemcachedCache | SQLiteCache


class Place(NamedTuple):
    """Where entries are kept: how to open the store there, and the registry of its replicas."""

    open: Callable[[], Far]
    registry: str
    replica: Callable[[], Any]


def _on_redis(url: str, namespace: str) -> Place:
    config = CacheConfig.redis(url, namespace=namespace, hints=False)
    return Place(lambda: RedisCache(config), "redis.replica_of", ServerReplica)


def _on_memcached(url: str, namespace: str) -> Place:
    config = CacheConfig.memcached([url], namespace=namespace, hints=False)
    return Place(lambda: MemcachedCache(config), "memcached.nonce_replica_of", NonceReplica)


@pytest.fixture(params=["valkey", "redis7", "memcached", "sqlite"])
def place(request: pytest.FixtureRequest, namespace: str, tmp_path: Path) -> Place:
    if request.param == "sqlite":
        config = CacheConfig.sqlite(f"sqlite:///{tmp_path}/cache", namespace=namespace, hints=False)
        return Place(lambda: SQLiteCache(config), "sqlite.replica_of", ServerReplica)
    url = request.getfixturevalue(request.param).url
    return (_on_memcached if request.param == "memcached" else _on_redis)(url, namespace)


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as made:
        yield made


def _two(place: Place, wrap: Callable[[Far], Any]) -> list[Any]:
    """Two caches that know of one another only through what they share."""
    made = []
    for _ in range(2):
        own = mock.Mock(side_effect=lambda *_: place.replica())
        with mock.patch(f"armature_cache.stores.{place.registry}", own):
            made.append(TaggedCache(wrap(place.open())))
    return made


def _within(caches: list[Any], runner: asyncio.Runner | None) -> list[Driver]:
    """The caches, of either face, as a program that begins with nothing sees them."""
    name = uuid.uuid4().hex
    return [Driver(cache.namespace(name), ManualTime(), runner) for cache in caches]


def _agree(caches: list[Any], runner: asyncio.Runner | None, examples: int) -> None:
    @settings(max_examples=examples, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
    @given(PROGRAMS)
    def check(program: list[Step]) -> None:
        found = run(program, _within(caches, runner))
        reference = TaggedCache(InMemoryCache())
        expected = run(program, _within([reference], runner))
        for step, one, other in zip(program, found, expected, strict=True):
            assert one == other, step

    check()


WRAPS: dict[str, Callable[[Far], Any]] = {
    "alone": lambda far: far,
    "tiered": lambda far: TieredCache(InMemoryCache(), far),
    "three": lambda far: TieredCache(InMemoryCache(), TieredCache(InMemoryCache(), far)),
}


@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize("face", ["async", "sync"])
def test_every_place_and_tiering(
    place: Place, runner: asyncio.Runner, face: str, wrap: str, examples: int
) -> None:
    driven = runner if face == "async" else None
    caches = _two(place, WRAPS[wrap])
    if driven is None:
        caches = [cache.sync() for cache in caches]
    try:
        _agree(caches, driven, examples)
    finally:
        for cache in caches:
            Driver(cache, ManualTime(), driven).close()


@pytest.mark.parametrize("face", ["async", "sync"])
def test_a_tier_in_memory_over_another(runner: asyncio.Runner, face: str, examples: int) -> None:
    cache = TaggedCache(TieredCache(InMemoryCache(), InMemoryCache()))
    _agree([cache], runner if face == "async" else None, examples)
