"""One process, and what overtakes what: an invalidation beats every load in flight."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from armature_cache import (
    CacheConfig,
    InMemoryCache,
    RedisCache,
    TaggedCache,
    TieredCache,
    TieredCacheConfig,
)
from armature_cache.redisio.port import Command
from armature_cache.stores.base import CacheStore
from tests.coherence.ports import Tap, is_read, tap

Build = Callable[..., tuple[TaggedCache, Tap]]


@pytest.fixture
async def make(server_url: str, namespace: str):
    """Makes tiered caches over one namespace, without hints: nothing happens behind the test."""
    made: list[TaggedCache] = []

    def build(**tiers: Any) -> tuple[TaggedCache, Tap]:
        redis = RedisCache(CacheConfig.redis(server_url, namespace=namespace, hints=False))
        line = tap(redis)
        line.namespace = namespace
        cache = TaggedCache(TieredCache(InMemoryCache(), redis, TieredCacheConfig(**tiers)))
        made.append(cache)
        return cache, line

    yield build
    for cache in made:
        await cache.aclose()


Change = Callable[[CacheStore], Awaitable[object]]
CHANGES: dict[str, Change] = {
    "invalidate": lambda c: c.invalidate_tag("t"),  # type: ignore[attr-defined]
    "delete": lambda c: c.delete("k"),
    "clear": lambda c: c.clear(),
    "set": lambda c: c.set("k", "new", as_of=None),
}


@pytest.mark.parametrize("by", ["same cache", "another process's cache"])
@pytest.mark.parametrize("how", CHANGES)
async def test_a_change_during_a_load_wins(make: Build, how: str, by: str) -> None:
    cache, _ = make()
    other, _ = make()
    changer = cache if by == "same cache" else other

    async def load() -> str:
        await CHANGES[how](changer)
        return "old"

    assert await cache.get_or_set("k", load, tags=["t"]) == "old"
    for reader in (cache, other):
        expected = "new" if how == "set" else None
        assert await reader.get("k", consistency="strong") == expected
        assert await reader.get("k") == expected


async def test_with_asof_taken_at_write_time_a_late_fill_would_be_served(
    make: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutation that the tests above must catch: the stamp of a load taken at its end."""
    cache, _ = make()
    store = cache._store

    async def late_stamp(drafts: Sequence[Any]) -> None:
        for draft in drafts:
            if draft.stamp is not None:
                draft.stamp = cache.clock.replica.stamp()
        await store(drafts)

    monkeypatch.setattr(cache, "_store", late_stamp)

    async def load() -> str:
        await cache.invalidate_tag("t")
        return "old"

    await cache.get_or_set("k", load, tags=["t"])
    assert await cache.get("k", consistency="strong") == "old"


@pytest.mark.parametrize("how", CHANGES)
async def test_a_value_read_from_l2_before_a_change_is_not_promoted_after_it(
    make: Build, how: str
) -> None:
    writer, _ = make()
    await writer.set_with_tags("k", "old", ["t"], ttl=60)
    reader, line = make()
    await reader.get("warm the clock")

    async def meanwhile(commands: Sequence[Command]) -> None:
        if is_read(commands):
            line.after = None
            await CHANGES[how](reader)

    line.after = meanwhile
    assert await reader.get("k") in {"old", None, "new"}
    expected = "new" if how == "set" else None
    assert await reader.get("k") == expected
    assert await reader.get("k", consistency="strong") == expected


async def test_a_reader_between_the_steps_of_a_set_does_not_keep_the_old_value(
    make: Build,
) -> None:
    cache, line = make()
    await cache.set("k", "old", ttl=60)
    seen: list[object] = []

    async def meanwhile(commands: Sequence[Command]) -> None:
        line.before = None
        seen.append(await cache.get("k"))

    line.before = meanwhile
    await cache.set("k", "new", ttl=60, as_of=None)
    assert len(seen) == 1
    assert await cache.get("k") == "new"


async def test_a_reader_joins_no_load_that_an_invalidation_has_overtaken(make: Build) -> None:
    cache, _ = make()
    database = "old"
    started, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> str:
        value = database
        started.set()
        await go_on.wait()
        return value

    async def fast() -> str:
        return database

    first = asyncio.create_task(cache.get_or_set("k", slow, tags=["t"]))
    await started.wait()
    database = "new"
    await cache.invalidate_tag("t")
    assert await cache.get_or_set("k", fast, tags=["t"]) == "new"
    go_on.set()
    assert await first == "old"
    assert await cache.get("k", consistency="strong") == "new"


async def test_waiters_are_not_cancelled_with_the_first_caller(make: Build) -> None:
    cache, _ = make()
    started, go_on = asyncio.Event(), asyncio.Event()
    loads = 0

    async def load() -> str:
        nonlocal loads
        loads += 1
        started.set()
        await go_on.wait()
        return "v"

    first = asyncio.create_task(cache.get_or_set("k", load))
    await started.wait()
    others = [asyncio.create_task(cache.get_or_set("k", load)) for _ in range(5)]
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    go_on.set()
    assert await asyncio.gather(*others) == ["v"] * 5
    assert first.cancelled()
    assert loads == 1


async def test_the_last_waiter_to_leave_cancels_the_load(make: Build) -> None:
    cache, _ = make()
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def load() -> str:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return "never"

    tasks = [asyncio.create_task(cache.get_or_set("k", load)) for _ in range(3)]
    await started.wait()
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    await asyncio.wait_for(cancelled.wait(), 5)
    assert await cache.get_or_set("k", lambda: "again") == "again"


