from __future__ import annotations

from typing import Any

import pytest

from armature_cache.errors import InvalidTag, TagsNotSupported
from armature_cache.testing.contract.faces import Face
from armature_cache.testing.contract.kit import Kit


async def test_an_invalidation_ends_every_entry_with_the_tag(tagged: Face) -> None:
    await tagged.set_with_tags("user:1", "Ada", ["users", "user:1"], 3600)
    await tagged.set_with_tags("user:2", "Bob", ["users", "user:2"], ttl=3600)
    await tagged.set("posts", [1], tags=("posts", "user:1"))
    await tagged.set("plain", 0)
    assert await tagged.get("user:1") == "Ada"
    assert await tagged.ttl("user:1") <= 3600
    await tagged.invalidate_tag("user:1")
    assert await tagged.get_many(["user:1", "user:2", "posts", "plain"]) == {
        "user:2": "Bob",
        "plain": 0,
    }
    assert await tagged.exists("user:1") is False
    assert await tagged.ttl("posts") is None
    assert await tagged.delete("posts") is False
    await tagged.invalidate_tags(["posts", "users"])
    assert await tagged.scan() == ["plain"]
    await tagged.invalidate_tag("nothing has it")
    assert await tagged.get("plain") == 0


async def test_an_invalidated_key_can_be_used_again(tagged: Face) -> None:
    for number in range(3):
        await tagged.set("k", number, tags="t")
        assert await tagged.get("k") == number
        await tagged.invalidate_tag("t")
        assert await tagged.get("k") is None
        assert await tagged.add("k", number, tags="t") is True
        assert await tagged.get("k") == number
        await tagged.invalidate_tag("t")
        assert await tagged.get_or_set("k", lambda number=number: number, tags="t") == number
        assert await tagged.get("k") == number
        await tagged.invalidate_tag("t")
        assert await tagged.increment("k") == 1
        assert await tagged.delete("k") is True


async def test_a_string_is_one_tag(tagged: Face) -> None:
    await tagged.set("a", 1, tags="users")
    await tagged.set_with_tags("b", 1, "users")
    await tagged.set_many({"c": 1, "d": 1}, tags="users")
    await tagged.add("e", 1, tags="users")
    await tagged.get_or_set("f", lambda: 1, tags="users")
    await tagged.get_or_set_many(["g"], lambda keys: {"g": 1}, tags="users")
    await tagged.refresh("h", lambda: 1, tags="users")
    assert await tagged.list_tags() == ["users"]
    assert await tagged.get_tags_for_key("b") == ["users"]
    assert await tagged.get_keys_by_tag("users") == list("abcdefgh")
    await tagged.invalidate_tags("u")
    await tagged.invalidate_tags(iter("sre"))
    assert len(await tagged.scan()) == 8
    await tagged.invalidate_tags("users")
    assert await tagged.scan() == []


async def test_listings_are_sorted_and_each_thing_is_there_once(tagged: Face) -> None:
    assert await tagged.list_tags() == []
    assert await tagged.get_keys_by_tag("t") == []
    assert await tagged.get_tags_for_key("k") == []
    await tagged.set("k", 1, tags=["t", "b", "t", "a"])
    await tagged.set("j", 1, tags=iter(["t"]))
    await tagged.set("ä:b {c}", 1, tags={"t", "x:y {z}*"})
    await tagged.set("plain", 1)
    assert await tagged.get_tags_for_key("k") == ["a", "b", "t"]
    assert await tagged.get_tags_for_key("plain") == []
    for exact in (False, True):
        assert await tagged.get_keys_by_tag("t", exact=exact) == ["j", "k", "ä:b {c}"]
        assert await tagged.get_keys_by_tag("a", exact=exact) == ["k"]
        assert await tagged.get_keys_by_tag("x:y {z}*", exact=exact) == ["ä:b {c}"]
        assert await tagged.get_keys_by_tag("*", exact=exact) == []
    assert await tagged.list_tags() == ["a", "b", "t", "x:y {z}*"]


async def test_listings_follow_an_overwrite(tagged: Face) -> None:
    await tagged.set("k", 1, tags=["old", "both"])
    await tagged.set("k", 2, tags=["both", "new"])
    assert await tagged.get_tags_for_key("k") == ["both", "new"]
    assert await tagged.list_tags() == ["both", "new"]
    assert await tagged.get_keys_by_tag("old") == []
    assert await tagged.get_keys_by_tag("new") == ["k"]
    await tagged.invalidate_tag("old")
    assert await tagged.get("k") == 2
    await tagged.set("k", 3)
    assert await tagged.list_tags() == []
    assert await tagged.get_keys_by_tag("both") == []
    await tagged.invalidate_tag("both")
    assert await tagged.get("k") == 3


async def test_listings_follow_delete_invalidation_and_clear(tagged: Face) -> None:
    await tagged.set_many(dict.fromkeys("abcd", 1), tags=["t", "u"])
    await tagged.delete("a")
    assert await tagged.get_keys_by_tag("t") == ["b", "c", "d"]
    assert await tagged.get_tags_for_key("a") == []
    await tagged.set("b", 2, tags="v")
    await tagged.invalidate_tag("u")
    assert await tagged.get_keys_by_tag("t") == []
    assert await tagged.get_keys_by_tag("t", exact=True) == []
    assert await tagged.get_tags_for_key("c") == []
    assert await tagged.list_tags() == ["v"]
    await tagged.clear()
    assert await tagged.list_tags() == []
    assert await tagged.get_keys_by_tag("v") == []


