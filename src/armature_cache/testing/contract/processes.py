"""Two stores over one server and namespace that know of one another only through the server.

A read that begins later than the staleness bound after a change has returned sees the change. Both
ends are taken here, so a slow machine cannot make these tests fail.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from armature_cache._time import boottime
from armature_cache.testing.contract.faces import DEADLINE, Face
from armature_cache.testing.contract.kit import Kit

GONE = "gone"


async def change_seen(kit: Kit, read: Callable[[], Awaitable[object]], old: object) -> object:
    """What `read` gives once it no longer gives `old`; checks that this took at most the bound."""
    changed = boottime()
    while True:
        began = boottime()
        got = await read()
        if got != old:
            return got
        late = began - changed
        assert late <= kit.bound, f"stale {late * 1000:.1f} ms after the change"
        assert late < DEADLINE


async def test_sets_and_deletes_are_seen(kit: Kit, shared: Face) -> None:
    far = kit.open(far=True)
    assert await far.get("k", GONE) == GONE
    await shared.set("k", 1)
    assert await change_seen(kit, lambda: far.get("k", GONE), GONE) == 1
    assert await far.get("k") == 1
    await shared.set("k", 2)
    assert await change_seen(kit, lambda: far.get("k", GONE), 1) == 2
    assert await far.get("k") == 2
    await shared.delete("k")
    assert await change_seen(kit, lambda: far.get("k", GONE), 2) == GONE
    await far.set("k", 3, as_of=None)
    assert await change_seen(kit, lambda: shared.get("k", GONE), GONE) == 3


async def test_changes_of_a_resident_entry_are_seen(kit: Kit, shared: Face) -> None:
    far = kit.open(far=True)
    await shared.set("n", 1, ttl=None)
    assert await far.get("n") == 1
    assert await shared.increment("n") == 2
    assert await change_seen(kit, lambda: far.get("n"), 1) == 2
    await shared.set("e", 1, ttl=600)
    assert await far.get("e") == 1
    assert await shared.expire("e", 0.01)
    await kit.expired(shared, "e", 0.01)
    assert await change_seen(kit, lambda: far.get("e", GONE), 1) == GONE


async def test_a_clear_is_seen(kit: Kit, shared: Face) -> None:
    far = kit.open(far=True)
    await shared.set_many({"k": 1, "l": 1})
    assert await far.get_many(["k", "l"]) == {"k": 1, "l": 1}
    await shared.clear()
    assert await change_seen(kit, lambda: far.get("k", GONE), 1) == GONE
    assert await far.get_many(["k", "l"]) == {}


async def test_the_clear_of_a_part_is_seen(kit: Kit, shared: Face) -> None:
    near, far = shared.namespace("a"), kit.open(far=True).namespace("a")
    await near.set("k", 1)
    assert await far.get("k") == 1
    await near.clear()
    assert await change_seen(kit, lambda: far.get("k", GONE), 1) == GONE


async def test_an_invalidation_is_seen(kit: Kit, shared: Face, tagged: Face) -> None:
    far = kit.open(far=True)
    for tag in ("t", "u"):
        await shared.set_with_tags("k", 1, ["t", "u"])
        assert await change_seen(kit, lambda: far.get("k", GONE), GONE) == 1
        assert await far.get("k") == 1
        await shared.invalidate_tag(tag)
        assert await change_seen(kit, lambda: far.get("k", GONE), 1) == GONE
        assert await far.get_keys_by_tag("t") == []


async def test_strong_reads_see_changes_at_once(kit: Kit, shared: Face) -> None:
    far = kit.open(far=True)
    for number in range(3):
        await shared.set("k", number)
        assert await far.get("k", consistency="strong") == number
        assert await far.get("k") == number
        assert await far.get_many(["k"], consistency="strong") == {"k": number}
    await shared.delete("k")
    assert await far.exists("k", consistency="strong") is False
    assert await far.get("k", GONE, consistency="strong") == GONE
    assert await far.get_or_set("k", lambda: "new", consistency="strong") == "new"


async def test_strong_reads_see_an_invalidation_at_once(
    kit: Kit, shared: Face, tagged: Face
) -> None:
    far = kit.open(far=True)
    for number in range(3):
        await shared.set("k", number, tags="t")
        assert await far.get("k", consistency="strong") == number
        await shared.invalidate_tag("t")
        assert await far.get("k", GONE, consistency="strong") == GONE


async def test_an_invalidation_beats_a_load_in_the_other_store(
    kit: Kit, shared: Face, tagged: Face
) -> None:
    far = kit.open(far=True)

    async def load() -> str:
        await shared.invalidate_tag("t")
        return "old"

    assert await far.get_or_set("k", far.loader(load), tags="t") == "old"
    for store in (shared, far):
        assert await store.get("k", GONE, consistency="strong") == GONE
        assert await store.get("k", GONE) == GONE


async def test_a_delete_beats_a_load_in_the_other_store(kit: Kit, shared: Face) -> None:
    far = kit.open(far=True)

    async def load() -> str:
        await shared.delete("k")
        return "old"

    assert await far.get_or_set("k", far.loader(load)) == "old"
    for store in (shared, far):
        assert await store.get("k", GONE, consistency="strong") == GONE
        assert await store.get("k", GONE) == GONE


async def test_stores_of_one_process_see_each_other_at_once(kit: Kit, shared: Face) -> None:
    twin = kit.open()
    assert await twin.get("k") is None
    await shared.set("k", 1)
    assert await twin.get("k") == 1
    await shared.set("k", 2)
    assert await twin.get("k") == 2
    await twin.delete("k")
    assert await shared.get("k") is None
    await shared.set("k", 3)
    assert await twin.get("k") == 3
    await twin.clear()
    assert await shared.get("k") is None


async def test_counts_from_two_stores_add_up(kit: Kit, shared: Face) -> None:
    far = kit.open(far=True)
    assert await shared.increment("n") == 1
    assert await far.increment("n") == 2
    assert await shared.increment("n") == 3
    assert await far.add("n", 0) is False
    await shared.delete("n")
    assert await far.increment("n") == 1
