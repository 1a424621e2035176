"""A process that uses the cache at random until it is told to end, and forks now and then."""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses
import faulthandler
import os
import random
import signal
import sys
import threading
import time
import traceback
import warnings
from pathlib import Path
from typing import Any, Final

from armature_cache import (
    CacheConfig,
    CacheError,
    CacheStore,
    InMemoryCache,
    MemcachedCache,
    RedisCache,
    TaggedCache,
    TieredCache,
    TieredCacheConfig,
)
from armature_cache._time import boottime as now
from armature_cache.config import OnFailover
from tests.contract.faces import Face, drive
from tests.torture import memcached, ops
from tests.torture.checker import DOOMED
from tests.torture.doom import doom
from tests.torture.events import Outlived, Trouble
from tests.torture.hands import Hands
from tests.torture.journal import Journal
from tests.torture.mutate import mutate
from tests.torture.space import COUNTER_NAMESPACE, NAMESPACE, Truth
from tests.torture.wires import Place, lead

_CHILD_LIVES: Final = 1.2
_CHILD_MUST_END: Final = 25.0
_DOOMED_PART: Final = 0.4


@dataclasses.dataclass(frozen=True)
class Job:
    """What a worker is told."""

    name: str
    rank: int
    seed: int
    url: str
    roads: dict[Place, Place]
    recorder: str
    truth: Path
    bound: float
    timeout: float
    tasks: int
    pace: float
    awaited: bool
    hints: bool
    strict: bool
    forks: bool
    on_failover: OnFailover
    mutation: str | None


def open_cache(job: Job, namespace: str) -> TaggedCache:
    """The recommended stack."""
    settings: Any = {
        "namespace": namespace,
        "hints": job.hints,
        "staleness_bound": job.bound,
        "operation_timeout": job.timeout,
        "connect_timeout": job.timeout,
    }
    l2: CacheStore
    if job.url.startswith("memcached"):
        l2 = MemcachedCache(CacheConfig.memcached(job.url, **settings))
    else:
        settings["on_failover"] = job.on_failover
        l2 = RedisCache(CacheConfig.redis(job.url, **settings))
    tiers = TieredCacheConfig(
        staleness_bound=job.bound, on_l2_down="raise" if job.strict else "load"
    )
    return TaggedCache(TieredCache(InMemoryCache(max_entries=100), l2, tiers))


class Worker:
    """The stores of one process, and its tasks or threads."""

    def __init__(self, job: Job) -> None:
        self.job = job
        cores = [open_cache(job, name) for name in (NAMESPACE, COUNTER_NAMESPACE)]
        self.stores: list[Any] = cores if job.awaited else [core.sync() for core in cores]
        self.journal = Journal(job.recorder, job.name)
        self.truth = Truth(job.truth)
        self.ends_at = float("inf")

    def hands(self, task: str) -> Hands:
        """What one task works with."""
        job = self.job
        cache, counts = (Face(store) for store in self.stores)
        rng = random.Random(f"{job.seed}/{self.journal.worker}/{task}")
        return Hands(cache, counts, self.truth, self.journal, rng, job.hints, job.strict)

    async def task(self, name: str) -> None:
        """One operation after another."""
        hands, drawn = self.hands(name), ops.weights(self.job.on_failover)
        while not self.truth.stopping and now() < self.ends_at:
            await ops.one(hands, drawn)
            await hands.pause(hands.rng.expovariate(1 / self.job.pace))

    def run(self) -> None:
        """All tasks until the end, then close."""
        if self.job.forks:
            threading.Thread(target=self._fork_now_and_then, daemon=True).start()
        names = [f"t{number}" for number in range(self.job.tasks)]
        if self.job.awaited:
            asyncio.run(self._run_tasks(names))
        else:
            self._run_threads(names)

    def _tell_epochs(self) -> None:
        for store in self.stores:
            met = store.stats().coherence
            self.journal.tell(Outlived, met.resets, met.inherited, met.replayed)

    async def _run_tasks(self, names: list[str]) -> None:
        async with asyncio.TaskGroup() as group:
            for name in names:
                group.create_task(self.task(name))
        self._tell_epochs()
        for store in self.stores:
            try:
                await store.aclose()
            except CacheError as error:
                self._at_end(error)

    def _run_threads(self, names: list[str]) -> None:
        threads = [
            threading.Thread(target=self._guarded, args=(contextvars.Context(), name))
            for name in names
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self._tell_epochs()
        for store in self.stores:
            try:
                store.close()
            except CacheError as error:
                self._at_end(error)

    def _guarded(self, context: contextvars.Context, name: str) -> None:
        try:
            context.run(drive, self.task(name))
        except BaseException:  # noqa: BLE001 - a thread that ends unseen would weaken the test
            self.journal.tell(Trouble, traceback.format_exc(limit=-8))

    def _at_end(self, error: CacheError) -> None:
        self.journal.tell(Trouble, f"closing failed though the server is well: {error!r}")

    # -- forks -------------------------------------------------------------------------------

    def _fork_now_and_then(self) -> None:
        rng = random.Random(f"{self.job.seed}/{self.job.name}/forks")
        number = 0
        while True:
            time.sleep(rng.uniform(2.0, 6.0))
            if self.truth.stopping:
                return
            number += 1
            doomed = rng.random() < _DOOMED_PART
            name = f"{self.job.name}-child{number}{DOOMED if doomed else ''}"
            self.journal.expect(name)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                pid = os.fork()
            if pid == 0:
                self._be_child(name, rng if doomed else None)
            self._watch(pid, name)

    def _be_child(self, name: str, fate: random.Random | None) -> None:
        code = 1
        try:
            self.journal = Journal(self.job.recorder, name, prompt=fate is not None)
            if fate is not None:
                if self.job.url.startswith("memcached"):
                    memcached.doom(fate)
                else:
                    doom(fate, clustered="cluster" in self.job.url)
            self.truth = self.truth.again()
            self.ends_at = now() + _CHILD_LIVES
            if self.job.awaited:
                asyncio.run(self.task("t0"))
            else:
                contextvars.Context().run(drive, self.task("t0"))
            self.journal.close()
            code = 0
        except BaseException:  # noqa: BLE001 - the exit code tells
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)

    def _watch(self, pid: int, name: str) -> None:
        deadline = time.monotonic() + _CHILD_MUST_END
        while os.waitpid(pid, os.WNOHANG) == (0, 0):
            if time.monotonic() > deadline:
                self.journal.tell(Trouble, f"the forked child {name} does not end")
                os.kill(pid, signal.SIGUSR1)
                time.sleep(0.5)
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                return
            time.sleep(0.05)


def main(job: Job) -> None:
    """The process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    mutate(job.mutation)
    lead(job.roads)
    worker = Worker(job)
    try:
        worker.run()
    finally:
        worker.journal.close()
