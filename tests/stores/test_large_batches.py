"""Many keys at once: they may take longer than one operation, for they are many."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
import redis

from armature_cache import open_cache
from armature_cache.redisio import aio, port
from tests.conftest import StartServer

MANY = {f"user:{n}": n for n in range(8000)}
SHORT = 1.0
"""Seconds that one operation may take; all of them together take several times that."""


@pytest.mark.slow
async def test_a_batch_has_more_time_than_one_operation(start_server: StartServer) -> None:
    url = start_server().url
    async with open_cache(url, namespace="many", operation_timeout=SHORT) as cache:
        await cache.set_many(MANY, tags=["users"])
        assert await cache.get_many(list(MANY)) == MANY
        assert len(await cache.get_keys_by_tag("users")) == len(MANY)
        assert await cache.delete_many(list(MANY)) == len(MANY)
        assert await cache.get_or_set_many(list(MANY), lambda keys: {k: MANY[k] for k in keys}) == (
            MANY
        )


@pytest.mark.slow
def test_a_batch_of_the_sync_face_has_it_too(start_server: StartServer) -> None:
    url = start_server().url
    with open_cache(url, namespace="many", operation_timeout=SHORT).sync() as cache:
        cache.set_many(MANY, tags=["users"])
        assert cache.get_many(list(MANY)) == MANY
        assert len(cache.get_keys_by_tag("users")) == len(MANY)
        assert cache.delete_many(list(MANY)) == len(MANY)
        assert cache.get_or_set_many(list(MANY), lambda keys: {k: MANY[k] for k in keys}) == MANY


@pytest.mark.parametrize("trouble", ["flush", "clear"])
async def test_what_was_stored_before_the_clock_began_anew_is_stored_again(
    start_server: StartServer, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    url = start_server().url
    with open_cache(url, namespace="many").sync() as other, redis.Redis.from_url(url) as client:
        other.set("k", 1)
        begin_anew = {"flush": client.flushall, "clear": other.clear}[trouble]

        def interrupted(commands: Sequence[port.Command]) -> Iterator[Sequence[port.Command]]:
            for page in port.paged(commands):
                yield page
                if pauses:
                    pauses.pop()
                    begin_anew()

        pauses = ["after the first page"]
        monkeypatch.setattr(aio, "paged", interrupted)
        thousand = dict(list(MANY.items())[:1000])
        async with open_cache(url, namespace="many") as cache:
            await cache.set_many(thousand, tags=["users"])
            assert not pauses
            assert await cache.get_many(list(thousand), consistency="strong") == thousand
        assert other.get_many(list(thousand), consistency="strong") == thousand


async def test_another_cache_drops_a_batch_as_a_whole_and_sees_the_next(
    start_server: StartServer,
) -> None:
    """All of a pipeline is acknowledged by the delta of its last call."""
    url = start_server().url
    few = dict(list(MANY.items())[:200])
    async with (
        open_cache(url, namespace="many") as writer,
        open_cache(url, namespace="many") as other,
    ):
        await writer.set_many(few, tags=["users"])
        assert await other.get_many(list(few)) == few
        await other.invalidate_tag("users")
        assert await writer.get_many(list(few), consistency="strong") == {}
        await writer.set_many(few, tags=["users"])
        assert await other.get_many(list(few), consistency="strong") == few


@pytest.mark.parametrize("trouble", ["FLUSHALL", "SCRIPT FLUSH"])
async def test_a_batch_after_the_server_has_forgotten(
    start_server: StartServer, trouble: str
) -> None:
    server = start_server()
    few = dict(list(MANY.items())[:200])
    async with open_cache(server.url, namespace="many") as cache:
        await cache.set_many(few, tags=["users"])
        with redis.Redis.from_url(server.url) as client:
            client.execute_command(*trouble.split())
        renamed = {key: value + 1 for key, value in few.items()}
        await cache.set_many(renamed, tags=["users"])
        assert await cache.get_many(list(few), consistency="strong") == renamed
        await cache.invalidate_tag("users")
        assert await cache.get_many(list(few)) == {}


def test_a_pipeline_goes_out_in_parts_of_bounded_number_and_size() -> None:
    small: list[port.Command] = [("GET", f"k{n}") for n in range(1201)]
    assert [len(page) for page in port.paged(small)] == [500, 500, 201]
    large: list[port.Command] = [("SET", "k", bytes(1_500_000)) for _ in range(5)]
    assert [len(page) for page in port.paged(large)] == [2, 2, 1]
    huge: list[port.Command] = [("SET", "k", bytes(9_000_000)), *small[:3]]
    assert [len(page) for page in port.paged(huge)] == [1, 3]
    for commands in (small, large, huge):
        assert [command for page in port.paged(commands) for command in page] == commands
