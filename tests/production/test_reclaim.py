"""`reclaim=True`: dead values leave the server early, and nothing else does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from armature_cache import CacheConfig, ConfigError, open_cache
from armature_cache.stores import reclaiming
from tests.contract.faces import Face, eventually

pytestmark = pytest.mark.slow

each_face = pytest.mark.parametrize("face", ["async", "sync"])


def opened(url: str, namespace: str, face: str = "async", **settings: Any) -> Face:
    cache = open_cache(url, namespace=namespace, **settings)
    return Face(cache if face == "async" else cache.sync())


def reclaimed(cache: Face) -> int:
    return int(cache.stats().tiers[1].reclaimed)


async def stored(cache: Face) -> int:
    """How many values and tombstones there are on the server."""
    inside: Any = cache.store.store.l2
    names = [inside._names.value(f"k{n}") for n in range(1300)]
    answers: list[Any] = []
    for at in range(0, len(names), 500):
        sent = inside._port.send([("GETRANGE", name, 0, 0) for name in names[at : at + 500]])
        answers += (await sent if cache.awaited else sent.send(None)).replies
    return sum(bool(each) for each in answers)


@each_face
async def test_dead_values_leave_and_live_ones_stay(
    server_url: str, namespace: str, face: str
) -> None:
    cache = opened(server_url, namespace, face, reclaim=True)
    looking = opened(server_url, namespace)
    for n in range(1200):
        await cache.set_with_tags(f"k{n}", n, ["all", f"half:{n % 2}"], ttl=600)
    await cache.set_with_tags("k1299", "other", ["all"], ttl=600)
    await cache.invalidate_tag("half:0")

    async def halved() -> bool:
        return await stored(looking) == 601

    await eventually(halved, "600 values taken off")
    assert reclaimed(cache) == 600
    assert len(await cache.get_many([f"k{n}" for n in range(1200)])) == 600
    assert len(await looking.get_keys_by_tag("all")) == 601
    await cache.close()
    await looking.close()


async def test_without_it_values_stay_until_they_end(server_url: str, namespace: str) -> None:
    cache = opened(server_url, namespace)
    await cache.set_with_tags("k0", 0, ["t"], ttl=600)
    await cache.invalidate_tag("t")
    assert await stored(cache) == 1
    assert reclaimed(cache) == 0
    await cache.close()


async def test_what_was_stored_again_is_not_taken_off(server_url: str, namespace: str) -> None:
    cache = opened(server_url, namespace)
    await cache.set_with_tags("k0", "old", ["t"], ttl=600)
    await cache.set_with_tags("k1", "old", ["t"], ttl=600)
    await cache.invalidate_tag("t")
    await cache.set_with_tags("k0", "new", ["t"], ttl=600)
    store: Any = cache.store.store.l2
    raw = await store._raw_heads(["k1"])
    await reclaiming.sweep(store._blocking(), "t", lambda: False)
    assert await cache.get("k0", consistency="strong") == "new"
    assert await store._raw_heads(["k1"]) == [b""] != raw
    await cache.close()


async def test_a_value_that_changed_since_it_was_judged_stays(
    server_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look and the script somebody stores anew."""
    cache = opened(server_url, namespace)
    await cache.set_with_tags("k0", "old", ["t"], ttl=600)
    await cache.invalidate_tag("t")
    store: Any = cache.store.store.l2
    dead = await store._raw_heads(["k0"])
    await cache.set_with_tags("k0", "new", ["t"], ttl=600)

    async def before(*_: object) -> list[bytes]:
        return list(dead)

    twin = store._blocking()
    monkeypatch.setattr(twin, "_raw_heads", before)
    await reclaiming.sweep(twin, "t", lambda: False)
    assert await cache.get("k0", consistency="strong") == "new"
    assert twin.counters.reclaimed == 0
    await cache.close()


async def test_tombstones_soft_ones_and_other_tags_stay(server_url: str, namespace: str) -> None:
    cache = opened(server_url, namespace, reclaim=True)
    await cache.set_with_tags("k0", 0, ["t"], ttl=600)
    await cache.delete("k0")
    await cache.set_with_tags("k1", 1, ["soft"], ttl=600)
    await cache.set_with_tags("k2", 2, ["other"], ttl=600)
    await cache.set_with_tags("k3", 3, ["t"], ttl=600)
    await cache.invalidate_tag("soft", soft=True)
    await cache.invalidate_tag("t")

    async def swept() -> bool:
        return reclaimed(cache) == 1

    await eventually(swept, "the one dead value")
    assert await stored(cache) == 3
    await cache.close()


async def test_clearing_a_namespace_reclaims_it(server_url: str, namespace: str) -> None:
    cache = opened(server_url, namespace, reclaim=True)
    child = cache.namespace("child")
    for n in range(10):
        await child.set(f"k{n}", n, ttl=600)
    await cache.set("k0", "root", ttl=600)
    await child.clear()

    async def swept() -> bool:
        return reclaimed(cache) == 10

    await eventually(swept, "the values of the namespace")
    assert await cache.get("k0") == "root"
    await cache.close()


async def test_a_cluster_is_swept_in_every_bucket(cluster: Any, namespace: str) -> None:
    cache = opened(cluster.url, namespace, reclaim=True)
    for n in range(100):
        await cache.set_with_tags(f"k{n}", n, ["t"], ttl=600)
    await cache.invalidate_tag("t")

    async def swept() -> bool:
        return reclaimed(cache) == 100

    await eventually(swept, "values on all nodes")
    assert await cache.get_many([f"k{n}" for n in range(100)]) == {}
    await cache.close()


async def test_closing_does_not_wait_and_a_dead_server_harms_nothing(
    start_server: Any, namespace: str
) -> None:
    server = start_server()
    cache = opened(server.url, namespace, reclaim=True)
    for n in range(50):
        await cache.set_with_tags(f"k{n}", n, ["t"], ttl=600)
    await cache.invalidate_tag("t")
    server.kill()
    server.restart()
    assert await cache.get("k0", consistency="strong") is None
    await asyncio.wait_for(cache.close(), 5)


@pytest.mark.parametrize("wrong", ["yes", 1, None])
def test_a_wrong_value_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigError, match="reclaim"):
        CacheConfig.redis("redis://localhost", reclaim=wrong)
