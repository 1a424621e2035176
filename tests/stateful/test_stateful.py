"""Caches against a plain model: one in memory with its own time, two replicas over one server."""

from __future__ import annotations

import uuid
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule, run_state_machine_as_test

from armature_cache import CacheConfig, InMemoryCache, RedisCache, TaggedCache, TieredCache
from armature_cache.clocks.server_replica import ServerReplica
from armature_cache.testing import RedisServer
from tests.contract.faces import ManualTime
from tests.stateful.drivers import KEYS, Driver, path_of
from tests.stateful.machine import KEY, SPACE, WHO, CacheMachine

pytestmark = pytest.mark.slow


class InMemory(CacheMachine):
    """One process; time is the machine's."""

    ttls = (None, 0.5, 5.0, 40.0)

    def open(self) -> list[Driver]:
        self.time = ManualTime()
        cache: Any = TaggedCache(InMemoryCache(time=self.time))
        return [Driver(cache if self.awaited else cache.sync(), self.runner)]

    @rule(seconds=st.sampled_from((0.1, 0.5, 4.9, 31.0, 61.0)))
    def wait(self, seconds: float) -> None:
        self.time.now += seconds
        self.model.now = self.time.now


class TwoReplicas(CacheMachine):
    """Two processes' worth of caches over one server.

    The bound is so long that nothing syncs by itself: a bounded read may return whatever was
    current since its cache's last contact, and a strong one only what is current now.
    """

    shared = True
    ttls = (None, 600.0)
    server: RedisServer

    def open(self) -> list[Driver]:
        namespace = uuid.uuid4().hex
        config = CacheConfig.redis(
            self.server.url, namespace=namespace, hints=False, staleness_bound=3600
        )
        return [self._one(config) for _ in range(2)]

    def _one(self, config: CacheConfig) -> Driver:
        own = mock.Mock(side_effect=lambda _: ServerReplica())
        with mock.patch("armature_cache.stores.redis.replica_of", own):
            cache: Any = TaggedCache(TieredCache(InMemoryCache(), RedisCache(config)))
        return Driver(cache if self.awaited else cache.sync(), self.runner)

    def _values(self) -> dict[str, object]:
        alive = {path: self.model.alive(path) for path in self.model.items}
        return {path: item.value for path, item in alive.items() if item is not None}

    @invariant()
    def may_still_be_served(self) -> None:
        """Remember what a cache that has not heard of the last step may still return."""
        for driver in self.drivers:
            driver.seen.append(self._values())

    @rule(who=WHO, space=SPACE)
    def bounded_reads(self, who: int, space: int) -> None:
        driver = self.driver(who)
        for key in KEYS:
            path = path_of(space, key)
            allowed = [seen.get(path, "nothing") for seen in driver.seen]
            assert driver(space, "get_many", [key]).get(key, "nothing") in allowed
            driver.leases.pop(path, None)
            driver(space, "get", key, **self.strong())
            self.expect(driver, space, key, driver(space, "get", key, "nothing"))
        driver.seen = []

    @rule(who=WHO, space=SPACE, key=KEY)
    def bounded_read_after_strong(self, who: int, space: int, key: str) -> None:
        driver = self.driver(who)
        self.expect(driver, space, key, driver(space, "get", key, "nothing", **self.strong()))
        self.expect(driver, space, key, driver(space, "get", key, "nothing"))
        driver.seen = []


@pytest.mark.parametrize("awaited", [True, False], ids=["async", "sync"])
def test_one_cache_in_memory(awaited: bool) -> None:
    machine = type("Machine", (InMemory,), {"awaited": awaited})
    run_state_machine_as_test(
        machine, settings=settings(max_examples=40, stateful_step_count=40, deadline=None)
    )


@pytest.mark.parametrize("awaited", [True, False], ids=["async", "sync"])
def test_two_replicas_over_a_server(server: RedisServer, awaited: bool) -> None:
    machine = type("Machine", (TwoReplicas,), {"awaited": awaited, "server": server})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=12,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
