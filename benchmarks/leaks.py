"""Look for leaks: `python -m benchmarks.leaks --minutes 10`, and everything must stay flat.

Mixed traffic over one cache and one server, in which everything changes: keys, tags, namespaces,
decorated functions, event loops, threads; loads that fail, are cancelled or time out. Memory,
tasks, threads, file descriptors, and the length of every table inside the library's objects are
looked at thirty times. What grows from the second quarter of the run to its last is named. Before
it begins, what a process remembers of tags and keys is filled to its bound.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import itertools
import random
import resource
import sys
import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

from armature_cache import TaggedCache, cache, open_cache
from armature_cache.testing import RedisServer

_LIFE = 2.0
_LOOP_SECONDS = 2.0
_TASKS = 8
_SAMPLES = 30
_SLACK = 1.15
_NOISE = {"RSS, MB": 4.0, "file descriptors": 4, "threads": 2, "tasks": 2, "library objects": 2000}
_NAMES = 60_000
_CHUNK = 1000
_LEAST_GROWTH = 300
"""A table that is longer by less than this may have been met at a busy moment."""


class Traffic:
    """What users do, with new names all the time."""

    def __init__(self, store: TaggedCache) -> None:
        self.store = store
        self.number = itertools.count()
        self.done: Counter[str] = Counter()
        self.draw = random.Random(1)
        self.tasks = 0

    async def loop(self, until: float) -> None:
        """The life of one event loop."""
        await asyncio.gather(*(self.work(until) for _ in range(_TASKS)))
        self.tasks = len(asyncio.all_tasks()) - 1

    async def work(self, until: float) -> None:
        acts = (self.read, self.write, self.load_many, self.fail, self.cancel, self.decorate)
        while time.monotonic() < until:
            act = self.draw.choice(acts)
            await act(next(self.number))
            self.done[act.__name__] += 1

    async def read(self, number: int) -> None:
        for key in (f"new:{number}", f"hot:{number % 100}"):
            await self.store.get_or_set(key, lambda: "v" * 100, ttl=_LIFE, tags=[f"tag:{number}"])

    async def write(self, number: int) -> None:
        part = self.store.namespace(f"part{number % 1000}")
        await part.set(f"w:{number}", number, ttl=_LIFE, tags=[f"t:{number}", "all"])
        await part.invalidate_tags([f"t:{number}", f"tag:{number - 50}"])
        await self.store.delete(f"new:{number - 20}")

    async def load_many(self, number: int) -> None:
        keys = [f"many:{number}:{each}" for each in range(5)]
        await self.store.get_or_set_many(keys, lambda wanted: dict.fromkeys(wanted, 1), ttl=_LIFE)

    async def fail(self, number: int) -> None:
        def load() -> int:
            raise LookupError(number)

        with contextlib.suppress(LookupError):
            await self.store.get_or_set(f"bad:{number}", load, ttl=_LIFE)

    async def cancel(self, number: int) -> None:
        async def load() -> int:
            await asyncio.sleep(60)
            return 1

        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.005):
                await self.store.get_or_set(f"slow:{number}", load, ttl=_LIFE)

    async def decorate(self, number: int) -> None:
        @cache(using=self.store, key="f:{x}", tags=["f:{x}"], ttl=_LIFE)
        async def function(x: int) -> int:
            return x

        await function(number)
        await function.invalidate(number)

    def thread(self, until: float) -> None:
        """The same store from a thread."""
        face = self.store.sync()
        while time.monotonic() < until:
            number = next(self.number)
            face.get_or_set(f"sync:{number}", lambda: 1, ttl=_LIFE, tags=[f"s:{number}"])
            face.invalidate_tag(f"s:{number}")
            self.done["thread"] += 1


def sample(tasks: int) -> dict[str, float]:
    """Every measure, by its name."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    found: dict[str, float] = {
        "RSS, MB": pages * resource.getpagesize() / 1e6,
        "file descriptors": len(list(Path("/dev/fd").iterdir())),
        "threads": threading.active_count(),
        "tasks": tasks,
    }
    ours = [each for each in gc.get_objects() if type(each).__module__.startswith("armature_cache")]
    found["library objects"] = len(ours)
    for each in ours:
        for name, table in tables(each):
            called = f"{type(each).__qualname__}.{name}"
            found[called] = max(found.get(called, 0), len(table))
    return found


def tables(each: object) -> Iterator[tuple[str, Any]]:
    """The containers that an object holds by its attributes."""
    names = set(getattr(each, "__dict__", ()))
    for kind in type(each).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        names.update((slots,) if isinstance(slots, str) else slots)
    for name in names:
        held = getattr(each, name, None)
        if isinstance(held, (dict, set, list, deque, OrderedDict, Mapping, AbstractSet)):
            with contextlib.suppress(TypeError):
                len(held)
                yield name, held


def halves(samples: list[dict[str, float]]) -> dict[str, tuple[float, float]]:
    """The most of each measure in the second quarter of the run, and in its last."""
    quarter = len(samples) // 4
    early, late = samples[quarter : 2 * quarter], samples[-quarter:]
    return {
        name: (
            max(each.get(name, 0) for each in early),
            max(each.get(name, 0) for each in late),
        )
        for name in samples[-1]
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.leaks", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    arguments = parser.parse_args()
    with RedisServer() as server:
        store = open_cache(
            server.url, namespace="leaks", default_ttl=_LIFE, max_ttl=10, max_entries=300
        )
        traffic = Traffic(store)
        try:
            asyncio.run(fill(store))
            samples = watch(traffic, 60 * arguments.minutes)
        finally:
            asyncio.run(store.aclose())
    return report(samples, traffic)


async def fill(store: TaggedCache) -> None:
    """Let the process know of as many tags and keys as it remembers, and more."""
    for first in range(0, _NAMES, _CHUNK):
        names = [f"before:{number}" for number in range(first, first + _CHUNK)]
        await store.invalidate_tags(names)
        await store.delete_many(names)


def watch(traffic: Traffic, seconds: float) -> list[dict[str, float]]:
    """One event loop after another, a thread beside each."""
    samples: list[dict[str, float]] = []
    started = time.monotonic()
    for number in range(1, _SAMPLES + 1):
        due = started + seconds * number / _SAMPLES
        while time.monotonic() < due:
            until = min(time.monotonic() + _LOOP_SECONDS, due)
            thread = threading.Thread(target=traffic.thread, args=[until])
            thread.start()
            asyncio.run(traffic.loop(until))
            thread.join()
        samples.append(sample(traffic.tasks))
        shown = ", ".join(f"{name} {samples[-1][name]:.0f}" for name in _NOISE)
        print(f"{sum(traffic.done.values()):>9,} operations: {shown}", flush=True)
    return samples


def report(samples: list[dict[str, float]], traffic: Traffic) -> int:
    print("\n| measure | second quarter, most | last quarter, most |\n|---|---|---|")
    for name, (before, after) in halves(samples).items():
        if name in _NOISE or max(before, after) >= _LEAST_GROWTH:
            print(f"| {name} | {before:,.0f} | {after:,.0f} |")
    print(f"\noperations: {dict(traffic.done)}")
    faults = [
        f"GROWS: {name}: from {before:,.0f} to {after:,.0f}"
        for name, (before, after) in halves(samples).items()
        if after > before * _SLACK and after > before + _NOISE.get(name, _LEAST_GROWTH)
    ]
    print("\n".join(faults) or "everything is flat")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
