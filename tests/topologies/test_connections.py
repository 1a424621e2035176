"""Connections that stay at hand between operations: none too many, none lost, none trusted."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import redis
import redis.asyncio

from armature_cache import CacheConfig, RedisCache
from armature_cache._runtime.ready import run_ready
from armature_cache.redisio import connect
from armature_cache.redisio.port import PACE
from armature_cache.testing import FakeTime
from tests.topologies.conftest import OpenAt
from tests.topologies.forwarding import forwarder

each_face = pytest.mark.parametrize("face", ["async", "sync"])


@each_face
async def test_one_connection_serves_all(server_url: str, open_at: OpenAt, face: str) -> None:
    cache = open_at(server_url, face=face, hints=False, max_connections=1, connect_timeout=10)
    await cache.set("k", 1, tags=["t"])

    def works(number: int) -> list[Any]:
        return [
            lambda: cache.get("k", consistency="strong"),
            lambda: cache.get(f"absent:{number}"),
            lambda: cache.add(f"added:{number}", number),
            lambda: cache.increment("count"),
            lambda: cache.invalidate_tag(f"tag:{number}"),
        ]

    outcomes = await cache.together([work for number in range(8) for work in works(number)])
    assert outcomes[::5] == [1] * 8
    assert outcomes[2::5] == [True] * 8
    assert sorted(outcomes[3::5]) == list(range(1, 9))


@each_face
async def test_what_was_cut_while_it_was_idle_is_not_missed(
    server: Any, open_at: OpenAt, face: str
) -> None:
    with forwarder(server) as between:
        cache = open_at(between.url, face=face, hints=False)
        await cache.set("k", 1, tags=["t"])
        for number in range(3):
            between.cut()
            assert await cache.get("k", consistency="strong") == 1
            between.cut()
            await cache.set("other", number)
        between.cut()
        await cache.invalidate_tag("t")
        assert await cache.get("k", consistency="strong") is None
        assert cache.stats().errors == 0


@each_face
async def test_what_was_killed_is_noticed_before_it_matters(
    server_url: str, open_at: OpenAt, face: str
) -> None:
    """By operations that cannot be repeated: nobody would know whether they were done."""
    cache = open_at(server_url, face=face, hints=False)
    async with redis.asyncio.Redis.from_url(server_url) as client:
        for number in range(3):
            assert await cache.get("absent") is None
            await client.client_kill_filter(_type="normal", skipme=True)
            await client.ping()
            assert await cache.increment("count") == number + 1


async def test_readers_who_leave_take_no_connection_with_them(
    server_url: str, namespace: str
) -> None:
    config = CacheConfig.redis(
        server_url, namespace=namespace, hints=False, max_connections=2, connect_timeout=5
    )
    async with RedisCache(config) as cache:
        await cache.set("k", 1)
        for turns in range(60):
            readers = [asyncio.create_task(cache.get("k")) for _ in range(5)]
            for _ in range(turns % 12):
                await asyncio.sleep(0)
            for reader in readers:
                reader.cancel()
            await asyncio.wait(readers)
        assert await asyncio.gather(*(cache.get("k") for _ in range(20))) == [1] * 20
        assert await cache.increment("count") == 1


async def test_many_who_read_one_key_get_a_value_each(server_url: str, namespace: str) -> None:
    async with RedisCache(CacheConfig.redis(server_url, namespace=namespace)) as cache:
        await cache.set("k", ["value"])
        await cache.get_or_set("sliding", lambda: ["value"], ttl=600, sliding=True)
        for key in ("k", "sliding"):
            found = await asyncio.gather(*(cache.get(key) for _ in range(20)))
            assert found == [["value"]] * 20
            assert len({id(each) for each in found}) == 20
        assert cache.stats().hits == 40


async def test_reads_of_one_turn_are_few_commands(server_url: str, namespace: str) -> None:
    config = CacheConfig.redis(server_url, namespace=namespace, hints=False, staleness_bound=60)
    async with RedisCache(config) as cache:
        await cache.set_many({f"k:{number}": number for number in range(100)})
        await cache.get("k:0")
        with redis.Redis.from_url(server_url) as client:
            before = _reads(client)
            found = await asyncio.gather(*(cache.get(f"k:{number}") for number in range(110)))
            assert found == [*range(100), *([None] * 10)]
            assert _reads(client) - before <= 4


def _reads(client: redis.Redis) -> int:
    stats: Any = client.info("commandstats")
    return sum(int(stats.get(f"cmdstat_{name}", {}).get("calls", 0)) for name in ("get", "mget"))


def test_a_long_pipeline_has_the_time_of_its_commands(server_url: str) -> None:
    time = FakeTime()

    def passing() -> float:
        time.advance(0.01)
        return time()

    config = CacheConfig.redis(server_url, operation_timeout=PACE * 0.01 + 0.2)
    port = connect.blocking_port(config, passing)
    try:
        answer = run_ready(port.send([("PING",)] * PACE * 5))
        assert len(answer.replies) == PACE * 5
    finally:
        port.close_now()
