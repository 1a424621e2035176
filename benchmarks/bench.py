"""What rows are given: a server, the peers, the keys and values, and how thorough to be."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import json
import random
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import redis
import redis.asyncio

from armature_cache import TaggedCache, TieredCacheConfig, open_cache
from armature_cache.testing import RedisServer
from benchmarks.harness import Case, Figure, compare

TTL = 3600
SIZE = 500
KEYS = 1000


@functools.cache
def values() -> dict[str, str]:
    """The keys that most rows use, and their values of 500 bytes."""
    draw = random.Random(1)
    return {f"user:{number}": draw.randbytes(SIZE // 2).hex() for number in range(KEYS)}


class Bench:
    """One run of the benchmark."""

    def __init__(self, *, quick: bool = False, trace: Path | None = None) -> None:
        self.quick = quick
        self.trace = trace
        self.notes: list[str] = []
        self._servers = contextlib.ExitStack()

    @functools.cached_property
    def server(self) -> RedisServer:
        return self._servers.enter_context(RedisServer())

    @property
    def url(self) -> str:
        return self.server.url

    def flush(self) -> None:
        """Empty the server, and forget what it did."""
        with redis.Redis.from_url(self.url) as client:
            client.flushall()
            client.config_resetstat()

    def close(self) -> None:
        self._servers.close()

    def rounds(self, number: int) -> int:
        return min(number, 3) if self.quick else number

    def size(self, number: int) -> int:
        return max(number // 20, 1) if self.quick else number

    async def compare(
        self, cases: dict[str, Case], count: int, *, seconds: float = 0.03, rounds: int = 21
    ) -> dict[str, Figure]:
        """`harness.compare`, shorter in a quick run."""
        seconds = seconds / 5 if self.quick else seconds
        return await compare(cases, count, seconds=seconds, rounds=self.rounds(rounds))

    def has(self, module: str) -> bool:
        """Whether a peer is installed; notes it when it is not."""
        if importlib.util.find_spec(module) is not None:
            return True
        note = f"{module} is not installed: its figures are missing"
        if note not in self.notes:
            self.notes.append(note)
            print(note, file=sys.stderr)
        return False

    @contextlib.asynccontextmanager
    async def store(
        self, namespace: str = "bench", *, l1: bool = True, max_entries: int = 10_000
    ) -> AsyncIterator[TaggedCache]:
        """`TaggedCache(TieredCache(InMemoryCache, RedisCache))` on the server."""
        async with open_cache(
            self.url,
            namespace=namespace,
            default_ttl=TTL,
            max_entries=max_entries,
            tiers=TieredCacheConfig(enable_l1=l1),
        ) as store:
            yield store

    @contextlib.asynccontextmanager
    async def filled(self, namespace: str = "bench", *, l1: bool = True) -> AsyncIterator[Any]:
        """The same, holding `values()` with two tags each."""
        async with self.store(namespace, l1=l1) as store:
            for key, value in values().items():
                await store.set_with_tags(key, value, ["users", key])
            yield store

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[redis.asyncio.Redis]:
        """Bare redis-py, holding `values()`."""
        async with redis.asyncio.Redis.from_url(self.url) as client:
            await client.mset(values())
            yield client


def in_child(*arguments: str) -> Any:
    """What `python -m benchmarks.child` prints, read as JSON; a process of its own."""
    command = [sys.executable, "-m", "benchmarks.child", *arguments]
    root = Path(__file__).parents[1]
    done = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)
