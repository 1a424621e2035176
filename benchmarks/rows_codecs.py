"""What compression, encryption and signatures cost, and what large values do to an event loop."""

from __future__ import annotations

import asyncio
import copy
import random
import time
from typing import Any

from armature_cache import (
    CacheConfig,
    InMemoryCache,
    KeyRing,
    MessagePackCodec,
    RedisCache,
    SealedCodec,
)
from armature_cache._runtime.blocking import BLOCKING
from armature_cache._runtime.ready import run_ready
from armature_cache.envelope import Envelope
from armature_cache.stores.sealing import Addressed, Sealing
from benchmarks.bench import Bench
from benchmarks.harness import OURS, Case, Figure, Result, Target, row

KEYS = KeyRing({1: b"k" * 32})
UNSEALED = "unsealed"
SEALS: dict[str, Any] = {
    UNSEALED: None,
    f"{OURS} zstd": SealedCodec(compress="zstd"),
    f"{OURS} lz4": SealedCodec(compress="lz4"),
    f"{OURS} signed": SealedCodec(sign=KEYS),
    f"{OURS} encrypted": SealedCodec(encrypt=KEYS),
    f"{OURS} zstd, encrypted": SealedCodec(compress="zstd", encrypt=KEYS),
}
SIZES = {"500 B": (500, 1.15), "10 KB": (10_000, 1.25), "1 MB": (1_000_000, 1.5)}
"""Sizes, and how much longer a sealed value may take than an unsealed one."""
LARGE = 10_000_000


