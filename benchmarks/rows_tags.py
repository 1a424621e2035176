"""Invalidating a tag, beside deleting what carries it; and what other clients feel meanwhile."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, NamedTuple

import redis.asyncio

from armature_cache import TaggedCache
from benchmarks.bench import TTL, Bench
from benchmarks.harness import OURS, Figure, Result, Target, row
from benchmarks.pinger import Pinger

_CHUNK = 1000
_COUNTS = (100, 10_000, 100_000)
_ROUNDS = {100: 9, 10_000: 2, 100_000: 1}
_VALUE = "v" * 500
_DELETES = "pipelined DEL"
_SET = "set of keys + UNLINK"
_CASHEWS = "cashews"

_TAGS = 5
"""Tags that each of our entries carries: one invalidation alone would be a matter of luck."""

Fill = Callable[[int], Awaitable[None]]
Drop = Callable[[int], Awaitable[Any]]


class Way(NamedTuple):
    """How keys are made and got rid of; `drops` calls of `drop` each get rid of all of them."""

    fill: Fill
    drop: Drop
    drops: int = 1


def _chunks(count: int, prefix: str = "k:") -> Iterator[list[str]]:
    for first in range(0, count, _CHUNK):
        yield [f"{prefix}{number}" for number in range(first, min(first + _CHUNK, count))]


class _Bare:
    """What is done without a cache library."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self.client = client

    async def fill(self, count: int) -> None:
        for keys in _chunks(count):
            await self.client.mset(dict.fromkeys(keys, _VALUE))

    async def fill_set(self, count: int) -> None:
        await self.fill(count)
        for keys in _chunks(count):
            await self.client.sadd("tag:users", *keys)

    async def delete(self, count: int) -> None:
        for keys in _chunks(count):
            pipeline = self.client.pipeline(transaction=False)
            for key in keys:
                pipeline.delete(key)
            await pipeline.execute()

    async def delete_one_by_one(self, count: int) -> None:
        for keys in _chunks(count):
            for key in keys:
                await self.client.delete(key)

    async def unlink_set(self, _count: int) -> None:
        members: Any = await self.client.smembers("tag:users")
        await self.client.unlink("tag:users", *members)


def _ours(store: TaggedCache) -> Way:
    tags = [f"users:{number}" for number in range(_TAGS)]
    turns = itertools.cycle(tags)

    async def fill(count: int) -> None:
        for keys in _chunks(count):
            mark = await store.mark()
            loaded = dict.fromkeys(keys, _VALUE)
            await store.set_many(loaded, ttl=TTL, tags=tags, as_of=mark)

    async def drop(_count: int) -> None:
        await store.invalidate_tag(next(turns))

    return Way(fill, drop, _TAGS)


def _cashews(cache: Any) -> Way:
    async def fill(count: int) -> None:
        for keys in _chunks(count, "c:"):
            for key in keys:
                await cache.set(key, _VALUE, expire=TTL, tags=("users",))

    async def drop(_count: int) -> None:
        await cache.delete_tags("users")

    return Way(fill, drop)


async def _measure(
    ways: dict[str, Way], count: int, rounds: int, pinger: Pinger
) -> tuple[dict[str, Figure], dict[str, Figure]]:
    """The time of each way, and the longest stall of another client meanwhile, in ns."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    stalls: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, (fill, drop, drops) in ways.items():
            await fill(count)
            for _ in range(drops):
                pinger.longest()
                started = time.perf_counter_ns()
                await drop(count)
                times[name].append(time.perf_counter_ns() - started)
                stalls[name].append(pinger.longest())
    return _figures(times), _figures(stalls)


def _figures(values: dict[str, list[float]]) -> dict[str, Figure]:
    return {name: Figure(tuple(each)) for name, each in values.items()}


@row("invalidate")
async def invalidate(bench: Bench) -> list[Result]:
    measured: dict[int, dict[str, Figure]] = {}
    stalls: dict[str, Figure] = {}
    bench.flush()
    with Pinger(bench.url) as pinger:
        async with bench.store() as store, bench.client() as client:
            for count in map(bench.size, _COUNTS):
                ways = await _ways(bench, store, client, count)
                rounds = bench.rounds(_ROUNDS.get(count, 3))
                measured[count], stalls = await _measure(ways, count, rounds, pinger)
                pinger.longest()
            await asyncio.sleep(1)
            stalls["nobody"] = Figure((pinger.longest(),))
    bench.flush()
    few, *_, most = measured
    results = [_of(count, figures) for count, figures in measured.items()]
    growth = {OURS: measured[most][OURS], f"armature, {few:,} keys": measured[few][OURS]}
    results.append(
        Result(
            "invalidate-growth",
            f"`invalidate_tag` with {most:,} keys beside {few:,} keys",
            "ns",
            growth,
            (Target("factor", 1.25, f"armature, {few:,} keys"),),
            "The same speed, but for noise: the limit leaves a quarter for it.",
            by="median",
        )
    )
    results.append(
        Result(
            "invalidate-stall",
            f"longest stall of another client while {most:,} keys are invalidated",
            "ns",
            stalls,
            remark="The longest of the round trips of a client that pings every 0.2 ms.",
            by="median",
        )
    )
    return results


async def _ways(
    bench: Bench, store: TaggedCache, client: redis.asyncio.Redis, count: int
) -> dict[str, Way]:
    bare = _Bare(client)
    ways = {
        OURS: _ours(store),
        _DELETES: Way(bare.fill, bare.delete),
        _SET: Way(bare.fill_set, bare.unlink_set),
    }
    if count <= bench.size(10_000) and bench.has("cashews"):
        from cashews import Cache

        cache = Cache()
        cache.setup(bench.url)
        cache.register_tag("users", "c:{number}")
        ways[_CASHEWS] = _cashews(cache)
    return ways


def _of(count: int, figures: dict[str, Figure]) -> Result:
    targets = (Target("times", 500, _DELETES), Target("times", 500, _SET))
    return Result(
        f"invalidate-{count}",
        f"`invalidate_tag`, {count:,} keys under the tag",
        "ns",
        figures,
        targets if count == _COUNTS[-1] else (),
        "The entries die at once, and leave the server as they expire or are overwritten; deleting "
        "frees their memory at once."
        if count == _COUNTS[-1]
        else "",
        by="median",
    )


@row("claim-tags")
async def claim_tags(bench: Bench) -> Result:
    count = bench.size(1000)
    bench.flush()
    async with bench.store() as store, bench.client() as client:
        bare = _Bare(client)
        ways = {OURS: _ours(store), "single DELs": Way(bare.fill, bare.delete_one_by_one)}
        with Pinger(bench.url) as pinger:
            figures, _ = await _measure(ways, count, bench.rounds(5), pinger)
    return Result(
        "claim-tags",
        f"the guide's claim: a tag is 100 times faster than single deletes ({count:,} keys)",
        "ns",
        figures,
        (Target("times", 100, "single DELs"),),
        "The ratio grows with the number of keys.",
        by="median",
    )