async def test_the_set_after_a_miss_is_a_fill(make: Build) -> None:
    cache, _ = make()
    other, _ = make()
    assert await cache.get("k") is None
    await asyncio.create_task(other.invalidate_tag("t"))
    await cache.set_with_tags("k", "read before the invalidation", ["t"])
    assert await other.get("k", consistency="strong") is None
    assert await cache.get("k", consistency="strong") is None


async def test_what_was_written_after_a_miss_beats_an_older_load(make: Build) -> None:
    """The model's counterexample to plain fills: the load and the lease have the same asof."""
    cache, _ = make()
    other, _ = make()
    started, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> str:
        started.set()
        await go_on.wait()
        return "old"

    loading = asyncio.create_task(other.get_or_set("k", slow, ttl=60))
    await started.wait()
    assert await cache.get("k") is None
    await cache.set("k", "written", ttl=60)
    go_on.set()
    assert await loading == "old"
    assert await cache.get("k", consistency="strong") == "written"
    assert await other.get("k", consistency="strong") == "written"


@pytest.mark.parametrize("shared", [True, False], ids=["tiered", "in memory"])
async def test_many_who_missed_at_once_agree(make: Build, shared: bool) -> None:
    """Hand-written cache-aside on a hot key: the sets after the misses do not undo one another."""
    cache = make()[0] if shared else TaggedCache(InMemoryCache())
    await cache.set("k", "v", tags=["t"], ttl=60)
    await cache.invalidate_tag("t")
    missed = asyncio.Barrier(8)

    async def reader() -> None:
        assert await cache.get("k") is None
        await missed.wait()
        await cache.set_with_tags("k", "v", ["t"], ttl=60)
        assert await cache.get("k", consistency="strong") == "v"

    async with asyncio.TaskGroup() as tasks:
        for _ in range(8):
            tasks.create_task(reader())
    assert await cache.get("k") == "v"


async def test_two_who_missed_at_once_and_disagree_leave_nothing(make: Build) -> None:
    """Nobody knows which of the two is older."""
    cache, _ = make()
    other, _ = make()

    async def miss_and_set(store: TaggedCache, value: str, missed: asyncio.Barrier) -> None:
        assert await store.get("k") is None
        await missed.wait()
        await store.set("k", value, ttl=60)

    missed = asyncio.Barrier(2)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(miss_and_set(cache, "one", missed))
        tasks.create_task(miss_and_set(other, "two", missed))
    assert await cache.get("k", consistency="strong") is None
    assert await other.get_or_set("k", lambda: "now") == "now"
    assert await cache.get("k", consistency="strong") == "now"


async def test_a_late_fill_is_refused_though_the_tombstone_was_evicted(make: Build) -> None:
    cache, line = make()

    async def load() -> str:
        await cache.delete("k")
        names = (await line.send([("KEYS", f"*{line.namespace}*:v:k")])).replies[0]
        await line.send([("DEL", names[0])])
        return "old"

    await cache.get_or_set("k", load, ttl=60)
    assert cache.stats().refused == 1
    assert await cache.get("k", consistency="strong") is None


async def test_a_lease_does_not_outlive_the_contexts_own_set(make: Build) -> None:
    cache, _ = make()
    other, _ = make()
    assert await cache.get("k") is None
    await cache.set("k", "fill")
    await other.set("k", "theirs", as_of=None)
    await cache.set("k", "explicit")
    assert await other.get("k", consistency="strong") == "explicit"


async def test_a_mark_makes_a_set_a_fill(make: Build) -> None:
    cache, _ = make()
    mark = await cache.mark()
    await cache.invalidate_tag("t")
    await cache.set("k", "read before", tags=["t"], as_of=mark)
    assert await cache.get("k", consistency="strong") is None
    await cache.set("k", "read after", tags=["t"], as_of=await cache.mark())
    assert await cache.get("k", consistency="strong") == "read after"


async def test_round_trips_do_not_depend_on_the_number_of_keys(make: Build) -> None:
    cache, line = make(staleness_bound=60)
    await cache.set("warm", "declares its lifetime once", ttl=60)
    counts = [await _round_trips(cache, line, size) for size in (1, 200)]
    assert counts[0] == counts[1] == [1, 1, 1, 1, 1]


async def _round_trips(cache: TaggedCache, line: Tap, size: int) -> list[int]:
    keys = [f"{size}:{n}" for n in range(size)]
    steps: list[Callable[[], Awaitable[object]]] = [
        lambda: cache.set_many(dict.fromkeys(keys, 1), tags=["t"], ttl=60, as_of=None),
        lambda: cache.get_many(keys, consistency="strong"),
        lambda: cache.invalidate_tag("t"),
        lambda: cache.get_many(keys, consistency="strong"),
        lambda: cache.delete_many(keys),
    ]
    counts = []
    for step in steps:
        before = line.sent
        await step()
        counts.append(line.sent - before)
    return counts


@pytest.mark.parametrize("last", ["set", "delete", "invalidation"])
async def test_a_sync_without_news_leaves_entries_alone(make: Build, last: str) -> None:
    cache, _ = make()
    await cache.set("k", 1, tags=["t"], as_of=None)
    if last == "delete":
        await cache.delete("other")
    if last == "invalidation":
        await cache.invalidate_tag("other")
    assert await cache.get("k", consistency="strong") == 1
    before = cache.clock.replica.generation
    for _ in range(3):
        assert await cache.get("k", consistency="strong") == 1
    assert cache.clock.replica.generation == before
    await cache.invalidate_tag("t")
    assert cache.clock.replica.generation > before


async def test_a_warm_hit_needs_no_round_trip(make: Build) -> None:
    cache, line = make(staleness_bound=60)
    await cache.set_with_tags("k", "v", ["a", "b"], ttl=60)
    before = line.sent
    for _ in range(100):
        assert await cache.get("k") == "v"
    assert line.sent == before