async def test_listings_follow_expiry(kit: Kit, tagged: Face) -> None:
    await tagged.set("short", 1, tags=["t", "s"], ttl=0.03)
    await tagged.set("long", 1, tags="t", ttl=600)
    await kit.expired(tagged, "short", 0.03)
    assert await tagged.get_keys_by_tag("t") == ["long"]
    assert await tagged.get_tags_for_key("short") == []
    assert await tagged.list_tags() == ["t"]
    await tagged.invalidate_tag("t")
    assert await tagged.get("long") is None


async def test_tags_stay_with_changes_that_keep_the_value(tagged: Face) -> None:
    await tagged.set("k", 1, tags=["t"], ttl=60)
    await tagged.expire("k", 600)
    assert await tagged.increment("k") == 2
    assert await tagged.increment("k") == 3
    assert await tagged.get("k") == 3
    assert await tagged.get_tags_for_key("k") == ["t"]
    assert await tagged.get_keys_by_tag("t") == ["k"]
    await tagged.invalidate_tag("t")
    assert await tagged.get("k") is None
    assert await tagged.increment("k") == 1


async def test_many_tags(tagged: Face) -> None:
    tags = [f"tag:{number:03}" for number in range(256)]
    await tagged.set("k", 1, tags=tags)
    assert await tagged.get_tags_for_key("k") == tags
    assert await tagged.list_tags() == tags
    with pytest.raises(InvalidTag, match="at most 256"):
        await tagged.set("k", 2, tags=[*tags, "one more"])
    await tagged.invalidate_tags([f"other:{number}" for number in range(2500)])
    assert await tagged.get("k") == 1
    await tagged.invalidate_tags([f"other:{number}" for number in range(2000)] + tags[-1:])
    assert await tagged.get("k") is None
    await tagged.invalidate_tags([])


async def test_bad_tags_change_nothing(tagged: Face) -> None:
    await tagged.set("k", "old", tags="t")
    wrong: tuple[Any, ...] = ("", "n\0l", "t" * 1025, "\ud800", 5, None, b"t", ["t"])
    for bad in wrong:
        for call in (
            lambda bad=bad: tagged.set("k", "new", tags=["t", bad]),
            lambda bad=bad: tagged.set_many({"k": "new", "l": 1}, tags=["t", bad]),
            lambda bad=bad: tagged.add("l", 1, tags=["t", bad]),
            lambda bad=bad: tagged.set_with_tags("k", "new", ["t", bad]),
            lambda bad=bad: tagged.get_or_set("l", lambda: 1, tags=["t", bad]),
            lambda bad=bad: tagged.get_or_set_many(["l"], lambda k: {"l": 1}, tags=["t", bad]),
            lambda bad=bad: tagged.refresh("k", lambda: "new", tags=["t", bad]),
            lambda bad=bad: tagged.invalidate_tags(["t", bad]),
            lambda bad=bad: tagged.invalidate_tag(bad),
            lambda bad=bad: tagged.get_keys_by_tag(bad),
        ):
            with pytest.raises(InvalidTag, match="tag") as caught:
                await call()
            assert caught.value.tag == bad
    odd: tuple[Any, ...] = (5, 1.5, object())
    for bad in odd:
        for call in (
            lambda bad=bad: tagged.set("k", "new", tags=bad),
            lambda bad=bad: tagged.set_many({"k": "new"}, tags=bad),
            lambda bad=bad: tagged.get_or_set("l", lambda: 1, tags=bad),
            lambda bad=bad: tagged.get_or_set_many(["l"], lambda k: {"l": 1}, tags=bad),
            lambda bad=bad: tagged.invalidate_tags(bad),
        ):
            with pytest.raises(InvalidTag, match="a str or several") as caught:
                await call()
            assert caught.value.tag is bad
    assert await tagged.get("k") == "old"
    assert await tagged.get_tags_for_key("k") == ["t"]
    assert await tagged.exists("l") is False


async def test_tags_without_tagged_cache_are_refused(untagged: Face) -> None:
    await untagged.set("k", "old")
    for call in (
        lambda: untagged.set("k", "new", tags=["t"]),
        lambda: untagged.set("k", "new", tags="t"),
        lambda: untagged.set_many({"k": "new"}, tags="t"),
        lambda: untagged.add("l", 1, tags="t"),
        lambda: untagged.get_or_set("l", lambda: 1, tags="t"),
        lambda: untagged.get_or_set_many(["l"], lambda keys: {"l": 1}, tags="t"),
        lambda: untagged.refresh("k", lambda: "new", tags="t"),
    ):
        with pytest.raises(TagsNotSupported, match="wrap it: TaggedCache"):
            await call()
    assert await untagged.get("k") == "old"
    assert await untagged.exists("l") is False
    await untagged.set("k", "new", tags=())
    assert await untagged.get("k") == "new"
    assert untagged.store.supports_tags is False
    assert not hasattr(untagged.store, "invalidate_tag")
