"""Reads from the shared tier and writes to both, beside bare redis-py."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import redis

from armature_cache import MessagePackCodec
from benchmarks.bench import TTL, Bench, values
from benchmarks.harness import OURS, Case, Figure, Result, Target, row

_FEW = 200
_TASKS = 50
_MANY = 100


def _some(count: int) -> list[str]:
    return list(itertools.islice(values(), count))


@row("l2-get")
async def l2_get(bench: Bench) -> list[Result]:
    async with bench.filled(l1=False) as store, bench.client() as client:
        alone = await bench.compare(
            {OURS: _reads(store.get), "redis-py GET": _reads(client.get)},
            _FEW,
            seconds=0.3,
            rounds=7,
        )
        remote = store.sync()
        with redis.Redis.from_url(bench.url) as plain:
            blocking = await bench.compare(
                {OURS: _plain_reads(remote.get), "redis-py GET": _plain_reads(plain.get)},
                _FEW,
                seconds=0.3,
                rounds=7,
            )
        remote.close()
    remark = "Ours unseals, checks and decodes the value, judges its tags, and counts the hit."
    return [
        Result(
            "l2-get",
            "L2 hit, one task",
            "ns",
            alone,
            (Target("factor", 1.25, "redis-py GET"),),
            remark,
            by="median",
        ),
        Result(
            "l2-get-sync",
            "L2 hit, one thread, sync face",
            "ns",
            blocking,
            (Target("factor", 1.25, "redis-py GET"),),
            remark,
            by="median",
        ),
    ]


def _reads(get: Any) -> Case:
    keys = _some(_FEW)

    async def run() -> None:
        for key in keys:
            await get(key)

    return run


def _plain_reads(get: Any) -> Case:
    keys = _some(_FEW)

    def run() -> None:
        for key in keys:
            get(key)

    return run


@row("l2-tasks")
async def l2_tasks(bench: Bench) -> Result:
    each = 10
    keys = _some(_TASKS * each)

    def tasks(get: Any) -> Case:
        async def read(first: int) -> None:
            for key in keys[first : first + each]:
                await get(key)

        async def run() -> None:
            await asyncio.gather(*(read(first) for first in range(0, len(keys), each)))

        return run

    async with bench.filled(l1=False) as store, bench.client() as client:

        async def bulk() -> None:
            for first in range(0, len(keys), _TASKS):
                await client.mget(keys[first : first + _TASKS])

        cases = {OURS: tasks(store.get), "redis-py GET": tasks(client.get), "one MGET": bulk}
        figures = await bench.compare(cases, len(keys), seconds=0.3)
    return Result(
        "l2-tasks",
        f"L2 hits, {_TASKS} tasks, time per read",
        "ns",
        figures,
        (Target("times", 4, "redis-py GET"),),
        f"One task that fetches {_TASKS} keys with one `MGET` is the least that redis-py needs; it "
        "decodes and checks nothing.",
        by="median",
    )


@row("get-many")
async def get_many(bench: Bench) -> Result:
    keys = _some(_MANY)
    codec = MessagePackCodec()
    async with bench.filled(l1=False) as store, bench.client() as client:
        await client.mset({f"raw:{key}": codec.encode(values()[key], None)[0] for key in keys})
        names = [f"raw:{key}" for key in keys]

        async def bare() -> None:
            raws: list[Any] = await client.mget(names)
            for raw in raws:
                codec.decode(raw, 0, None)

        async def ours() -> None:
            assert len(await store.get_many(keys)) == _MANY

        figures = await bench.compare({OURS: ours, "MGET, decoded": bare}, 1, seconds=0.2, rounds=7)
    return Result(
        "get-many",
        f"`get_many` of {_MANY} keys from L2",
        "ns",
        figures,
        (Target("factor", 1.3, "MGET, decoded"),),
        "The peer runs the same decoding, but has no envelope to check and no tags to judge.",
        by="median",
    )


@row("tagged-set")
async def tagged_set(bench: Bench) -> Result:
    items = [(key, values()[key]) for key in _some(_FEW)]
    async with bench.store() as store, bench.client() as client:

        async def ours() -> None:
            for key, value in items:
                await store.set_with_tags(key, value, ("users", key), TTL)

        async def bare() -> None:
            for key, value in items:
                await client.set(key, value, ex=TTL)

        cases: dict[str, Case] = {OURS: ours, "redis-py SET, no tags": bare}
        other = None
        if bench.has("cashews"):
            other = await _cashews(bench.url)
            cases["cashews"] = _cashews_sets(other, items)
        figures = await bench.compare(cases, _FEW, seconds=0.4, rounds=5)
        if other is not None:
            await other.close()
    return Result(
        "tagged-set",
        "tagged `set` to both tiers, two tags",
        "ns",
        figures,
        (Target("times", 2, "cashews"),),
        "cashews with `client_side=True`. Ours is one script on the server, which also records the "
        "change in the clock and tells the other processes.",
        by="median",
    )


async def _cashews(url: str) -> Any:
    from cashews import Cache

    cache = Cache()
    cache.setup(url, client_side=True)
    cache.register_tag("users", "user:{user_id}")
    cache.register_tag("user:{user_id}", "user:{user_id}")
    return cache


def _cashews_sets(cache: Any, items: list[tuple[str, str]]) -> Case:
    async def run() -> None:
        for key, value in items:
            await cache.set(key, value, expire=TTL, tags=("users", key))

    return run


@row("claim-l1")
async def claim_l1(bench: Bench) -> Result:
    async with bench.filled("near") as near, bench.filled("far", l1=False) as far:
        figures: dict[str, Figure] = await bench.compare(
            {OURS: _reads(near.get), "L2 hit": _reads(far.get)}, _FEW, seconds=0.2, rounds=7
        )
    return Result(
        "claim-l1",
        "the guide's claim: L1 hits are 50 times faster than L2 hits",
        "ns",
        figures,
        (Target("times", 50, "L2 hit"),),
        "Over the loopback interface; a real network makes the ratio larger.",
        by="median",
    )
