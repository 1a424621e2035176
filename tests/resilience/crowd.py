"""A process with many callers who want one key at once; run by `test_stampede.py`."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from multiprocessing.context import SpawnProcess
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import NamedTuple

from armature_cache import (
    CacheConfig,
    InMemoryCache,
    RedisCache,
    TaggedCache,
    TieredCache,
)


class Crowd(NamedTuple):
    """How many callers each process has, and what its loads do."""

    url: str
    namespace: str
    journal: Path
    tasks: int = 1000
    threads: int = 200
    seconds: float = 0.3
    lock_timeout: float = 5.0
    fatal: bool = False
    hints: bool = True

    @property
    def loads(self) -> int:
        return len(self.journal.read_text().splitlines()) if self.journal.exists() else 0

    def note(self) -> int:
        """Note a load; which one it is."""
        with self.journal.open("a") as journal:
            journal.write(f"{os.getpid()}\n")
        return self.loads

    def load(self) -> str:
        if self.note() == 1 and self.fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(self.seconds)
        return "value"

    async def load_async(self) -> str:
        if self.note() == 1 and self.fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        await asyncio.sleep(self.seconds)
        return "value"

    async def rush(self, begin: Barrier) -> None:
        """All callers at once, when all processes are ready."""
        # What a crowded machine takes its time for is no failing server.
        config = CacheConfig.redis(
            self.url,
            namespace=self.namespace,
            hints=self.hints,
            operation_timeout=30.0,
            connect_timeout=30.0,
        )
        core = TaggedCache(TieredCache(InMemoryCache(), RedisCache(config)))
        async with core:
            await core.get("warm")
            face = core.sync()
            got: list[str] = []

            def one() -> None:
                got.append(face.get_or_set("k", self.load, lock_timeout=self.lock_timeout))

            callers = [threading.Thread(target=one) for _ in range(self.threads)]
            await asyncio.to_thread(begin.wait)
            for caller in callers:
                caller.start()
            got += await asyncio.gather(
                *(
                    core.get_or_set("k", self.load_async, lock_timeout=self.lock_timeout)
                    for _ in range(self.tasks)
                )
            )
            for caller in callers:
                await asyncio.to_thread(caller.join)
            face.close()
            assert got == ["value"] * (self.tasks + self.threads)


def _main(crowd: Crowd, begin: Barrier) -> None:
    asyncio.run(crowd.rush(begin))


@contextlib.contextmanager
def rushed(crowd: Crowd, processes: int) -> Iterator[list[SpawnProcess]]:
    """Processes that rush at once, and have ended when the block begins."""
    context = multiprocessing.get_context("spawn")
    begin = context.Barrier(processes)
    running = [context.Process(target=_main, args=(crowd, begin)) for _ in range(processes)]
    try:
        for process in running:
            process.start()
        for process in running:
            process.join(60)
        yield running
    finally:
        for process in running:
            process.kill()
            process.join()
