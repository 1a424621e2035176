"""Bytes between the processes and the server: both tiers beside the shared one alone."""

from __future__ import annotations

import itertools
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import redis

from armature_cache import TieredCacheConfig, sync
from armature_cache.opening import open_cache
from benchmarks.bench import TTL, Bench
from benchmarks.harness import OURS, Figure, Result, Target, row
from benchmarks.traces.reading import read

_ACCESSES = 200_000
_WARM = 200_000
_UPDATES = 0.01
_VALUE = "v" * 500
_ENTRIES = 10_000
_FAR = "L2 only"
_PACED = "armature at 1,000 reads/s"


@row("network")
def network(bench: Bench) -> Result:
    warm = bench.size(_WARM)
    trace = _trace(bench, warm + bench.size(_ACCESSES))
    accesses = trace[warm:]
    near, seconds, hits = _replay(bench, trace[:warm], accesses, l1=True)
    far, _, _ = _replay(bench, trace[:warm], accesses, l1=False)
    idle = _trust(bench)
    paced = near + idle * max(0.0, len(accesses) / 1000 - seconds)
    source = "a synthetic Zipf trace" if bench.trace is None else f"`{bench.trace.name}`"
    return Result(
        "network",
        f"network bytes a read: {source}, L1 of {_ENTRIES:,} entries",
        "B",
        {
            name: Figure((total / len(accesses),))
            for name, total in ((OURS, near), (_PACED, paced), (_FAR, far))
        },
        (Target("saved", 0.8, _FAR), Target("saved", 0.8, _FAR, _PACED)),
        f"{len(accesses):,} accesses, after {warm:,} that fill both tiers; {_UPDATES:.0%} of all "
        "invalidate the tag of their object, from another process; misses load and store. By the "
        "server's own count, that process and all coherence traffic included. L1 answered "
        f"{hits:.1%} of the reads. The replay went at {len(accesses) / seconds:,.0f} accesses a "
        f"second; keeping trust costs {idle:,.0f} bytes a second whatever the reads, so that the "
        "second figure adds what it costs at 1,000 a "
        "second.",
    )


def _trace(bench: Bench, count: int) -> list[str]:
    if bench.trace is not None:
        return read(bench.trace, count)
    draw = random.Random(7)
    weights = list(itertools.accumulate(1 / rank for rank in range(1, 100_001)))
    return [
        f"0:{number}:0" for number in draw.choices(range(100_000), cum_weights=weights, k=count)
    ]


def _tag(key: str) -> str:
    return key.rpartition(":")[0]


def _replay(
    bench: Bench, warm: Sequence[str], accesses: Sequence[str], *, l1: bool
) -> tuple[float, float, float]:
    """Bytes, seconds and the part of the reads that L1 answered, once both tiers are warm."""
    bench.flush()
    draw = random.Random(3)
    with (
        _open(bench, l1=True) as tiered,
        _open(bench, l1=l1) as other,
        redis.Redis.from_url(bench.url) as client,
        _Writer(bench.url) as writer,
    ):
        _run(tiered, warm, writer, draw)
        store = tiered if l1 else other
        store.get("warm")
        before, hits, started = _bytes(client), _l1_hits(store), time.perf_counter()
        reads = _run(store, accesses, writer, draw)
        seconds = time.perf_counter() - started
        writer.close()
        return _bytes(client) - before, seconds, (_l1_hits(store) - hits) / reads


def _run(
    store: sync.CacheStore, accesses: Sequence[str], writer: _Writer, draw: random.Random
) -> int:
    """Read through; the number of reads."""
    reads = 0
    for key in accesses:
        if draw.random() < _UPDATES:
            writer.invalidate(_tag(key))
            continue
        reads += 1
        if store.get(key) is None:
            store.set(key, _VALUE, tags=(key.partition(":")[0], _tag(key)))
    return reads


def _l1_hits(store: sync.CacheStore) -> int:
    return store.stats().tiers[0].hits


def _trust(bench: Bench) -> float:
    """Bytes a second that keep trust while there are only hits."""
    seconds = 1 if bench.quick else 3
    with _open(bench, l1=True) as store, redis.Redis.from_url(bench.url) as client:
        store.set("k", "v")
        store.get("k")
        _read_for(store, 0.5)
        before = _bytes(client)
        _read_for(store, seconds)
        return (_bytes(client) - before) / seconds


def _read_for(store: sync.CacheStore, seconds: float) -> None:
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        store.get("k")
        time.sleep(0.001)


def _open(bench: Bench, *, l1: bool) -> sync.CacheStore:
    core = open_cache(
        bench.url,
        namespace="net",
        default_ttl=TTL,
        max_entries=_ENTRIES,
        tiers=TieredCacheConfig(enable_l1=l1),
    )
    return core.sync()


def _bytes(client: redis.Redis) -> float:
    info = client.info("stats")
    return float(info["total_net_input_bytes"] + info["total_net_output_bytes"])


class _Writer:
    """Another process, which invalidates tags."""

    def __init__(self, url: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.child", "write", url],
            cwd=Path(__file__).parents[1],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._tags = self._process.stdin
        self._process.stdout.readline()

    def invalidate(self, tag: str) -> None:
        self._tags.write(tag + "\n")
        self._tags.flush()

    def close(self) -> None:
        """Wait until everything is sent and acknowledged."""
        self._process.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process.poll() is None:
            self.close()


def write(url: str) -> None:
    """The child's side: a tag a line."""
    with open_cache(url, namespace="net").sync() as store:
        assert isinstance(store, sync.TaggedCache)
        store.ping()
        print("ready", flush=True)
        for line in sys.stdin:
            store.invalidate_tag(line.strip())
