"""Cache-aside as in the guide: what was read before an invalidation and set after it is not served.

`elsewhere` stands for another task or thread: an invalidation in the caller's own context says
that what the caller sets next is new.
"""

from __future__ import annotations

import pytest

from armature_cache.errors import ConfigError
from armature_cache.testing.contract.faces import Face
from armature_cache.testing.contract.kit import Kit

GONE = "gone"


async def test_a_set_after_a_miss_is_stored(cache: Face) -> None:
    assert await cache.get("k") is None
    await cache.set("k", 1)
    assert await cache.get("k") == 1


async def test_a_delete_between_miss_and_set_wins(cache: Face) -> None:
    assert await cache.get("k") is None
    await cache.elsewhere(cache.delete("k"))
    await cache.set("k", "old")
    assert await cache.get("k", GONE) == GONE


async def test_a_set_between_miss_and_set_wins(cache: Face) -> None:
    assert await cache.get("k") is None
    await cache.elsewhere(cache.set("k", "new"))
    await cache.set("k", "old")
    assert await cache.get("k", GONE) in {"new", GONE}, "nobody knows which of the two is newer"


async def test_a_clear_between_miss_and_set_wins(cache: Face) -> None:
    assert await cache.get("k") is None
    await cache.elsewhere(cache.clear())
    await cache.set("k", "old")
    assert await cache.get("k", GONE) == GONE


async def test_an_invalidation_between_miss_and_set_wins(tagged: Face) -> None:
    assert await tagged.get("k") is None
    assert await tagged.get_many(["m", "n"]) == {}
    await tagged.elsewhere(tagged.invalidate_tag("t"))
    await tagged.set_with_tags("k", "old", ["s", "t"])
    await tagged.set_many({"m": "old", "n": "old"}, tags="t")
    assert await tagged.get_many(["k", "m", "n"]) == {}
    await tagged.set_with_tags("k", "new", ["s", "t"])
    assert await tagged.get("k") == "new", "the miss above left a lease of its own"


async def test_the_invalidation_of_another_tag_does_not_matter(kit: Kit, tagged: Face) -> None:
    if kit.coarse:  # it cannot tell a tag that is new from one that it has lost
        await tagged.set("seen", 1, tags="t")
    assert await tagged.get("k") is None
    await tagged.elsewhere(tagged.invalidate_tag("other"))
    await tagged.set("k", 1, tags="t")
    assert await tagged.get("k") == 1


async def test_a_set_without_a_miss_is_explicit(cache: Face) -> None:
    await cache.elsewhere(cache.delete("k"))
    await cache.set("k", 1)
    assert await cache.get("k") == 1
    await cache.elsewhere(cache.delete("k"))
    await cache.set("k", 2)
    assert await cache.get("k") == 2


async def test_a_lease_is_good_for_one_set(cache: Face) -> None:
    assert await cache.get("k") is None
    await cache.elsewhere(cache.delete("k"))
    await cache.set("k", "old")
    await cache.set("k", "explicit")
    assert await cache.get("k") == "explicit"


async def test_a_lease_belongs_to_its_key(cache: Face) -> None:
    assert await cache.get("other") is None
    await cache.elsewhere(cache.delete("k"))
    await cache.set("k", 1)
    assert await cache.get("k") == 1


async def test_own_changes_drop_the_lease(cache: Face) -> None:
    for change in (
        lambda: cache.delete("k"),
        lambda: cache.delete_many(["k"]),
        cache.clear,
        lambda: cache.set("k", 0, as_of=None),
        lambda: cache.increment("k"),
    ):
        await cache.delete("k")
        assert await cache.get("k") is None
        await cache.elsewhere(cache.delete("k"))
        await change()
        await cache.set("k", "mine")
        assert await cache.get("k") == "mine"


async def test_a_hit_drops_the_lease(cache: Face) -> None:
    assert await cache.get("k") is None
    await cache.elsewhere(cache.set("k", "theirs"))
    assert await cache.get("k") == "theirs"
    await cache.set("k", "mine")
    assert await cache.get("k") == "mine"


async def test_own_invalidation_drops_the_lease(tagged: Face) -> None:
    assert await tagged.get("k") is None
    await tagged.invalidate_tag("t")
    await tagged.set("k", "mine", tags="t")
    assert await tagged.get("k") == "mine"


async def test_as_of_none_insists(cache: Face) -> None:
    assert await cache.get("k") is None
    await cache.elsewhere(cache.delete("k"))
    await cache.set("k", 1, as_of=None)
    assert await cache.get("k") == 1
    assert await cache.get_many(["m"]) == {}
    await cache.elsewhere(cache.delete("m"))
    await cache.set_many({"m": 1}, as_of=None)
    assert await cache.get("m") == 1


async def _mark(cache: Face) -> object:
    mark = cache.mark()
    return await mark if cache.awaited else mark


async def test_a_value_as_of_a_mark_is_stored(cache: Face) -> None:
    mark = await _mark(cache)
    await cache.set("k", 1, as_of=mark)
    await cache.set_many({"a": 1, "b": 2}, as_of=mark)
    assert await cache.get_many(["k", "a", "b"]) == {"k": 1, "a": 1, "b": 2}
    assert "Mark" in repr(mark)


async def test_a_value_as_of_a_mark_loses_to_what_came_after_it(kit: Kit, cache: Face) -> None:
    mark = await _mark(cache)
    await cache.delete("deleted")
    await cache.set("set", "new")
    await cache.set("deleted", "old", as_of=mark)
    await cache.set("set", "old", as_of=mark)
    await cache.set_many({"deleted": "old", "other": 1}, as_of=mark)
    untouched = {} if kit.coarse else {"other": 1}
    assert await cache.get_many(["deleted", "set", "other"]) == {"set": "new", **untouched}
    await cache.clear()
    await cache.set("k", "old", as_of=mark)
    assert await cache.get("k", GONE) == GONE


async def test_a_mark_before_an_invalidation_is_too_old(kit: Kit, tagged: Face) -> None:
    mark = await _mark(tagged)
    await tagged.invalidate_tag("t")
    await tagged.set_with_tags("k", "old", "t", as_of=mark)
    assert await tagged.get("k", GONE) == GONE
    await tagged.set_with_tags("l", 1, "u", as_of=mark)
    assert await tagged.get("l") == (None if kit.coarse else 1)
    await tagged.set_with_tags("m", "new", "t", as_of=await _mark(tagged))
    assert await tagged.get("m") == "new"


async def test_what_is_no_mark_is_refused(cache: Face) -> None:
    for as_of in (5, "now", 0.0, True):
        with pytest.raises(ConfigError, match=r"mark\(\)") as caught:
            await cache.set("k", 1, as_of=as_of)
        assert caught.value.field == "as_of"
        with pytest.raises(ConfigError, match=r"mark\(\)"):
            await cache.set_many({"k": 1}, as_of=as_of)
    assert await cache.exists("k") is False
