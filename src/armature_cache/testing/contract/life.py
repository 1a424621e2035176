from __future__ import annotations

import pytest

from armature_cache.errors import ClosedError
from armature_cache.testing.contract.faces import Face
from armature_cache.testing.contract.kit import Kit


async def test_ping(cache: Face) -> None:
    assert await cache.ping() is None


async def test_closing_twice_is_fine(cache: Face) -> None:
    await cache.set("k", 1)
    await cache.close()
    await cache.close()


async def test_closing_what_was_never_used_is_fine(cache: Face) -> None:
    await cache.close()


async def test_a_closed_store_over_a_server_says_so(shared: Face) -> None:
    await shared.set("k", 1)
    await shared.close()
    for call in (
        lambda: shared.set("k", 2),
        lambda: shared.delete("k"),
        lambda: shared.increment("k"),
        shared.clear,
        shared.ping,
        shared.scan,
    ):
        with pytest.raises(ClosedError, match="closed"):
            await call()


async def test_a_store_is_a_context_manager(shared: Face) -> None:
    async def work(store: Face) -> None:
        assert store.store is shared.store
        await store.set("k", 1)
        assert await store.get("k") == 1

    await shared.within(work)
    with pytest.raises(ClosedError):
        await shared.ping()

    async def fail(store: Face) -> None:
        raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"):
        await shared.within(fail)


async def test_the_sync_face_shares_everything(kit: Kit, cache: Face) -> None:
    twin = Face(cache.store.sync())
    assert not twin.awaited
    await cache.set("a", 1)
    await twin.set("b", 2)
    assert await twin.get("a") == 1
    assert await cache.get("b") == 2
    assert await twin.get_or_set("c", lambda: 3) == 3
    assert await cache.get_many(["a", "b", "c"]) == {"a": 1, "b": 2, "c": 3}
    await cache.set("a", 4)
    assert await twin.get("a") == 4
    await twin.delete("b")
    assert await cache.get("b") is None
    await cache.clear()
    assert await twin.scan() == []
    await twin.close()


async def test_counts(cache: Face) -> None:
    before = cache.stats()
    assert (before.hits, before.misses, before.hit_ratio) == (0, 0, 0.0)
    await cache.get("k")
    await cache.set("k", 1)
    for _ in range(3):
        assert await cache.get("k") == 1
    await cache.get_or_set("l", lambda: 2)
    await cache.get_many(["k", "l", "x", "y"])
    await cache.add("k", 2)
    await cache.add("m", 2)
    await cache.set_many({"n": 1, "o": 1})
    await cache.delete("n")
    await cache.delete("n")
    stats = cache.stats()
    assert (stats.hits, stats.misses) == (5, 4)
    assert stats.hit_ratio == 5 / 9
    assert (stats.loads, stats.load_errors, stats.sets, stats.deletes) == (1, 0, 5, 1)
    assert (stats.errors, stats.undecodable, stats.refused) == (0, 0, 0)
    with pytest.raises(ZeroDivisionError):
        await cache.get_or_set("z", lambda: 1 / 0)
    after = cache.stats()
    assert (after.loads, after.load_errors) == (2, 1)
    assert (stats.loads, stats.load_errors) == (1, 0)


async def test_counts_of_tags(tagged: Face) -> None:
    await tagged.set_with_tags("k", 1, ["t", "u"])
    await tagged.invalidate_tag("t")
    await tagged.invalidate_tags(["t", "u"])
    assert (tagged.stats().sets, tagged.stats().invalidations) == (1, 3)


async def test_a_refused_fill_is_counted(cache: Face) -> None:
    await cache.get("k")
    await cache.elsewhere(cache.set("k", 1))
    await cache.set("k", 2)
    stats = cache.stats()
    assert stats.sets == 1
    assert stats.refused == 1


async def test_repr_shows_the_structure_and_no_values(kit: Kit, cache: Face) -> None:
    await cache.set("the key", "the value")
    shown = repr(cache)
    assert "the value" not in shown
    assert "the key" not in shown
    assert "object at 0x" not in shown
    assert len(shown) < 300
    assert "Cache" in shown
