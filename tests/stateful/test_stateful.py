"""Caches against a plain model: one in memory with its own time, two replicas over one server."""

from __future__ import annotations

import uuid
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule, run_state_machine_as_test

from armature_cache import (
    CacheConfig,
    InMemoryCache,
    RedisCache,
    SQLiteCache,
    TaggedCache,
    TieredCache,
    TieredCacheConfig,
)
from armature_cache.clocks.server_replica import ServerReplica
from armature_cache.testing import ClusterServers, RedisServer
from tests.contract.faces import ManualTime
from tests.stateful.drivers import KEYS, Driver, path_of
from tests.stateful.machine import KEY, SPACE, WHO, CacheMachine

pytestmark = pytest.mark.slow
BOUND = 10.0


class InMemory(CacheMachine):
    """One process; time is the machine's."""

    ttls = (None, 0.5, 5.0, 40.0)

    def open(self) -> list[Driver]:
        time = ManualTime()
        return [Driver(TaggedCache(InMemoryCache(time=time)), time, self.runner_of(0))]

    @rule(seconds=st.sampled_from((0.1, 0.5, 4.9, 31.0, 61.0)))
    def wait(self, seconds: float) -> None:
        self.drivers[0].time.now += seconds


class TwoReplicas(CacheMachine):
    """Two processes' worth of caches over one server or file; on one machine, time is one.

    Nothing syncs by itself: a bounded read may return whatever was current since its cache's last
    contact, until its time jumps beyond the bound; a strong one only what is current now.
    """

    shared = True
    ttls = (None, 6000.0)
    url: str

    def open(self) -> list[Driver]:
        namespace = uuid.uuid4().hex
        if self.url.startswith("sqlite:"):
            config = CacheConfig.sqlite(
                f"{self.url}/{namespace}", namespace=namespace, hints=False, staleness_bound=BOUND
            )
            time = ManualTime()
            return [self._one(config, time, number) for number in range(2)]
        config = CacheConfig.redis(
            self.url, namespace=namespace, hints=False, staleness_bound=BOUND
        )
        return [self._one(config, ManualTime(), number) for number in range(2)]

    def _one(self, config: CacheConfig, time: ManualTime, number: int) -> Driver:
        tiers = TieredCacheConfig(staleness_bound=BOUND)
        own = mock.Mock(side_effect=lambda _: ServerReplica())
        kind, store = ("sqlite", SQLiteCache) if config.file else ("redis", RedisCache)
        with mock.patch(f"armature_cache.stores.{kind}.replica_of", own):
            far = store(config, time=time)
        cache = TaggedCache(TieredCache(InMemoryCache(time=time), far, tiers))
        return Driver(cache, time, self.runner_of(number))

    @rule(who=WHO, seconds=st.sampled_from((1.0, BOUND + 1, 31.0, 61.0)))
    def jump(self, who: int, seconds: float) -> None:
        """Time goes by for one of the two, as after a suspend, or for both of one machine."""
        time = self.driver(who).time
        time.now += seconds
        for driver in self.drivers:
            if driver.time is time and seconds > BOUND:
                driver.seen = []

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


@pytest.mark.parametrize("face", ["async", "sync"])
def test_one_cache_in_memory(face: str) -> None:
    machine = type("Machine", (InMemory,), {"faces": (face,)})
    run_state_machine_as_test(
        machine, settings=settings(max_examples=40, stateful_step_count=40, deadline=None)
    )


FACES = pytest.mark.parametrize(
    "faces", [("async", "async"), ("sync", "sync"), ("async", "sync")], ids=" and ".join
)


@FACES
def test_two_replicas_over_a_server(server: RedisServer, faces: tuple[str, str]) -> None:
    run_two_replicas(server.url, faces)


@FACES
def test_two_replicas_over_a_file(tmp_path: Path, faces: tuple[str, str]) -> None:
    run_two_replicas(f"sqlite:///{tmp_path}", faces)


@pytest.mark.faults
@FACES
def test_two_replicas_over_a_cluster(cluster: ClusterServers, faces: tuple[str, str]) -> None:
    run_two_replicas(cluster.url, faces)


def run_two_replicas(url: str, faces: tuple[str, str]) -> None:
    machine = type("Machine", (TwoReplicas,), {"faces": faces, "url": url})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=12,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
