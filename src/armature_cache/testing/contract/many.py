from __future__ import annotations

import math

import pytest

from armature_cache.errors import CacheKeyError, ConfigError
from armature_cache.testing.contract.faces import Face


async def test_many_keys_in_the_order_asked(cache: Face) -> None:
    await cache.set_many({"a": 1, "b": None, "c": 3})
    found = await cache.get_many(["c", "x", "a", "c", "b"])
    assert list(found.items()) == [("c", 3), ("a", 1), ("b", None)]
    assert list((await cache.exists_many(["c", "x", "c", "a"])).items()) == [
        ("c", True),
        ("x", False),
        ("a", True),
    ]
    assert await cache.ttl_many(["x", "a", "x"]) == {"x": None, "a": math.inf}
    assert await cache.delete_many(["a", "a", "x", "c"]) == 2
    assert await cache.get_many(["a", "b", "c"]) == {"b": None}


async def test_many_keys_may_come_from_any_iterable(cache: Face) -> None:
    await cache.set_many({"a": 1, "b": 2})
    assert await cache.get_many(key for key in "ab") == {"a": 1, "b": 2}
    assert await cache.get_many({"a": 0}) == {"a": 1}
    assert await cache.exists_many(iter(["a"])) == {"a": True}
    assert await cache.ttl_many(("a",)) == {"a": math.inf}
    assert await cache.delete_many({"a", "b"}) == 2


async def test_no_keys_at_all(cache: Face) -> None:
    def load(keys: list[str]) -> dict[str, int]:
        raise AssertionError(keys)

    assert await cache.get_many([]) == {}
    await cache.set_many({})
    assert await cache.delete_many([]) == 0
    assert await cache.exists_many([]) == {}
    assert await cache.ttl_many([]) == {}
    assert await cache.get_or_set_many([], load) == {}


async def test_set_many_overwrites_and_gives_one_lifetime(cache: Face) -> None:
    await cache.set("a", 0)
    await cache.set_many({"a": 1, "b": 2}, ttl=60)
    assert await cache.get_many(["a", "b"]) == {"a": 1, "b": 2}
    assert all(0 < left <= 60 for left in (await cache.ttl_many(["a", "b"])).values())


async def test_bad_keys_among_good_ones_change_nothing(cache: Face) -> None:
    await cache.set("a", 1)
    for bad in ("", "n\0l", "k" * 4097, "\ud800", 5, None, b"a", ["a"]):
        keys = ["a", bad]
        for call in (
            cache.get_many(keys),
            cache.delete_many(keys),
            cache.exists_many(keys),
            cache.ttl_many(keys),
            cache.get_or_set_many(keys, lambda keys: dict.fromkeys(keys, 2)),
        ):
            with pytest.raises(CacheKeyError, match="key"):
                await call
    for bad in ("", "n\0l", 5, None):
        with pytest.raises(CacheKeyError, match="key"):
            await cache.set_many({"a": 2, bad: 2})
    assert await cache.get("a") == 1


async def test_one_string_is_not_several_keys(cache: Face) -> None:
    await cache.set_many({"a": 1, "b": 2})
    for call in (
        cache.get_many("ab"),
        cache.delete_many("ab"),
        cache.exists_many("ab"),
        cache.ttl_many("ab"),
        cache.get_or_set_many("ab", lambda keys: {}),
    ):
        with pytest.raises(CacheKeyError, match="list of str"):
            await call
    for call in (cache.get_many(5), cache.delete_many(None), cache.exists_many(1.5)):
        with pytest.raises(CacheKeyError, match="list of str"):
            await call
    with pytest.raises(ConfigError, match="mapping") as caught:
        await cache.set_many([("a", 2)])
    assert caught.value.field == "items"
    assert await cache.get_many(["a", "b"]) == {"a": 1, "b": 2}
