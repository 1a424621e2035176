"""Where the time of the hot paths goes: `python -m benchmarks.profile [l1 decorated l2 set]`.

For each path the time of its parts, one inside the other, and what cProfile counts. cProfile's own
cost weighs on short functions: trust the parts for the size, the profile for the shape.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import pstats
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import redis

from armature_cache import cache, envelope
from armature_cache.leases import held
from benchmarks.bench import KEYS, TTL, Bench, values
from benchmarks.harness import Case
from benchmarks.rows_decorated import load, load_now
from benchmarks.rows_l1 import awaited, called, floor_pass

_LINES = 14
_FEW_KEYS = list(values())[:200]


async def _parts(bench: Bench, cases: dict[str, Case], count: int = KEYS) -> None:
    figures = await bench.compare(cases, count, seconds=0.05, rounds=5)
    for name, figure in figures.items():
        print(f"  {figure.best:12,.0f} ns  {name}")


async def _profiled(title: str, case: Case, passes: int) -> None:
    profile = cProfile.Profile()
    profile.enable()
    for _ in range(passes):
        pending = case()
        if pending is not None:
            await pending
    profile.disable()
    print(f"\n{title}, {passes} passes, by time of the function itself")
    stats = pstats.Stats(profile, stream=sys.stdout).strip_dirs()
    stats.sort_stats("tottime").print_stats(_LINES)


async def l1(bench: Bench) -> None:
    """A hit in this process."""
    async with bench.filled() as store:
        near: Any = store.store.l1
        face, now, replica = store.sync(), store.time, near._replica
        keys = list(values())

        def rejudged() -> None:
            replica.generation += 1
            for key in keys:
                store._peek(key)

        cases: dict[str, Case] = {
            "bare coroutine": floor_pass,
            "time source": called(lambda _key: now()),
            "leases held()": called(lambda _key: held()),
            "engine.find": called(near._find),
            "store._peek": called(store._peek),
            "store._peek, after the clock moved": rejudged,
            "sync get": called(face.get),
            "await get": awaited(store.get),
        }
        await _parts(bench, cases)
        await _profiled("await get", awaited(store.get), 50)


async def decorated(bench: Bench) -> None:
    """A hit of a decorated function."""
    async with bench.store() as store:
        ours: Any = cache(using=store, ttl=TTL, tags=("users", "user:{user_id}"))(load)
        plain: Any = cache(using=store.sync(), ttl=TTL, tags=("users", "user:{user_id}"))(load_now)
        template: Any = cache(using=store, ttl=TTL, key="user:{user_id}")(load)
        arguments = [(number,) for number in range(KEYS)]
        keys = [ours.func.calls.key(each, {}) for each in arguments]

        async def call(function: Any) -> None:
            for number in range(KEYS):
                await function(number)

        def call_now(function: Any) -> None:
            for number in range(KEYS):
                function(number)

        def making_keys() -> None:
            for each in arguments:
                ours.func.calls.key(each, {})

        def peeking() -> None:
            for key in keys:
                store._peek(key)

        await _parts(
            bench,
            {
                "bare coroutine": floor_pass,
                "calls.key": making_keys,
                "store._peek": peeking,
                "decorated, sync": lambda: call_now(plain),
                "decorated, its function without the partial": lambda: call(ours.func),
                "decorated": lambda: call(ours),
                "decorated, key template": lambda: call(template),
            },
        )
        await _profiled("decorated", lambda: call(ours), 50)


def _each(function: Callable[[str], object]) -> Case:
    """A pass of plain calls over a few keys."""

    def run() -> None:
        for key in _FEW_KEYS:
            function(key)

    return run


def _await_each(function: Callable[[str], Awaitable[object]]) -> Case:
    async def run() -> None:
        for key in _FEW_KEYS:
            await function(key)

    return run


async def l2(bench: Bench) -> None:
    """A hit in the shared tier."""
    async with bench.filled(l1=False) as store, bench.client() as client:
        far: Any = store.store.l2
        names, codec, judge = far._names, far.codec, far._replica.judge
        with redis.Redis.from_url(bench.url) as plain:
            raws: dict[str, Any] = {key: plain.get(names.value(key)) for key in _FEW_KEYS}

        def decode(key: str) -> None:
            parsed = envelope.parse(key, raws[key])
            assert parsed is not None
            codec.decode(parsed.payload, parsed.type_id, None)

        await _parts(
            bench,
            {
                "redis-py GET": _await_each(client.get),
                "port.send of one GET": _await_each(
                    lambda key: far._port.send([("GET", names.value(key))])
                ),
                "envelope.parse": _each(lambda key: envelope.parse(key, raws[key])),
                "envelope.parse and decode": _each(decode),
                "replica.judge, two tags": _each(lambda key: judge(key, 1, 1, ("users", key))),
                "sync get": _each(store.sync().get),
                "await get": _await_each(store.get),
            },
            len(_FEW_KEYS),
        )
        await _profiled("await get from L2", _await_each(store.get), 20)


async def tagged_set(bench: Bench) -> None:
    """A tagged set to both tiers."""
    async with bench.store() as store, bench.client() as client:
        given = values()
        mark = await store.mark()

        def tagged(key: str, **options: Any) -> Awaitable[None]:
            return store.set_with_tags(key, given[key], ("users", key), TTL, **options)

        await _parts(
            bench,
            {
                "redis-py SET": _await_each(lambda key: client.set(key, given[key], ex=TTL)),
                "fill with two tags": _await_each(lambda key: tagged(key, as_of=mark)),
                "set without tags": _await_each(lambda key: store.set(key, given[key], ttl=TTL)),
                "set with two tags": _await_each(tagged),
            },
            len(_FEW_KEYS),
        )
        with redis.Redis.from_url(bench.url) as plain:
            plain.config_resetstat()
            await _profiled("tagged set", _await_each(tagged), 10)
            told: Any = plain.info("commandstats")
        spent = told["cmdstat_evalsha"]
        print(f"the server's part: {spent['usec_per_call']} µs a call of {spent['calls']}")


PATHS: dict[str, Callable[[Bench], Awaitable[None]]] = {
    "l1": l1,
    "decorated": decorated,
    "l2": l2,
    "set": tagged_set,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile", description=__doc__)
    parser.add_argument("paths", nargs="*", choices=[[], *PATHS], help="all, unless named")
    for name in parser.parse_args().paths or PATHS:
        bench = Bench()
        print(f"\n== {name}: {PATHS[name].__doc__}")
        try:
            asyncio.run(_run(PATHS[name], bench))
        finally:
            bench.close()


async def _run(path: Callable[[Bench], Awaitable[None]], bench: Bench) -> None:
    await path(bench)


if __name__ == "__main__":
    main()
