"""The guide's stack on a Cluster and behind Sentinels, in both faces, over many buckets."""

from __future__ import annotations

import math

import pytest

from armature_cache.redisio.slots import bucket_of
from armature_cache.testing.group import ServerGroup
from tests.contract.faces import Face
from tests.topologies.conftest import OpenAt, narrowed

pytestmark = pytest.mark.faults

KEYS = [f"key:{number}" for number in range(300)]


@pytest.fixture(params=["async", "sync"])
def cache(request: pytest.FixtureRequest, group: ServerGroup, open_at: OpenAt) -> Face:
    return open_at(group.url, face=request.param)


@pytest.fixture
def other(group: ServerGroup, open_at: OpenAt) -> Face:
    """A cache that knows of the first only through the servers: by another address."""
    return open_at(narrowed(group), staleness_bound=0.05)


async def test_values_of_many_buckets(cache: Face, other: Face) -> None:
    assert len({bucket_of(key) for key in KEYS}) > 150
    await cache.set_many({key: n for n, key in enumerate(KEYS)}, tags=["all"], ttl=60)
    assert await cache.get_many(KEYS) == {key: n for n, key in enumerate(KEYS)}
    assert await other.get_many([*KEYS, "absent"]) == {key: n for n, key in enumerate(KEYS)}
    assert set(await other.scan()) == set(KEYS)
    assert set(await other.scan("key:1")) == {key for key in KEYS if key.startswith("key:1")}
    assert await cache.exists_many([KEYS[0], "absent"]) == {KEYS[0]: True, "absent": False}
    lifetimes = await cache.ttl_many(KEYS[:9])
    assert all(50 < left <= 60 for left in lifetimes.values())
    assert await cache.delete_many([*KEYS[:20], "absent"]) == 20
    assert await cache.get_many(KEYS[:20], consistency="strong") == {}
    assert await other.get_many(KEYS[:20], consistency="strong") == {}
    assert len(await cache.scan()) == 280


async def test_one_call_invalidates_entries_of_all_buckets(cache: Face, other: Face) -> None:
    for n, key in enumerate(KEYS[:60]):
        await cache.set_with_tags(key, n, ["even" if n % 2 == 0 else "odd", "all"], ttl=60)
    assert len(await other.get_many(KEYS[:60])) == 60
    assert await other.get_keys_by_tag("even") == sorted(KEYS[:60:2])
    assert await cache.get_keys_by_tag("odd", exact=True) == sorted(KEYS[1:60:2])
    assert await other.get_tags_for_key(KEYS[1]) == ["all", "odd"]
    assert await cache.list_tags() == ["all", "even", "odd"]
    await cache.invalidate_tag("even")
    assert sorted(await other.get_many(KEYS[:60], consistency="strong")) == sorted(KEYS[1:60:2])
    assert await cache.get_keys_by_tag("even") == []
    await other.invalidate_tags(["odd", "even"])
    assert await cache.get_many(KEYS[:60], consistency="strong") == {}
    assert await cache.list_tags() == []


async def test_the_single_key_operations(cache: Face, other: Face) -> None:
    for key in KEYS[:12]:
        assert await cache.add(key, "first", ttl=60)
        assert not await other.add(key, "second", ttl=60)
        assert await other.get(key) == "first"
        assert await cache.expire(key, 30)
        assert 20 < (await other.ttl(key) or 0) <= 30
        assert await cache.delete(key)
        assert not await other.delete(key)
        assert await cache.increment(key, 3) == 3
        assert await other.increment(key) == 4
        assert await other.decrement(key, 10) == -6
        assert await cache.get(key) == -6
        assert await cache.ttl(key) == math.inf
        await other.set(key, "explicit", as_of=None)
        assert await cache.get(key, consistency="strong") == "explicit"
    assert not await cache.expire("absent", 5)


async def test_parts_and_clear(cache: Face, other: Face) -> None:
    part, theirs = cache.namespace("part"), other.namespace("part")
    for key in KEYS[:30]:
        await cache.set(key, "outside", tags=["t"], ttl=60)
        await part.set(key, "inside", tags=["t"], ttl=60)
    await part.invalidate_tag("t")
    assert await theirs.get_many(KEYS[:30], consistency="strong") == {}
    assert len(await other.get_many(KEYS[:30], consistency="strong")) == 30
    await part.set(KEYS[0], "again", ttl=60)
    await theirs.clear()
    assert await part.get(KEYS[0], consistency="strong") is None
    assert len(await other.scan()) == 30
    await part.set(KEYS[0], "again", ttl=60)
    await other.clear()
    assert await cache.get_many(KEYS[:30], consistency="strong") == {}
    assert await part.get(KEYS[0], consistency="strong") is None
    await cache.set(KEYS[0], "new", ttl=60)
    assert await other.get(KEYS[0]) == "new"


@pytest.mark.parametrize("how", ["invalidate_tag", "delete", "clear", "set"])
async def test_what_happens_during_a_load_wins(cache: Face, other: Face, how: str) -> None:
    arguments = {"invalidate_tag": ("t",), "set": ("k", "new"), "clear": ()}.get(how, ("k",))

    async def load() -> str:
        twin = other.store.sync()
        getattr(twin, how)(*arguments)
        twin.close()
        return "old"

    assert await cache.get_or_set("k", cache.loader(load), tags=["t"], ttl=60) == "old"
    expected = "new" if how == "set" else None
    assert await cache.get("k", consistency="strong") == expected
    assert await other.get("k", consistency="strong") == expected


async def test_a_set_after_a_miss_is_a_fill(cache: Face, other: Face) -> None:
    assert await cache.get("k") is None
    await other.elsewhere(other.invalidate_tag("t"))
    await cache.set_with_tags("k", "read before", ["t"], ttl=60)
    assert await other.get("k", consistency="strong") is None
    assert await cache.get("k", consistency="strong") is None
    await cache.set_with_tags("k", "read after", ["t"], ttl=60)
    assert await other.get("k", consistency="strong") == "read after"
