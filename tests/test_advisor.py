"""What the advisor finds on real servers, and that it says it once."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import inspect
import logging
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from armature_cache import (
    Advice,
    CacheConfig,
    InMemoryCache,
    RedisCache,
    TaggedCache,
    open_cache,
)
from armature_cache._time import boottime
from armature_cache.clocks import advisor, formats
from armature_cache.clocks.limits import MAX_SHARED_TAGS
from tests.coherence.ports import tap
from tests.conftest import StartCluster, StartSentinel, StartServer
from tests.contract.faces import DEADLINE, eventually
from tests.torture.proxy import Proxy, Rule

pytestmark = pytest.mark.slow

EVICTING = {"maxmemory": "200mb", "maxmemory-policy": "allkeys-lru"}


def codes(found: tuple[Advice, ...]) -> list[str]:
    return [each.code for each in found]


async def found_at(url: str, namespace: str = "shop", **settings: Any) -> tuple[Advice, ...]:
    async with open_cache(url, namespace=namespace, hints=False, **settings) as cache:
        return await cache.advise()


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """The codes that were logged so far, with repetitions."""

    def look() -> list[str]:
        words = [word for each in caplog.records for word in each.getMessage().split()[1:2]]
        return [word for word in words if word.startswith("AC1")]

    caplog.set_level(logging.DEBUG, "armature_cache")
    return look


async def until_logged(logged: Callable[[], list[str]], code: str) -> None:
    async def there() -> bool:
        return code in logged()

    await eventually(there, code)


async def test_a_good_set_up_draws_no_advice(server_url: str, namespace: str):
    assert await found_at(server_url, namespace) == ()
    assert await InMemoryCache().advise() == ()
    assert await open_cache("memory://").advise() == ()
    assert open_cache("memory://").sync().advise() == ()


async def test_every_store_hands_advice_through(start_server: StartServer):
    url = start_server(EVICTING).url
    async with open_cache(url, namespace="shop", hints=False) as cache:
        (advice,) = await cache.advise()
        assert advice.code == "AC101"
        assert "allkeys-lru" in advice.message
        assert "not set yet" not in advice.message
        assert "volatile-" in advice.advice
        assert str(advice) == f"AC101 {advice.message}; {advice.advice}"
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(advice, "code", "AC0")  # noqa: B010 - what a checker would refuse
        assert await cache.namespace("part").advise() == (advice,)
        with contextlib.closing(cache.sync()) as plain:
            assert plain.advise() == (advice,)
    async with TaggedCache(RedisCache(CacheConfig.redis(url, namespace="shop"))) as bare:
        assert await bare.advise() == (advice,)


async def test_eviction_that_is_not_in_force_yet_is_told_as_such(start_server: StartServer):
    (advice,) = await found_at(start_server({"maxmemory-policy": "allkeys-lfu"}).url)
    assert "allkeys-lfu, though maxmemory is not set yet" in advice.message
    for policy in ("noeviction", "volatile-lru"):
        assert await found_at(start_server({"maxmemory-policy": policy}).url) == ()


async def test_it_is_looked_at_in_the_background_and_told_once(
    start_server: StartServer, logged: Callable[[], list[str]]
):
    url = start_server(EVICTING).url
    async with open_cache(url, namespace="one") as one, open_cache(url, namespace="two") as two:
        await one.get("a")
        await until_logged(logged, "AC101")
        await two.get("a")
        replica: Any = two.clock.replica

        async def looked() -> bool:
            return bool(replica.syncs)

        await eventually(looked, "a sync of the second")
        with contextlib.closing(one.sync()) as plain:
            plain.get("a")
        await one.advise()
    assert logged() == ["AC101"]


async def test_without_hints_nothing_is_done_in_the_background(
    start_server: StartServer, logged: Callable[[], list[str]]
):
    server = start_server(EVICTING)
    async with open_cache(server.url, namespace="shop", hints=False) as cache:
        await cache.set("a", 1)
        await cache.get("a")
    assert logged() == []
    with contextlib.closing(redis.Redis(port=server.port)) as client:
        stats: Any = client.info("commandstats")
        assert "cmdstat_scan" not in stats


async def test_a_look_is_cheap(server_url: str, namespace: str):
    async with RedisCache(CacheConfig.redis(server_url, namespace=namespace, hints=False)) as cache:
        await cache.set_many({f"key:{number}": number for number in range(200)})
        counted = tap(cache)
        await cache.advise()
        assert counted.sent <= 8


async def test_a_replica_is_the_wrong_place(
    start_server: StartServer, logged: Callable[[], list[str]]
):
    primary, replica = start_server(), start_server()
    with contextlib.closing(redis.Redis(port=replica.port)) as client:
        client.replicaof("127.0.0.1", primary.port)
    assert codes(await found_at(replica.url)) == ["AC102"]
    async with open_cache(replica.url, namespace="shop") as cache:
        assert await cache.get("a") is None
        await until_logged(logged, "AC102")
    assert await found_at(primary.url) == ()


async def test_the_default_namespace_is_shared_by_all(server_url: str):
    async with open_cache(server_url, hints=False) as cache:
        assert codes(await cache.advise()) == ["AC103"]


@contextlib.asynccontextmanager
async def behind(port: int, rule: Rule) -> AsyncIterator[int]:
    """A port that leads to another one, under a rule."""
    proxy = Proxy(("127.0.0.1", port))
    proxy.rule = rule
    listening = await proxy.listen()
    async with proxy._server:
        yield listening
        for writer in proxy._writers:
            writer.transport.abort()


async def test_a_bound_below_the_round_trip(server: Any, namespace: str):
    async with behind(server.port, Rule(delay=0.02)) as port:
        url = f"redis://127.0.0.1:{port}"
        (advice,) = await found_at(url, namespace, staleness_bound=0.01)
        assert advice.code == "AC104"
        assert "staleness_bound is 10 ms" in advice.message
        assert await found_at(url, f"{namespace}y", staleness_bound=5.0) == ()
        config = CacheConfig.redis(url, namespace=namespace + "x", staleness_bound=5.0)
        async with RedisCache(config) as store:
            store.clock.declare_bound(0.01)  # that of a tier above
            assert codes(await store.advise()) == ["AC104"]


@pytest.mark.slow
async def test_a_clock_that_is_nearly_full(start_server: StartServer):
    server = start_server()
    fill = "for i = ARGV[1], ARGV[2] do redis.call('ZADD', KEYS[1], i, 'tag' .. i) end"
    with contextlib.closing(redis.Redis(port=server.port, socket_timeout=DEADLINE)) as client:
        step = MAX_SHARED_TAGS // 10
        for at in range(0, MAX_SHARED_TAGS * 7 // 10, step):
            client.eval(fill, 1, "{shop}:c", str(at + 1), str(at + step))
        assert await found_at(server.url) == ()
        client.eval(fill, 1, "{shop}:c", str(7 * step), str(8 * step))
    (advice,) = await found_at(server.url)
    assert advice.code == "AC105"
    assert "of at most 1,000,000" in advice.message


async def test_entries_of_another_format(
    start_server: StartServer, logged: Callable[[], list[str]]
):
    server = start_server()
    async with open_cache(server.url, namespace="shop", hints=False) as cache:
        with contextlib.closing(redis.Redis(port=server.port)) as client:
            await cache.set_many({"a": 1, "b": 2})
            assert await cache.advise() == ()
            name = "{shop:0}:v:a"
            raw: Any = client.get(name)
            client.set(name, raw[:2] + b"\x07" + raw[3:])
            client.set("{shop:0}:v:other", b"not of ours")
        (advice,) = await cache.advise()
        assert advice.code == "AC106"
        assert "of format 7" in advice.message
        assert logged() == []
        fresh = open_cache(server.url.replace("127.0.0.1", "localhost"), namespace="shop")
        async with fresh:
            assert await fresh.get("a") is None
            assert logged() == ["AC106"]
            assert await fresh.get("a") is None
            assert codes(await fresh.advise()) == ["AC106"]
    assert logged() == ["AC106"]


async def test_hints_that_never_arrive(start_server: StartServer, logged: Callable[[], list[str]]):
    """Time runs tenfold for the one who listens, so that it need not take long."""
    server = start_server()
    settings: Any = {"namespace": "shop", "staleness_bound": 0.5}
    async with behind(server.port, Rule(hints=False)) as port, asyncio.timeout(DEADLINE):
        config = CacheConfig.redis(f"redis://127.0.0.1:{port}", **settings)
        listener = TaggedCache(RedisCache(config, time=lambda: boottime() * 10))
        other = open_cache(server.url.replace("127.0.0.1", "localhost"), **settings)
        async with listener, other:
            number = 0
            while "AC107" not in logged():
                number += 1
                await other.invalidate_tag(f"tag:{number}")
                await listener.get("a")
                await asyncio.sleep(0.005)
            assert "AC107" in codes(await listener.advise())


async def test_hints_that_arrive_draw_no_advice(
    start_server: StartServer, logged: Callable[[], list[str]]
):
    server = start_server()
    settings: Any = {"namespace": "shop", "staleness_bound": 0.5}
    config = CacheConfig.redis(server.url, **settings)
    listener = TaggedCache(RedisCache(config, time=lambda: boottime() * 10))
    other = open_cache(server.url.replace("127.0.0.1", "localhost"), **settings)
    async with listener, other, asyncio.timeout(DEADLINE):
        begun, number, observed = boottime(), 0, 0
        while observed <= 20 or boottime() - begun < 1.5:
            number += 1
            await other.invalidate_tag(f"tag:{number}")
            await listener.get("a")
            await asyncio.sleep(0.005)
            coherence = listener.stats().coherence
            observed = coherence.observed if coherence is not None else 0
        assert "AC107" not in codes(await listener.advise())
    assert "AC107" not in logged()


async def test_rights_that_are_missing(start_server: StartServer, logged: Callable[[], list[str]]):
    """A refused subscription is told; a refused look is left out."""
    server = start_server(EVICTING)
    with contextlib.closing(redis.Redis(port=server.port)) as client:
        client.acl_setuser(
            "mute", enabled=True, passwords=["+pw"], keys=["*"], channels=["*"],
            commands=["+@all", "-subscribe", "-scan", "-zcard"],
        )  # fmt: skip
    url = server.url.replace("redis://", "redis://mute:pw@")
    async with open_cache(url, namespace="shop") as cache:
        assert await cache.get("a") is None
        await until_logged(logged, "AC107")
        assert codes(await cache.advise()) == ["AC101", "AC107"]


@pytest.mark.slow
async def test_each_primary_of_a_cluster_is_looked_at(
    start_cluster: StartCluster, logged: Callable[[], list[str]]
):
    group = start_cluster(masters=3, replicas=0)
    async with open_cache(group.url, namespace="shop") as cache:
        await cache.set_many({f"key:{number}": number for number in range(50)})
        assert await cache.advise() == ()
        server: Any = group.servers[-1]
        with contextlib.closing(redis.Redis(port=server.port)) as client:
            client.config_set("maxmemory-policy", "allkeys-random")
            names: Any = client.keys("*}:v:*")
            raw: Any = client.get(names[0])
            client.set(names[0], raw[:2] + b"\x02" + raw[3:])
        assert codes(await cache.advise()) == ["AC101", "AC106"]
        with contextlib.closing(cache.sync()) as plain:
            assert codes(plain.advise()) == ["AC101", "AC106"]
    async with open_cache(group.url, namespace="other") as cache:
        await cache.get("a")
        await until_logged(logged, "AC101")


@pytest.mark.slow
async def test_the_primary_behind_sentinels_is_looked_at(
    start_sentinel: StartSentinel, logged: Callable[[], list[str]]
):
    group = start_sentinel(options=EVICTING)
    assert codes(await found_at(group.url)) == ["AC101"]
    async with open_cache(group.url, namespace="shop") as cache:
        await cache.get("a")
        await until_logged(logged, "AC101")


def test_the_page_has_a_section_for_each_code():
    page = (Path(__file__).parents[1] / "docs/advisor.md").read_text("utf-8")
    sources = map(inspect.getsource, (advisor, formats))
    written = {code for source in sources for code in re.findall(r'"(AC\d+)"', source)}
    assert len(written) == 7
    assert written == set(re.findall(r"^## (AC\d+)$", page, re.MULTILINE))
    assert written == set(re.findall(r"^\| `(AC\d+)`", page, re.MULTILINE))
