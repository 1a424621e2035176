"""More processes, larger values, more nodes."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import redis
import redis.asyncio

from armature_cache import TaggedCache, open_cache
from armature_cache.testing import ClusterServers
from benchmarks.bench import TTL, Bench
from benchmarks.harness import OURS
from benchmarks.scale.curves import Curve, sweep

_PROCESSES = (1, 2, 4, 8, 16)
_SIZES = (100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000)
_NODES = (1, 2, 3, 4, 5, 6)
_TASKS = 50
_WRITES = 20
"""Invalidations a second while the processes read."""
_SECONDS = 4.0


@sweep("processes")
def processes(bench: Bench) -> list[Curve]:
    """What the coherence of processes that read only L1 costs the server."""
    commands: dict[str, dict[float, float]] = {}
    busy: dict[str, dict[float, float]] = {}
    for hints in (True, False):
        name = OURS if hints else f"{OURS}, without hints"
        for count in _PROCESSES[: 3 if bench.quick else None]:
            bench.flush()
            told, spent = _load_of(bench, count, hints=hints)
            commands.setdefault(name, {})[count] = told
            busy.setdefault(name, {})[count] = spent
    what = f"processes that read 1,000 keys from L1, {_WRITES} invalidations a second"
    return [
        Curve(
            "processes-commands",
            "commands a second at the server for coherence",
            what,
            "count",
            commands,
            "Each process sends what the staleness bound (100 ms) asks for, whatever it reads: "
            "P processes send P times as many, and 1,000 on paper 1,000 times the figure for one.",
        ),
        Curve(
            "processes-cpu",
            "the server's processor time for coherence, a second",
            what,
            "ns",
            busy,
            "For 1,000 processes: the slope of this line times 1,000.",
        ),
    ]


def _load_of(bench: Bench, count: int, *, hints: bool) -> tuple[float, float]:
    """Commands, and nanoseconds of the server's processor, each a second."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            child = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.child", "l1", bench.url, str(int(hints))],
                cwd=Path(__file__).parents[2],
                stdout=subprocess.PIPE,
                text=True,
            )
            stack.callback(child.communicate)
            stack.callback(child.kill)
            assert child.stdout is not None
            child.stdout.readline()
        with open_cache(bench.url, namespace="scale", default_ttl=TTL).sync() as writer:
            writer.ping()
            before, started = _spent(bench), time.monotonic()
            number = 0
            while (passed := time.monotonic() - started) < _SECONDS:
                writer.invalidate_tag(f"other:{number}")
                number += 1
                time.sleep(max(0.0, number / _WRITES - passed))
            after = _spent(bench)
    return tuple((late - early) / passed for early, late in zip(before, after, strict=True))


def _spent(bench: Bench) -> tuple[float, float]:
    with redis.Redis.from_url(bench.url) as client:
        told: Any = client.info()
    cpu = float(told["used_cpu_sys"]) + float(told["used_cpu_user"])
    return float(told["total_commands_processed"]), cpu * 1e9


def read_l1(url: str, hints: str) -> None:
    """A child's side: it fills L1, says so, and reads it without end."""
    core = open_cache(
        url, namespace="scale", default_ttl=TTL, hints=hints == "1", staleness_bound=0.1
    )
    with core.sync() as cache:
        keys = [f"k{number}" for number in range(1000)]
        for key in keys:
            cache.get_or_set(key, lambda: 1, tags=["t"])
        print("ready", flush=True)
        while True:
            for key in keys:
                cache.get_or_set(key, lambda: 1, tags=["t"])
                time.sleep(0.001)


@sweep("sizes")
async def sizes(bench: Bench) -> list[Curve]:
    """Values from small to large, beside the same bytes by redis-py."""
    reads: dict[str, dict[float, float]] = {OURS: {}, "redis-py": {}}
    writes: dict[str, dict[float, float]] = {OURS: {}, "redis-py": {}}
    for size in _SIZES:
        bench.flush()
        value = b"v" * size
        async with bench.store(l1=False) as store, redis.asyncio.from_url(bench.url) as client:

            async def write(store: TaggedCache = store, value: bytes = value) -> None:
                await store.set("k", value, tags=["t"], ttl=TTL)

            async def read(store: TaggedCache = store) -> None:
                await store.get("k")

            async def bare_write(client: Any = client, value: bytes = value) -> None:
                await client.set("b", value, ex=TTL)

            async def bare_read(client: Any = client) -> None:
                await client.get("b")

            await write()
            await bare_write()
            figures = await bench.compare(
                {"r": read, "w": write, "br": bare_read, "bw": bare_write}, 1, seconds=0.1, rounds=5
            )
        reads[OURS][size], reads["redis-py"][size] = figures["r"].median, figures["br"].median
        writes[OURS][size], writes["redis-py"][size] = figures["w"].median, figures["bw"].median
    bench.flush()
    return [
        Curve("sizes-get", "L2 hit, by the size of the value", "bytes", "ns", reads),
        Curve("sizes-set", "`set` to L2, by the size of the value", "bytes", "ns", writes),
    ]


@sweep("nodes")
async def nodes(bench: Bench) -> Curve:
    """A Cluster of more and more masters, all on this machine."""
    names = ("L2 hit, one task", f"L2 hit, {_TASKS} tasks, each", "set", "invalidate_tag")
    series: dict[str, dict[float, float]] = {f"armature, {name}": {} for name in names}
    for count in _NODES[: 3 if bench.quick else None]:
        with ClusterServers(masters=count, replicas=0, node_timeout=15_000) as servers:
            async with _clustered(servers.url) as store:
                keys = [f"k{number}" for number in range(_TASKS)]

                async def write(store: TaggedCache = store, keys: list[str] = keys) -> None:
                    for key in keys:
                        await store.set(key, "v" * 500, tags=["t", key], ttl=TTL)

                async def read(store: TaggedCache = store, keys: list[str] = keys) -> None:
                    for key in keys:
                        await store.get(key)

                async def together(store: TaggedCache = store, keys: list[str] = keys) -> None:
                    await asyncio.gather(*(store.get(key) for key in keys))

                async def drop(store: TaggedCache = store) -> None:
                    for number in range(_TASKS):
                        await store.invalidate_tag(f"none:{number}")

                await write()
                cases = {names[0]: read, names[1]: together, names[2]: write, names[3]: drop}
                figures = await bench.compare(cases, _TASKS, seconds=0.1, rounds=5)
        for name, figure in figures.items():
            series[f"armature, {name}"][count] = figure.median
    return Curve(
        "nodes",
        "calls on a Cluster, by its masters",
        "masters",
        "ns",
        series,
        "All masters share this machine's cores, so that no row can show more throughput; what "
        "shows is that more nodes cost a call nothing but the round trips it makes.",
    )


@contextlib.asynccontextmanager
async def _clustered(url: str) -> AsyncIterator[TaggedCache]:
    from armature_cache import TieredCacheConfig

    async with open_cache(
        url, namespace="scale", default_ttl=TTL, tiers=TieredCacheConfig(enable_l1=False)
    ) as store:
        yield store
