"""The course of the demo: a server, a database, workers, and three runs."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import redis

from armature_cache import TieredCacheConfig
from armature_cache.address import FILE_SCHEME
from armature_cache.demo.fleet import Fleet
from armature_cache.demo.ledger import Ledger
from armature_cache.demo.outcome import Compared, Measured, Outcome
from armature_cache.demo.tally import Counts, Tally
from armature_cache.demo.worker import Audit, Audited, Job, Run
from armature_cache.demo.workload import Workload
from armature_cache.testing import RedisServer, ServerError

_TIERED: Final = TieredCacheConfig(l1_ttl_fraction=0.25)
_L2_ONLY: Final = TieredCacheConfig(enable_l1=False)
_COMPARED: Final = 0.2
_LEAST: Final = 0.3

Progress = Callable[[str, float | None, Counts], None]
"""Told the name of the run, its seconds if they are limited, and the counts so far."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """What to run, for how long, and where.

    Without `url` it runs on a server of the demo's own, or with `in_file` on a file.
    """

    workload: Workload
    seconds: float = 20.0
    workers: int = 4
    url: str | None = None
    in_file: bool = False


def run(settings: Settings, progress: Progress) -> Outcome:
    """Run the demo. Whatever happens, nothing that it started or made is left."""
    with _place(settings) as (url, folder), _shared(url) as shared:
        objects = settings.workload.create(folder)
        Ledger.create(folder / "ledger", objects)
        bound = _TIERED.staleness_bound
        job = Job(settings.workload, folder, url, settings.workers, bound)
        with Fleet(job) as fleet:
            course = _Course(fleet, shared, progress)
            main = course.measure("tiers", _TIERED, seconds=settings.seconds)
            time.sleep(2 * bound)
            audit = _total(fleet.order(Audit(), Audited))
            seconds = max(_LEAST, settings.seconds * _COMPARED)
            compared = None if settings.in_file else course.compare(seconds)
    return Outcome(
        title=settings.workload.title,
        workers=settings.workers,
        bound=bound,
        main=main,
        audit=audit,
        compared=compared,
        overall=course.overall,
    )


class _Course:
    """Runs one after the other."""

    def __init__(self, fleet: Fleet, shared: _Shared, progress: Progress) -> None:
        self._fleet, self._shared, self._progress = fleet, shared, progress
        self.overall = Counts()

    def compare(self, seconds: float) -> Compared:
        """The same operations without L1 and with it, after the same ones to warm up."""
        warming = self.measure("L2 only, warm-up", _L2_ONLY, seconds=seconds)
        l2_only = self.measure("L2 only", _L2_ONLY, seconds=seconds, fresh=False)
        self.measure("tiers, warm-up", _TIERED, limits=warming.operations)
        tiered = self.measure("tiers, the same", _TIERED, limits=l2_only.operations, fresh=False)
        return Compared(l2_only, tiered)

    def measure(
        self,
        name: str,
        tiers: TieredCacheConfig,
        *,
        seconds: float | None = None,
        limits: tuple[int, ...] | None = None,
        fresh: bool = True,
    ) -> Measured:
        """One run, in a namespace of its own, or going on where the last one stopped."""
        command = Run(self._shared.namespace() if fresh else None, tiers, seconds, limits)
        before = self._shared.traffic()
        tallies = self._fleet.order(
            command, Tally, lambda counts: self._progress(name, seconds, counts)
        )
        spent = self._shared.traffic() - before
        total = Tally()
        for tally in tallies:
            total.merge(tally)
        self.overall.merge(total.counts)
        return Measured(total, spent, tuple(tally.counts.operations for tally in tallies))


class _Shared:
    """What the workers share: a file that goes with its folder."""

    def __init__(self) -> None:
        self._name = f"demo{uuid.uuid4().hex[:12]}"
        self._runs = 0

    def namespace(self) -> str:
        self._runs += 1
        return f"{self._name}-{self._runs}"

    def traffic(self) -> int:
        """Bytes that went over the network so far."""
        return 0

    def close(self) -> None:
        """Leave nothing of the demo."""


class _Server(_Shared):
    """What the parent asks of the server, and what it removes from it in the end."""

    def __init__(self, url: str) -> None:
        super().__init__()
        try:
            self._client = redis.Redis.from_url(_spelled(url), protocol=2, socket_timeout=10)
        except ValueError as error:
            raise ServerError(f"the demo needs the url of one server: {error}") from None
        self._client.ping()

    def traffic(self) -> int:
        stats = self._client.info("stats")
        return int(stats["total_net_input_bytes"]) + int(stats["total_net_output_bytes"])

    def close(self) -> None:
        with contextlib.suppress(redis.RedisError), self._client as client:
            for keys in _chunks(client.scan_iter(match=f"*{self._name}*", count=1000)):
                client.unlink(*keys)


def _spelled(url: str) -> str:
    """The URL as redis-py knows it."""
    scheme, separator, rest = url.partition("://")
    return f"{scheme.replace('valkey', 'redis')}{separator}{rest}"


@contextlib.contextmanager
def _shared(url: str) -> Iterator[_Shared]:
    shared = _Shared() if url.startswith(FILE_SCHEME) else _Server(url)
    try:
        yield shared
    finally:
        shared.close()


@contextlib.contextmanager
def _place(settings: Settings) -> Iterator[tuple[str, Path]]:
    """The address of a server or file, and a folder, which goes in the end."""
    if settings.url is None and not settings.in_file:
        with RedisServer() as server:
            folder = server.directory / "demo"
            folder.mkdir()
            yield server.url, folder
    else:
        with tempfile.TemporaryDirectory(prefix="armature-demo-") as name:
            yield settings.url or f"{FILE_SCHEME}:///{name}/cache.db", Path(name)


def _chunks(keys: Iterator[bytes], size: int = 500) -> Iterator[list[bytes]]:
    chunk: list[bytes] = []
    for key in keys:
        chunk.append(key)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _total(audits: list[Audited]) -> Audited:
    return Audited(
        sum(audit.compared for audit in audits), sum(audit.different for audit in audits)
    )