def records(size: int) -> list[dict[str, Any]]:
    """Records of a user table that take so many bytes, as an API would cache them."""
    draw = random.Random(1)
    return [
        {
            "id": draw.randrange(10**9),
            "name": f"user {draw.randrange(10**6)}",
            "mail": f"u{draw.randrange(10**9)}@example.com",
            "tags": draw.sample(["red", "green", "blue", "black", "white"], 2),
        }
        for _ in range(max(1, size // 90))
    ]


def _store(bench: Bench, codec: Any, namespace: str) -> RedisCache:
    return RedisCache(CacheConfig.redis(bench.url, namespace=namespace), codec=codec)


@row("codecs")
async def codecs(bench: Bench) -> list[Result]:
    if not all(map(bench.has, ("zstandard", "lz4", "cryptography"))):
        return []
    stores = {
        name: _store(bench, codec, f"c{at}") for at, (name, codec) in enumerate(SEALS.items())
    }
    results = []
    for title, (size, limit) in SIZES.items():
        value = records(size)
        sets = {name: _sets(store, value) for name, store in stores.items()}
        gets = {name: _gets(store) for name, store in stores.items()}
        for what, cases in (("set", sets), ("get", gets)):
            figures = await bench.compare(cases, 1, seconds=0.1, rounds=7)
            name = f"codecs-{what}-{title.replace(' ', '')}"
            remark = "" if results else "Records of a user table; the server is on this machine."
            targets = [
                Target("factor", limit, UNSEALED, subject=each)
                for each in SEALS
                if each != UNSEALED
            ]
            results.append(
                Result(
                    name, f"{what} of {title} in L2", "ns", figures, targets, remark, by="median"
                )
            )
    for store in stores.values():
        await store.aclose()
    return results


def _sets(store: RedisCache, value: Any) -> Case:
    return lambda: store.set("k", value, as_of=None)


def _gets(store: RedisCache) -> Case:
    return lambda: store.get("k")


@row("seals")
async def seals(bench: Bench) -> list[Result]:
    """Encoding and closing an envelope, parsing, opening and decoding it: no server, no loop."""
    if not all(map(bench.has, ("zstandard", "lz4", "cryptography"))):
        return []
    results = []
    for title, (size, _) in SIZES.items():
        value = records(size)
        sides = {name: _sides(codec, value) for name, codec in SEALS.items()}
        for at, what in enumerate(("write", "read")):
            cases = {name: both[at] for name, both in sides.items()}
            figures = await bench.compare(cases, 1, seconds=0.05, rounds=9)
            name = f"seals-{what}-{title.replace(' ', '')}"
            subjects = [each for each in SEALS if each != UNSEALED]
            targets = [Target("factor", 3, UNSEALED, subject=each) for each in subjects]
            remark = "" if results else "What the client does by itself, best of rounds."
            results.append(
                Result(name, f"{what} of {title} without a server", "ns", figures, targets, remark)
            )
    return results


def _sides(codec: Any, value: Any) -> tuple[Case, Case]:
    store = Sealing(codec or MessagePackCodec(), namespace="ns", limit=LARGE, runtime=BLOCKING)

    def write() -> bytes:
        payload, type_id = store.codec.encode(value)
        made = Envelope(0, 0, codec=store.codec.code, type_id=type_id, payload=payload)
        (closed,) = run_ready(store.close([Addressed("k", made)]))
        return closed.stamped(1, 2)

    raw = write()

    def read() -> None:
        (parsed,) = run_ready(store.parse(["k"], [raw]))
        assert parsed is not None
        (payload,) = run_ready(store.open([Addressed("k", parsed)]))
        assert payload is not None
        store.codec.decode(payload, parsed.type_id)

    def write_only() -> None:
        write()

    return write_only, read


@row("stall")
async def stall(bench: Bench) -> list[Result]:
    """How long an event loop stands still while a value of 10 MB is stored and read."""
    if not all(map(bench.has, ("zstandard", "cryptography"))):
        return []
    value = b"".join(str(record).encode() for record in records(LARGE))[:LARGE]
    sealed = SEALS[f"{OURS} zstd, encrypted"]
    ways = {
        OURS: (sealed, False),
        "in place": (sealed, True),
        "unsealed": (None, False),
        "unsealed, in place": (None, True),
    }
    figures: dict[str, dict[str, Figure]] = {"set": {}, "get": {}}
    for name, (codec, here) in ways.items():
        store = _store(bench, codec, "stall")
        if here:
            store._sealing._runtime = BLOCKING
        for what, work in (("set", _sets(store, value)), ("get", _gets(store))):
            gaps = [await _largest_gap(work) for _ in range(bench.rounds(9))]
            figures[what][name] = Figure(tuple(gaps))
        await store.aclose()
    remark = (
        "The longest time for which no other task could run. Ours: compressed and encrypted by "
        "threads; `in place`: on the event loop. What is left is encoding, which holds the "
        "interpreter, and the socket."
    )
    return [
        Result(
            f"stall-{what}", f"longest stall, {what} of 10 MB", "ns", each, (), remark, by="median"
        )
        for what, each in figures.items()
    ]


async def _largest_gap(work: Case) -> float:
    done = False
    largest = 0

    async def watch() -> None:
        nonlocal largest
        last = time.perf_counter_ns()
        while not done:
            await asyncio.sleep(0)
            now = time.perf_counter_ns()
            largest, last = max(largest, now - last), now

    watching = asyncio.get_running_loop().create_task(watch())
    await asyncio.sleep(0)
    pending = work()
    if pending is not None:
        await pending
    done = True
    await watching
    return float(largest)


@row("isolate")
async def isolate(bench: Bench) -> list[Result]:
    """A hit in this process whose value is shared, copied or watched."""
    stores = {
        "shared": InMemoryCache(),
        OURS: InMemoryCache(isolate=True),
        "watched": InMemoryCache(detect_mutation=True),
    }
    results = []
    values = {
        "text": "x" * 500,
        "records of 500 B": records(500),
        "records of 10 KB": records(10_000),
    }
    for title, value in values.items():
        for store in stores.values():
            await store.set("k", value)
        cases = {name: _hits(store) for name, store in stores.items()}
        cases["copy.deepcopy alone"] = _deep_copies(value)
        figures = await bench.compare(cases, 100)
        name = f"isolate-{title.replace(' ', '')}"
        results.append(Result(name, f"isolated L1 hit, {title}", "ns", figures))
    return results


def _hits(store: InMemoryCache) -> Case:
    async def run() -> None:
        for _ in range(100):
            await store.get("k")

    return run


def _deep_copies(value: object) -> Case:
    def run() -> None:
        for _ in range(100):
            copy.deepcopy(value)

    return run
