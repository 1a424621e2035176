"""A slow, failing and recovering L2: what callers see, and what is left afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from typing import Any

import pytest

from armature_cache import (
    BackendTimeout,
    CacheConfig,
    ConfigError,
    InMemoryCache,
    RedisCache,
    TaggedCache,
    TieredCache,
    TieredCacheConfig,
    events,
)
from armature_cache.testing import RedisServer
from tests.conftest import StartServer
from tests.contract.faces import Face, eventually

pytestmark = pytest.mark.faults

FACES = ["async", "sync"]


def opened(server: RedisServer, face: str, *, patience: float = 0.3, **tiers: Any) -> Face:
    config = CacheConfig.redis(
        server.url, namespace="l2", operation_timeout=patience, connect_timeout=patience
    )
    tiers = {"staleness_bound": 0.05, **tiers}
    core = TaggedCache(TieredCache(InMemoryCache(), RedisCache(config), TieredCacheConfig(**tiers)))
    return Face(core if face == "async" else core.sync())


def heard(cache: Face) -> list[events.Event]:
    told: list[events.Event] = []
    cache.store.subscribe(told.append)
    return told


@pytest.mark.parametrize("face", FACES)
async def test_a_hard_timeout_of_l2(start_server: StartServer, face: str):
    server = start_server()
    cache = opened(server, face, patience=5.0, l2_hard_timeout=0.1, on_l2_down="raise")
    await cache.set("k", 1, tags="t")
    server.pause()
    began = time.monotonic()
    with pytest.raises(BackendTimeout, match="l2_hard_timeout"):
        await cache.get("other")
    assert time.monotonic() - began < 2
    server.resume()

    async def back() -> bool:
        with contextlib.suppress(Exception):
            return bool(await cache.get("k") == 1)
        return False

    await eventually(back, "a read after the pause")
    await cache.close()


@pytest.mark.parametrize("face", FACES)
async def test_l1_answers_while_l2_is_slow(start_server: StartServer, face: str):
    server = start_server()
    cache = opened(
        server, face, patience=5.0, l2_soft_timeout=0.05, on_l2_down="serve_stale",
        serve_stale_for=60,
    )  # fmt: skip
    await cache.set("k", 1, ttl=60)
    server.pause()
    await asyncio.to_thread(threading.Event().wait, 0.2)  # trust ends
    began = time.monotonic()
    assert await cache.get("k") == 1
    assert time.monotonic() - began < 2
    server.resume()

    async def trusted() -> bool:
        before = cache.stats().stale_served
        value: int = await cache.get("k")
        return value == 1 and bool(cache.stats().stale_served == before)

    await eventually(trusted, "trust")
    await cache.close()


@pytest.mark.parametrize("face", FACES)
async def test_the_breaker_spares_l2_and_tries_it_again(start_server: StartServer, face: str):
    server = start_server()
    cache = opened(server, face, breaker_failures=2, breaker_pause=0.2)
    told = heard(cache)
    await cache.set("k", 1, ttl=60)
    server.kill()
    for number in range(20):
        assert await cache.get_or_set(f"n{number}", lambda: 1) == 1
    opened_events = [event for event in told if isinstance(event, events.BreakerOpened)]
    assert opened_events
    failures = [event for event in told if isinstance(event, events.BackendFailed)]
    assert len(failures) >= 2
    server.start()

    async def closed() -> bool:
        await cache.get("k")
        return any(isinstance(event, events.BreakerClosed) for event in told)

    await eventually(closed, "the end of the outage")
    assert await cache.get_or_set("new", lambda: 5) == 5
    assert await cache.get("new") == 5
    await cache.close()


@pytest.mark.parametrize("face", FACES)
async def test_loaded_values_are_stored_in_the_background(start_server: StartServer, face: str):
    server = start_server()
    cache = opened(server, face, patience=5.0, staleness_bound=60.0, background_writes=True)
    other = opened(server, face)
    assert await cache.get_or_set("k", lambda: 2, tags="t", ttl=60) == 2
    assert await cache.get("k") == 2

    async def stored() -> bool:
        return bool(await other.get("k") == 2)

    await eventually(stored, "a value in L2")
    await cache.invalidate_tag("t")
    assert await cache.get("k") is None
    await cache.get_or_set("last", lambda: 3, ttl=60)
    await cache.close()
    assert await other.get("last") == 3
    await other.close()


@pytest.mark.parametrize("face", FACES)
async def test_no_error_reaches_callers_while_l2_is_gone(start_server: StartServer, face: str):
    server = start_server()
    cache = opened(server, face, on_l2_down="load")
    loads = iter(range(1_000_000))
    await cache.get_or_set("k", lambda: next(loads), ttl=60)
    for fault, mend in (("pause", "resume"), ("kill", "start")):
        getattr(server, fault)()
        for _ in range(3):
            assert await cache.get_or_set("k", lambda: next(loads), ttl=60) >= 0
        getattr(server, mend)()

        async def recovered() -> bool:
            before = cache.stats().loads
            await cache.get_or_set("k", lambda: next(loads), ttl=60)
            await cache.get_or_set("k", lambda: next(loads), ttl=60)
            return bool(cache.stats().loads == before)

        await eventually(recovered, f"reads from L2 after {mend}")
    await cache.close()


def test_settings_are_checked():
    for wrong in (
        {"l2_soft_timeout": 0},
        {"l2_hard_timeout": -1},
        {"l2_soft_timeout": 2, "l2_hard_timeout": 1},
        {"breaker_failures": 0},
        {"breaker_pause": 0},
    ):
        with pytest.raises(ConfigError) as caught:
            TieredCacheConfig(**wrong)  # type: ignore[arg-type]
        assert caught.value.field in wrong
