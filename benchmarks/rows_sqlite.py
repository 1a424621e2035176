"""A cache in a file beside diskcache, and what SQLite itself takes."""

from __future__ import annotations

import asyncio
import functools
import itertools
import sqlite3
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from armature_cache import CacheConfig, InMemoryCache, SQLiteCache, TaggedCache, TieredCache
from benchmarks.bench import TTL, Bench, values
from benchmarks.harness import OURS, Case, Figure, Result, Target, row

_FEW = 200
_DISKCACHE = "diskcache"
_BARE = "bare SELECT"
_TIERS = f"{OURS} with L1"
_TAGGED = 5000


def _ours(folder: str) -> TaggedCache:
    return TaggedCache(SQLiteCache(_config(folder)))


def _config(folder: str) -> CacheConfig:
    return CacheConfig.sqlite(Path(folder) / "cache.db", default_ttl=TTL)


def _pass(call: Callable[..., Any], *, with_values: bool) -> Case:
    items = list(itertools.islice(values().items(), _FEW))

    def run() -> None:
        for key, value in items:
            if with_values:
                call(key, value)
            else:
                call(key)

    return run


def _awaited(call: Callable[..., Any], *, with_values: bool) -> Case:
    items = list(itertools.islice(values().items(), _FEW))

    async def run() -> None:
        for key, value in items:
            await (call(key, value) if with_values else call(key))

    return run


def _gathered(call: Callable[..., Any]) -> Case:
    items = list(itertools.islice(values().items(), _FEW))

    async def run() -> None:
        await asyncio.gather(*(call(key, value) for key, value in items))

    return run


def _bare(folder: str) -> Callable[[str], Any]:
    connection = sqlite3.connect(Path(folder) / "bare.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE entries (key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID")
    connection.executemany("INSERT INTO entries VALUES (?, ?)", values().items())
    return lambda key: connection.execute(
        "SELECT value FROM entries WHERE key = ?", (key,)
    ).fetchone()


@row("sqlite")
async def sqlite(bench: Bench) -> list[Result]:
    with tempfile.TemporaryDirectory(prefix="armature-bench-") as folder:
        store = _ours(folder)
        plain = store.sync()
        for key, value in values().items():
            plain.set(key, value)
        tiers = TaggedCache(TieredCache(InMemoryCache(), SQLiteCache(_config(folder)))).sync()
        gets = {
            _TIERS: _pass(tiers.get, with_values=False),
            OURS: _pass(plain.get, with_values=False),
            f"{OURS} await": _awaited(store.get, with_values=False),
            _BARE: _pass(_bare(folder), with_values=False),
        }
        sets = {
            OURS: _pass(plain.set, with_values=True),
            f"{OURS} await": _awaited(store.set, with_values=True),
            f"{OURS} gathered": _gathered(store.set),
        }
        if bench.has("diskcache"):
            import diskcache

            peer = diskcache.Cache(str(Path(folder) / "peer"))
            put = functools.partial(peer.set, expire=TTL)
            for key, value in values().items():
                put(key, value)
            gets[_DISKCACHE] = _pass(peer.get, with_values=False)
            sets[_DISKCACHE] = _pass(put, with_values=True)
        results = [
            Result(
                "sqlite-get", "read of a cache file", "ns",
                await bench.compare(gets, _FEW, seconds=0.3, rounds=7),
                (Target("times", 10, _DISKCACHE, subject=_TIERS),),
                "Ours checks the envelope and the file, judges the tags by the clock, and decodes.",
                by="median",
            ),
            Result(
                "sqlite-set", "write to a cache file", "ns",
                await bench.compare(sets, _FEW, seconds=0.3, rounds=7),
                (),
                "In its default settings diskcache waits for the disk now and then, which survives "
                "a power cut; ours begins cold after one.",
                by="median",
            ),
        ]  # fmt: skip
        tiers.close()
        plain.close()
        await store.aclose()
    return results


@row("sqlite-tags")
async def sqlite_tags(bench: Bench) -> list[Result]:
    count = bench.size(_TAGGED)
    with tempfile.TemporaryDirectory(prefix="armature-bench-") as folder:
        plain = _ours(folder).sync()
        cases: dict[str, Any] = {OURS: plain.invalidate_tag}
        puts: dict[str, Any] = {OURS: lambda key: plain.set(key, "x" * 100, tags="t")}
        if bench.has("diskcache"):
            import diskcache

            peer = diskcache.Cache(str(Path(folder) / "peer"), tag_index=True)
            cases[_DISKCACHE] = peer.evict
            puts[_DISKCACHE] = lambda key: peer.set(key, "x" * 100, expire=TTL, tag="t")
        figures = {name: Figure(_spent(puts[name], cases[name], count, 3)) for name in cases}
        plain.close()
    return [
        Result(
            "sqlite-tags", f"`invalidate_tag` in a file, {count:,} entries", "ns", figures,
            (Target("times", 50, _DISKCACHE),), by="median",
        )
    ]  # fmt: skip


def _spent(put: Any, invalidate: Any, count: int, rounds: int) -> tuple[float, ...]:
    """How long it takes to invalidate that many entries, each time stored anew."""
    spent = []
    for _ in range(rounds):
        for number in range(count):
            put(f"k{number}")
        began = time.perf_counter_ns()
        invalidate("t")
        spent.append(float(time.perf_counter_ns() - began))
    return tuple(spent)
