"""Decorated functions: hits."""

from __future__ import annotations

import datetime
import functools
import threading
from typing import Any

from armature_cache import cache
from benchmarks.bench import KEYS, TTL, Bench, values
from benchmarks.harness import OURS, Case, Result, Target, row
from benchmarks.rows_l1 import floor_pass

_TAGS = ("users", "user:{user_id}")


async def load(user_id: int) -> str:
    return values()[f"user:{user_id}"]


def load_now(user_id: int) -> str:
    return values()[f"user:{user_id}"]


def _awaited(function: Any) -> Case:
    async def run() -> None:
        for number in range(KEYS):
            await function(number)

    return run


def _called(function: Any) -> Case:
    def run() -> None:
        for number in range(KEYS):
            function(number)

    return run


@row("decorated-async")
async def decorated_async(bench: Bench) -> Result:
    async with bench.store() as store:
        ours = cache(using=store, ttl=TTL, tags=_TAGS)(load)
        cases: dict[str, Case] = {"bare coroutine": floor_pass, OURS: _awaited(ours)}
        if bench.has("cachebox"):
            import cachebox

            cases["cachebox"] = _awaited(cachebox.cached(cachebox.TTLCache(10_000, TTL))(load))
        if bench.has("async_lru"):
            from async_lru import alru_cache

            cases["async-lru"] = _awaited(alru_cache(maxsize=10_000, ttl=TTL)(load))
        if bench.has("cashews"):
            from cashews import Cache

            other = Cache()
            other.setup("mem://", size=10_000)
            cases["cashews"] = _awaited(other(ttl=TTL, key="user:{user_id}")(load))
        if bench.has("aiocache"):
            from aiocache import cached

            cases["aiocache"] = _awaited(cached(ttl=TTL)(load))
        figures = await bench.compare(cases, KEYS)
    return Result(
        "decorated-async",
        "decorated coroutine function, hit, tagged and tiered",
        "ns",
        figures,
        (Target("factor", 1.0, "cachebox"), Target("factor", 1.0, "async-lru")),
        "One int as argument. cachebox (Rust) and async-lru are caches of one process with neither "
        "tags nor tiers.",
    )


@row("decorated-sync")
async def decorated_sync(bench: Bench) -> Result:
    async with bench.store() as store:
        ours = cache(using=store.sync(), ttl=TTL, tags=_TAGS)(load_now)
        cases: dict[str, Case] = {OURS: _called(ours)}
        cases["lru_cache"] = _called(functools.lru_cache(maxsize=10_000)(load_now))
        if bench.has("cachebox"):
            import cachebox

            cases["cachebox"] = _called(cachebox.cached(cachebox.TTLCache(10_000, TTL))(load_now))
        if bench.has("cachetools"):
            from cachetools import TTLCache, cached

            unlocked: Any = TTLCache(10_000, TTL)
            locked: Any = TTLCache(10_000, TTL)
            cases["cachetools"] = _called(cached(unlocked)(load_now))
            cases["cachetools, locked"] = _called(cached(locked, lock=threading.Lock())(load_now))
        if bench.has("dogpile"):
            from dogpile.cache import make_region

            region = make_region().configure("dogpile.cache.memory", expiration_time=TTL)
            cases["dogpile"] = _called(region.cache_on_arguments()(load_now))
        if bench.has("theine"):
            from theine import Memoize

            cases["theine"] = _called(Memoize(10_000, datetime.timedelta(seconds=TTL))(load_now))
        figures = await bench.compare(cases, KEYS)
    return Result(
        "decorated-sync",
        "decorated function, hit, tagged and tiered",
        "ns",
        figures,
        (Target("factor", 1.2, "cachebox"),),
        "`functools.lru_cache` (C) has no expiry, no tags and no second process; nothing in Python "
        "comes near it. cachetools is shown without a lock, and with one for threads.",
    )
