"""Four processes, a slow database that is down for a while, and one more protection at each step.

The same workload at every step: Zipf reads of 300 products, 1 % of them followed by an update of
the product and its invalidation, lifetimes that end all the time. A read is stale if it begins
more than `SLACK` after an acknowledged update and returns an older version.
"""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
import random
import sqlite3
import time
from collections.abc import Awaitable, Callable
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any, NamedTuple

from armature_cache import (
    CacheConfig,
    InMemoryCache,
    RedisCache,
    TaggedCache,
    TieredCache,
    TieredCacheConfig,
)

PROCESSES = 4
TASKS = 8
PRODUCTS = 300
TTL = 2.0
QUERY = 0.005
SLACK = 0.25
DOWN = (0.4, 0.6)
"""The part of the run in which every query of the database fails."""

Get = Callable[[int], Awaitable[int]]
Forget = Callable[[int], Awaitable[None]]


class Step(NamedTuple):
    """One rung: its name, and what it adds to the one below."""

    name: str
    cached: bool = True
    shared_flight: bool = False
    fail_safe: bool = False
    l2: bool = False
    coherent: bool = False
    claims: bool = False


STEPS = (
    Step("nothing", cached=False),
    Step("memory"),
    Step("+ one load for all callers", shared_flight=True),
    Step("+ fail-safe", shared_flight=True, fail_safe=True),
    Step("+ L2", shared_flight=True, fail_safe=True, l2=True),
    Step("+ coherence", shared_flight=True, fail_safe=True, l2=True, coherent=True),
    Step("+ one load for all processes", True, True, True, True, True, True),  # noqa: FBT003
)


class Counts(NamedTuple):
    """What one process saw."""

    reads: int = 0
    queries: int = 0
    errors: int = 0
    stale: int = 0

    def plus(self, other: Counts) -> Counts:
        return Counts(*map(sum, zip(self, other, strict=True)))


class Shop:
    """One process of the workload."""

    def __init__(self, step: Step, url: str, folder: Path, seconds: float, number: int) -> None:
        self._step = step
        self._url = url
        self._folder = folder
        self._seconds = seconds
        self._random = random.Random(number)
        self._weights = list(itertools.accumulate(1 / rank for rank in range(1, PRODUCTS + 1)))
        self._database = sqlite3.connect(folder / "shop.db", isolation_level=None, timeout=30)
        self._began = 0.0
        self._counts = Counts()
        self.queries = 0

    async def query(self, product: int) -> int:
        self.queries += 1
        await asyncio.sleep(QUERY)
        if self._is_down():
            raise ConnectionError("the database is down")
        found = self._database.execute("select version from product where id = ?", (product,))
        return int(found.fetchone()[0])

    def _is_down(self) -> bool:
        return DOWN[0] < (time.monotonic() - self._began) / self._seconds < DOWN[1]

    def _cache(self) -> TaggedCache:
        step = self._step
        if not step.l2:
            return TaggedCache(InMemoryCache())
        bound = 0.1 if step.coherent else 3600.0
        config = CacheConfig.redis(
            self._url, namespace="ladder", staleness_bound=bound, hints=step.coherent
        )
        tiers = TieredCacheConfig(staleness_bound=bound, l1_ttl_fraction=0.5)
        return TaggedCache(TieredCache(InMemoryCache(), RedisCache(config), tiers))

    def _calls(self, cache: TaggedCache) -> tuple[Get, Forget]:
        step = self._step
        policy: dict[str, Any] = {"lock_timeout": 5.0 if step.claims else 0.0}
        if step.fail_safe:
            policy |= {"stale_for": 600.0, "retry_after": 0.5}

        async def bare(product: int) -> int:
            return await self.query(product)

        async def by_hand(product: int) -> int:
            found = await cache.get(f"p:{product}")
            if found is None:
                found = await self.query(product)
                await cache.set(f"p:{product}", found, tags=f"p:{product}", ttl=TTL)
            return int(found)

        async def loaded(product: int) -> int:
            key = f"p:{product}"
            return await cache.get_or_set(
                key, lambda: self.query(product), tags=key, ttl=TTL, **policy
            )

        async def forget(product: int) -> None:
            if step.cached:
                await cache.invalidate_tag(f"p:{product}")

        get = bare if not step.cached else loaded if step.shared_flight else by_hand
        return get, forget

    async def run(self, begin: Barrier) -> Counts:
        async with self._cache() as cache:
            get, forget = self._calls(cache)
            await asyncio.to_thread(begin.wait)
            self._began = time.monotonic()
            await asyncio.gather(*(self._task(get, forget) for _ in range(TASKS)))
        return self._counts._replace(queries=self.queries)

    async def _task(self, get: Get, forget: Forget) -> None:
        while time.monotonic() - self._began < self._seconds:
            (product,) = self._random.choices(range(PRODUCTS), cum_weights=self._weights)
            if self._random.random() < 0.01 and not self._is_down():
                await self._update(product, forget)
            await self._read(product, get)
            await asyncio.sleep(0.002)

    async def _update(self, product: int, forget: Forget) -> None:
        done = self._database.execute(
            "update product set version = version + 1 where id = ? returning version", (product,)
        )
        ((version,),) = done.fetchall()
        await forget(product)
        self._database.execute(
            "insert into acknowledged values (?, ?, ?)", (product, version, time.monotonic())
        )

    async def _read(self, product: int, get: Get) -> None:
        began = time.monotonic()
        found = self._database.execute(
            "select max(version) from acknowledged where product = ? and at < ?",
            (product, began - SLACK),
        )
        least = found.fetchone()[0] or 0
        try:
            version = await get(product)
        except ConnectionError:
            self._counts = self._counts.plus(Counts(reads=1, errors=1))
            return
        self._counts = self._counts.plus(Counts(reads=1, stale=int(version < least)))


def prepare(folder: Path) -> None:
    """A database of products, all at version 0."""
    database = sqlite3.connect(folder / "shop.db", isolation_level=None)
    database.executescript(
        "pragma journal_mode = wal; pragma synchronous = off;"
        "create table product (id integer primary key, version integer not null);"
        "create table acknowledged (product integer, version integer, at real);"
        "create index by_product on acknowledged (product, at);"
    )
    database.executemany("insert into product values (?, 0)", [(n,) for n in range(PRODUCTS)])
    database.close()


def _main(begin: Barrier, told: Any, *arguments: Any) -> None:
    told.put(asyncio.run(Shop(*arguments).run(begin)))


def climb(step: Step, url: str, folder: Path, seconds: float) -> Counts:
    """What all processes together saw at one step."""
    prepare(folder)
    context = multiprocessing.get_context("spawn")
    begin, told = context.Barrier(PROCESSES), context.Queue()
    running = [
        context.Process(target=_main, args=(begin, told, step, url, folder, seconds, number))
        for number in range(PROCESSES)
    ]
    for process in running:
        process.start()
    total = Counts()
    for _ in running:
        total = total.plus(told.get(timeout=seconds + 60))
    for process in running:
        process.join()
    return total
