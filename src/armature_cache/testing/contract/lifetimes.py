from __future__ import annotations

import datetime
import math

import pytest

from armature_cache.errors import InvalidTTL
from armature_cache.testing.contract.faces import Face
from armature_cache.testing.contract.kit import Kit

SHORT = 0.03


def near(seconds: float) -> object:
    """A lifetime that began to run a moment ago, on a busy machine."""
    return pytest.approx(seconds - 10, abs=10.1)


async def test_without_a_default_nothing_expires(cache: Face) -> None:
    await cache.set("a", 1)
    await cache.set("b", 1, ttl=None)
    assert await cache.ttl("a") == await cache.ttl("b") == math.inf


async def test_a_ttl_not_given_is_the_default_and_none_is_no_expiry(kit: Kit, cache: Face) -> None:
    cache = kit.elsewhere(default_ttl=300)
    assert cache.store.default_ttl == 300
    await cache.set("given", 1, ttl=100)
    await cache.set("default", 1)
    await cache.set("none", 1, ttl=None)
    await cache.set_many({"many": 1})
    await cache.add("add", 1)
    await cache.increment("count")
    await cache.get_or_set("load", lambda: 1)
    await cache.get_or_set_many(["loads"], lambda keys: dict.fromkeys(keys, 1))
    await cache.refresh("fresh", lambda: 1)
    left = await cache.ttl_many(
        ["given", "default", "none", "many", "add", "count", "load", "loads", "fresh"]
    )
    assert left.pop("given") == near(100)
    assert left.pop("none") == math.inf
    assert left == {key: near(300) for key in left}


async def test_lifetimes_of_all_kinds(cache: Face) -> None:
    lifetimes = {
        "int": (60, 60),
        "float": (60.5, 60.5),
        "delta": (datetime.timedelta(minutes=1), 60),
        "long": (datetime.timedelta(days=365), 365 * 86_400),
        "years": (395 * 86_400, 395 * 86_400),
    }
    for key, (ttl, seconds) in lifetimes.items():
        await cache.set(key, 1, ttl=ttl)
        assert await cache.ttl(key) == near(seconds)
        assert await cache.get(key) == 1


@pytest.mark.parametrize(
    "ttl", [SHORT, datetime.timedelta(seconds=SHORT)], ids=["float", "timedelta"]
)
async def test_a_lifetime_below_a_second_ends(kit: Kit, cache: Face, ttl: object) -> None:
    await cache.set("k", 1, ttl=ttl)
    await kit.expired(cache, "k", SHORT)
    assert await cache.get("k", "gone") == "gone"
    assert await cache.exists("k") is False
    assert await cache.ttl("k") is None
    assert await cache.get_many(["k"]) == {}
    assert await cache.scan() == []
    assert await cache.delete("k") is False
    assert await cache.expire("k", 60) is False
    assert await cache.add("k", 2) is True
    assert await cache.get("k") == 2


async def test_the_shortest_lifetime_is_a_millisecond(kit: Kit, cache: Face) -> None:
    await cache.set("k", 1, ttl=1e-9)
    await kit.expired(cache, "k", 0.001)
    assert await cache.get("k") is None


async def test_expire_changes_the_lifetime_and_nothing_else(cache: Face) -> None:
    await cache.set("k", {"a": 1}, ttl=None)
    assert await cache.get("k") == {"a": 1}
    assert await cache.expire("k", 50) is True
    assert await cache.ttl("k") == near(50)
    assert await cache.get("k") == {"a": 1}
    assert await cache.expire("k", datetime.timedelta(hours=1)) is True
    assert await cache.ttl("k") == near(3600)
    assert await cache.expire("k", None) is True
    assert await cache.ttl("k") == math.inf
    assert await cache.get("k") == {"a": 1}
    assert await cache.expire("absent", 50) is False
    assert await cache.exists("absent") is False


async def test_expire_can_end_a_lifetime(kit: Kit, cache: Face) -> None:
    await cache.set("k", 1, ttl=600)
    assert await cache.get("k") == 1
    assert await cache.expire("k", SHORT) is True
    await kit.expired(cache, "k", SHORT)
    assert await cache.get("k") is None


async def test_an_overwrite_takes_the_new_lifetime(kit: Kit, cache: Face) -> None:
    await cache.set("short", 1, ttl=600)
    await cache.set("short", 2, ttl=SHORT)
    await cache.set("long", 1, ttl=SHORT)
    await cache.set("long", 2, ttl=600)
    await kit.expired(cache, "short", SHORT)
    assert await cache.get("long") == 2


async def test_a_bad_lifetime_stores_nothing(cache: Face) -> None:
    await cache.set("k", "old", ttl=60)
    for ttl in (0, -1, math.nan, math.inf, "60", True, datetime.timedelta(0), 10**12):
        calls = (
            cache.set("k", "new", ttl=ttl),
            cache.set_many({"k": "new", "l": 1}, ttl=ttl),
            cache.add("l", 1, ttl=ttl),
            cache.increment("l", ttl=ttl),
            cache.expire("k", ttl),
            cache.get_or_set("l", lambda: 1, ttl=ttl),
            cache.get_or_set_many(["l"], lambda keys: {"l": 1}, ttl=ttl),
            cache.refresh("k", lambda: "new", ttl=ttl),
        )
        for call in calls:
            with pytest.raises(InvalidTTL) as caught:
                await call
            assert caught.value.ttl is ttl
    assert await cache.get("k") == "old"
    assert await cache.ttl("k") == near(60)
    assert await cache.exists("l") is False
