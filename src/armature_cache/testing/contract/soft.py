"""Soft invalidation: entries become stale, for those who may have them so."""

from __future__ import annotations

from armature_cache.testing.contract.faces import Face, eventually
from armature_cache.testing.contract.kit import Kit

LONG = 60.0


def _fail() -> int:
    raise ConnectionError


async def _filled(tagged: Face) -> None:
    await tagged.set("k", 1, tags=["t", "u"], ttl=LONG)
    await tagged.set("other", 1, tags=["u"], ttl=LONG)


async def test_softly_invalidated_is_a_miss(tagged: Face) -> None:
    await _filled(tagged)
    await tagged.invalidate_tag("t", soft=True)
    assert await tagged.get_many(["k", "other"]) == {"other": 1}
    assert await tagged.get("k") is None
    assert await tagged.exists("k") is False
    assert await tagged.ttl("k") is None
    assert await tagged.get_tags_for_key("k") == []
    assert await tagged.get_keys_by_tag("u") == ["other"]
    assert await tagged.get_or_set("k", lambda: 2, tags="t") == 2
    assert await tagged.get("k") == 2


async def test_who_may_have_it_stale_has_it_until_it_is_loaded_again(tagged: Face) -> None:
    await _filled(tagged)
    await tagged.invalidate_tags(["t", "none"], soft=True)
    gate = tagged.gate()

    async def load() -> int:
        await gate.passed()
        return 2

    policy = {"stale_while_revalidate": LONG, "tags": "t"}
    assert await tagged.get_or_set("k", tagged.loader(load), **policy) == 1
    assert await tagged.get_or_set("k", tagged.loader(load), **policy) == 1
    gate.open()

    async def renewed() -> bool:
        return bool(await tagged.get("k") == 2)

    async def renewed_for_all() -> bool:
        return bool(await tagged.get_or_set("k", tagged.loader(load), **policy) == 2)

    await eventually(renewed, "a renewal")
    await eventually(renewed_for_all, "a renewal for those who may have it stale")


async def test_a_hard_invalidation_wins_over_a_soft_one(tagged: Face) -> None:
    for order in ((True, False), (False, True)):
        await _filled(tagged)
        for soft in order:
            await tagged.invalidate_tag("t", soft=soft)
        assert await tagged.get_or_set("k", lambda: 2, tags="t", stale_for=LONG) == 2


async def test_grace_counts_from_the_invalidation(kit: Kit, tagged: Face) -> None:
    await _filled(tagged)
    await tagged.invalidate_tag("t", soft=True)
    if not kit.shared:
        kit.time.advance(0.3)

    async def over() -> bool:
        try:
            return bool(await tagged.get_or_set("k", _fail, stale_for=0.2, retry_after=0) != 1)
        except ConnectionError:
            return True

    await eventually(over, "the end of the grace")
    assert await tagged.get_or_set("k", _fail, stale_for=LONG, retry_after=0) == 1


async def test_a_load_before_a_soft_invalidation_is_stale_when_stored(tagged: Face) -> None:
    started, gate = tagged.gate(), tagged.gate()

    async def load() -> int:
        started.open()
        await gate.passed()
        return 1

    async def old() -> object:
        return await tagged.get_or_set("k", tagged.loader(load), tags="t", lock_timeout=0)

    async def new() -> object:
        await started.passed()
        await tagged.invalidate_tag("t", soft=True)
        fresh = await tagged.get_or_set("k", lambda: 2, tags="t", lock_timeout=0)
        gate.open()
        return fresh

    assert await tagged.together([old, new]) == [1, 2]
    assert await tagged.get("k") == 2


async def test_a_soft_invalidation_within_a_namespace(tagged: Face) -> None:
    part = tagged.namespace("t")
    for cache in (tagged, part):
        await cache.set("k", 1, tags=["t", "~"], ttl=LONG)
    await part.invalidate_tag("~", soft=True)
    assert await part.get("k") is None
    assert await part.get_or_set("k", _fail, stale_for=LONG) == 1
    assert await tagged.get("k") == 1
    await tagged.invalidate_tag("~", soft=True)
    assert await tagged.get("k") is None
    await part.clear()
    assert await part.get_or_set("k", lambda: 3, stale_for=LONG) == 3


async def test_deferred_invalidations_keep_their_kind(tagged: Face) -> None:
    await _filled(tagged)

    async def change(cache: Face) -> None:
        block = cache.store.deferred_invalidation()
        if cache.awaited:
            async with block:
                await cache.invalidate_tag("t", soft=True)
                assert await cache.get("k") == 1
        else:
            with block:
                await cache.invalidate_tag("t", soft=True)
                assert await cache.get("k") == 1

    await change(tagged)
    assert await tagged.get("k") is None
    assert await tagged.get_or_set("k", lambda: 2, stale_while_revalidate=LONG) == 1
