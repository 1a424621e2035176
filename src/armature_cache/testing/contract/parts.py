"""What belongs to a namespace: clear, scan and children."""

from __future__ import annotations

import pytest

from armature_cache.errors import ConfigError
from armature_cache.testing.contract.faces import Face
from armature_cache.testing.contract.kit import Kit


async def test_clear_drops_everything_here_and_nothing_elsewhere(kit: Kit, cache: Face) -> None:
    other = kit.elsewhere()
    await other.set("k", "other")
    await cache.set_many({"k": 1, "l": 2}, ttl=60)
    assert await cache.get("k") == 1
    await cache.increment("n")
    await cache.clear()
    assert await cache.get_many(["k", "l", "n"]) == {}
    assert await cache.scan() == []
    assert await cache.exists("k") is False
    assert await cache.delete("l") is False
    assert await other.get("k") == "other"
    await cache.set("k", 2)
    assert await cache.get("k") == 2
    assert await cache.increment("n") == 1
    await cache.clear()
    await cache.clear()
    assert await cache.get("k") is None


async def test_scan_finds_keys_by_prefix(cache: Face) -> None:
    keys = ["a", "ab", "a*b", "a?b", "a[b]", "a\\b", "a^", "a-b", "b", "A", "ä", "a{b}", "a b"]
    await cache.set_many(dict.fromkeys(keys, 1))
    assert sorted(await cache.scan()) == sorted(keys)
    for prefix in ("a", "a*", "a?", "a[", "a[b]", "a\\", "a^", "a-", "b", "ä", "a{", "a ", "x"):
        expected = sorted(key for key in keys if key.startswith(prefix))
        assert sorted(await cache.scan(prefix)) == expected, prefix
    await cache.delete("ab")
    await cache.set("a*b", 2)
    assert sorted(await cache.scan("a")) == sorted(
        key for key in keys if key.startswith("a") and key != "ab"
    )


async def test_a_bad_prefix_is_refused(cache: Face) -> None:
    for prefix in ("n\0l", 5, None, b"a", "\ud800"):
        with pytest.raises(ConfigError, match="prefix") as caught:
            await cache.scan(prefix)  # type: ignore[arg-type]
        assert caught.value.field == "prefix"


async def test_a_part_has_keys_of_its_own(cache: Face) -> None:
    part, other = cache.namespace("a"), cache.namespace("b")
    await cache.set("k", "whole", ttl=600)
    await part.set("k", "part", ttl=60)
    assert await other.get("k") is None
    assert await other.exists("k") is False
    assert await part.get("k") == "part"
    assert await part.get_many(["k", "l"]) == {"k": "part"}
    assert await part.ttl("k") <= 60
    assert await cache.get("k") == "whole"
    assert await part.scan() == ["k"]
    assert await part.scan("k") == ["k"]
    assert await other.scan() == []
    assert await other.delete("k") is False
    assert await other.expire("k", 1) is False
    assert await other.add("k", "other") is True
    assert await part.increment("n") == 1
    assert await other.increment("n", 5) == 5
    assert await cache.increment("n", 7) == 7
    assert await part.get_or_set("k", lambda: "loaded") == "part"
    assert await part.get_or_set_many(["k", "m"], lambda keys: {"m": 1}) == {"k": "part", "m": 1}
    assert await part.delete_many(["k", "m", "n"]) == 3
    assert await cache.get("k") == "whole"
    assert await other.get_many(["k", "n"]) == {"k": "other", "n": 5}


async def test_a_part_is_the_same_for_everyone(cache: Face) -> None:
    await cache.namespace("a").set("k", 1)
    assert await cache.namespace("a").get("k") == 1
    inner = cache.namespace("a").namespace("b")
    await inner.set("k", 2)
    assert await cache.namespace("a").get("k") == 1
    assert await cache.namespace("a").namespace("b").get("k") == 2
    assert await cache.namespace("b").get("k") is None
    assert await cache.namespace("a:b").get("k") is None


async def test_clearing_a_part_clears_it_alone(cache: Face) -> None:
    part, other, inner = cache.namespace("a"), cache.namespace("b"), cache.namespace("a")
    inner = part.namespace("inner")
    for each in (cache, part, other, inner):
        await each.set("k", 1)
        assert await each.get("k") == 1
    await part.clear()
    assert await part.get("k") is None
    assert await part.scan() == []
    assert await inner.get("k") is None
    assert await cache.get("k") == 1
    assert await other.get("k") == 1
    await part.set("k", 2)
    assert await part.get("k") == 2
    await inner.set("k", 2)
    await inner.clear()
    assert await part.get("k") == 2


async def test_clearing_the_whole_clears_its_parts(cache: Face) -> None:
    part = cache.namespace("a")
    await part.set("k", 1)
    assert await part.get("k") == 1
    await cache.clear()
    assert await part.get("k") is None


async def test_a_part_has_tags_of_its_own(tagged: Face) -> None:
    part, other = tagged.namespace("a"), tagged.namespace("b")
    inner = part.namespace("inner")
    everyone = (tagged, part, other, inner)
    for each in everyone:
        await each.set_with_tags("k", 1, ["t", "u"])
        assert await each.get("k") == 1
    for each in everyone:
        assert await each.get_keys_by_tag("t") == ["k"]
        assert await each.get_keys_by_tag("t", exact=True) == ["k"]
        assert await each.get_tags_for_key("k") == ["t", "u"]
        assert await each.list_tags() == ["t", "u"]
    await part.invalidate_tag("t")
    assert await part.get("k") is None
    assert await part.list_tags() == []
    for each in (tagged, other, inner):
        assert await each.get("k") == 1
        assert await each.get_keys_by_tag("u") == ["k"]
    await tagged.invalidate_tags(["t"])
    assert await tagged.get("k") is None
    assert await other.get("k") == 1
    await other.clear()
    assert await other.list_tags() == []
    assert await inner.get_keys_by_tag("t") == ["k"]


async def test_an_invalidation_during_a_load_wins_in_a_part(tagged: Face) -> None:
    part = tagged.namespace("a")

    async def load() -> str:
        await part.invalidate_tag("t")
        return "old"

    async def clear() -> str:
        await part.clear()
        return "old"

    async def untouched() -> str:
        await tagged.invalidate_tag("t")
        return "good"

    assert await part.get_or_set("k", part.loader(load), tags="t") == "old"
    assert await part.get_or_set("l", part.loader(clear)) == "old"
    assert await part.get_or_set("m", part.loader(untouched), tags="t") == "good"
    assert await part.get_many(["k", "l", "m"]) == {"m": "good"}


async def test_a_bad_name_of_a_part_is_refused(cache: Face) -> None:
    for name in ("", "a{b", "a}b", "n\0l", "x" * 257, "é" * 129, 5, None, "\ud800"):
        with pytest.raises(ConfigError, match="namespace") as caught:
            cache.namespace(name)  # type: ignore[arg-type]
        assert caught.value.field == "namespace"
