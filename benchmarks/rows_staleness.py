"""How long another process still gets an old value after an invalidation was acknowledged."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from armature_cache import open_cache, sync
from benchmarks.bench import TTL, Bench
from benchmarks.harness import OURS, Figure, Result, Target, percentile, row

_ROUNDS = 120
_BOUND = 0.1
_TYPICAL = 0.002
_NAMESPACE = "stale"
_BETWEEN_READS = 0.0001
_LOADERS = 3
_PARTS = (("", 0.5), (" p99", 0.99), (" max", 1.0))


@row("staleness")
def staleness(bench: Bench) -> list[Result]:
    return [
        _result(bench, "idle", "nothing else going on", 0),
        _result(bench, "loaded", f"{_LOADERS} processes read, write and invalidate", _LOADERS),
    ]


def _result(bench: Bench, name: str, what: str, loaders: int) -> Result:
    rounds = bench.size(_ROUNDS)
    figures: dict[str, Figure] = {}
    bench.flush()
    with contextlib.ExitStack() as stack:
        for number in range(loaders):
            stack.enter_context(_Child("load", bench.url, str(number)))
        for hints, label in ((True, OURS), (False, f"{OURS} without hints")):
            ordered = sorted(_delays(bench.url, rounds, hints=hints))
            figures |= {
                f"{label}{suffix}": Figure((percentile(ordered, part),)) for suffix, part in _PARTS
            }
    return Result(
        f"staleness-{name}",
        f"age of what another process still reads after an invalidation, {what}",
        "ns",
        figures,
        (
            Target("absolute", _TYPICAL * 1e9),
            *(
                Target("absolute", _BOUND * 1e9, subject=f"{label} max")
                for label in (OURS, f"{OURS} without hints")
            ),
        ),
        f"{rounds:,} invalidations each: from the acknowledgement to the last beginning of a read "
        "that still gave the old value, in another process that reads every 0.1 ms. The median, "
        f"the 99th percentile, and the longest; the staleness bound is {_BOUND * 1000:.0f} ms.",
    )


def _delays(url: str, rounds: int, *, hints: bool) -> list[float]:
    """In ns; 0 where no read that began after the acknowledgement was old."""
    delays: list[float] = []
    with _open(url, hints=hints) as writer, _Child("stale", url, str(int(hints))) as reader:
        for version in range(rounds):
            writer.set("k", version, tags=["t"], as_of=None)
            reader.line()  # it has the new value, and will have it in L1
            time.sleep(random.uniform(0.002, 2 * _BOUND) if not hints else 0.005)
            writer.invalidate_tag("t")
            acknowledged = time.monotonic_ns()
            delays.append(max(0.0, float(reader.line()) - acknowledged))
    return delays


def _open(url: str, *, hints: bool) -> sync.TaggedCache:
    core = open_cache(
        url, namespace=_NAMESPACE, default_ttl=TTL, hints=hints, staleness_bound=_BOUND
    )
    return core.sync()


class _Child:
    """Another process."""

    def __init__(self, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.child", *arguments],
            cwd=Path(__file__).parents[1],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.line()

    def line(self) -> str:
        """What it says next."""
        out: IO[str] | None = self._process.stdout
        assert out is not None
        return out.readline()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()


def read(url: str, hints: str) -> None:
    """A child's side: it says when it has a new value, and when it began to read one last."""
    with _open(url, hints=hints == "1") as cache:
        cache.ping()
        print("ready", flush=True)
        known: object = None
        last = 0
        while True:
            began = time.monotonic_ns()
            found = cache.get("k")
            if found is None and known is not None:
                print(last, flush=True)
            elif found is not None and known is None:
                print("new", flush=True)
            known, last = found, began
            time.sleep(_BETWEEN_READS)


def load(url: str, seed: str) -> None:
    """A child's side: it works without end."""
    draw = random.Random(int(seed))
    with _open(url, hints=True) as cache:
        cache.ping()
        print("ready", flush=True)
        while True:
            key, part = f"k{draw.randrange(1000)}", draw.random()
            if part < 0.9:
                if cache.get(key) is None:
                    cache.set(key, "v" * 500, tags=[key, f"g{draw.randrange(50)}"])
            elif part < 0.97:
                cache.invalidate_tag(key)
            else:
                cache.invalidate_tag(f"g{draw.randrange(50)}")
            time.sleep(draw.uniform(0, 0.001))
