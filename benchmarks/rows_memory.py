"""A million entries, memory, and the time of the import."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from benchmarks.bench import Bench, in_child
from benchmarks.harness import OURS, Figure, Result, Target, row

_MILLION = 1_000_000
_SMALL = 100_000
_ENGINE = "engine"
_NO_BYTECODE = "PYTHONDONTWRITEBYTECODE"
"""Would have us compile at each import what pip has compiled for the peers."""
_FOREIGN = ("redis", "pymemcache", "django", "fastapi", "starlette", "aiohttp")
_IMPORT = """
import json, sys
from time import perf_counter_ns as clock
started = clock()
import {module}
spent = clock() - started
foreign = [name for name in {foreign!r} if name in sys.modules]
print(json.dumps([spent, foreign]))
"""


def _peers(bench: Bench) -> list[str]:
    return [name for name in ("cachetools", "cachebox") if bench.has(name)]


@row("million")
def million(bench: Bench) -> list[Result]:
    count = bench.size(_MILLION)
    kinds = [_ENGINE, "dict", *_peers(bench)]
    runs: dict[str, list[Any]] = {kind: [] for kind in kinds}
    for kind in kinds:
        runs[kind].append(in_child("million", kind, str(count)))
    return [_percentiles(what, count, runs) for what in ("put", "get")] + _pauses(bench, count)


def _percentiles(what: str, count: int, runs: dict[str, list[Any]]) -> Result:
    def figure(kind: str, part: str) -> Figure:
        return Figure(tuple(run[what][part] for run in runs[kind]))

    ours = {f"armature {part}": figure(_ENGINE, part) for part in ("p99.99", "p50", "p99", "max")}
    others = {
        f"{kind} {part}": figure(kind, part)
        for part in ("p99.99", "max")
        for kind in runs
        if kind != _ENGINE
    }
    return Result(
        f"million-{what}",
        f"the engine's `{what}` with {count:,} entries, collector off",
        "ns",
        ours | others,
        (Target("absolute", 1_000_000),),
        "The bound is 1 ms. Each operation is timed by itself, the time of the clock included."
        + (" A single dictionary is rebuilt as it grows: see its max." if what == "put" else ""),
        ours="armature p99.99",
    )


def _pauses(bench: Bench, count: int) -> list[Result]:
    runs = {kind: in_child("pauses", kind, str(count)) for kind in (_ENGINE, *_peers(bench))}

    def figures(phase: str) -> dict[str, Figure]:
        return {
            OURS if kind == _ENGINE else kind: Figure((float(run[phase]),))
            for kind, run in runs.items()
        }

    return [
        Result(
            "million-pauses",
            f"longest pause of the garbage collector while {count:,} entries are put in",
            "ns",
            figures("filling"),
            remark="Python's collector visits every container; `gc.freeze()` after warming up, or "
            "a higher threshold, spares a process that.",
        ),
        Result(
            "million-collection",
            f"one full collection with {count:,} entries",
            "ns",
            figures("full"),
        ),
    ]


@row("memory")
def memory(bench: Bench) -> Result:
    count = bench.size(_SMALL)
    kinds = [OURS, "armature, by set", "dict", *_peers(bench)]
    values: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(bench.rounds(3)):
        for kind in kinds:
            values[kind].append(float(in_child("memory", kind, str(count))))
    return Result(
        "memory",
        "memory per small entry in L1, its key and value included",
        "B",
        {kind: Figure(tuple(each)) for kind, each in values.items()},
        (Target("factor", 1.25, "cachetools"),),
        f"Resident memory of a process, by {count:,} entries of a 12-character key, an int and a "
        "lifetime; a loaded entry, and one that was `set`, of which the clock remembers the key "
        "for a while.",
    )


@row("import")
def importing(bench: Bench) -> Result:
    modules = {OURS: "armature_cache"}
    modules |= {name: name for name in ("cashews", "aiocache", "cachetools") if bench.has(name)}
    if bench.has("dogpile"):
        modules["dogpile"] = "dogpile.cache"
    values: dict[str, list[float]] = {name: [] for name in modules}
    loaded: set[str] = set()
    for _ in range(bench.rounds(11)):
        for name, module in modules.items():
            spent, foreign = _import(module)
            values[name].append(spent)
            if name == OURS:
                loaded |= set(foreign)
    what = ", ".join(sorted(loaded)) if loaded else "none of them"
    return Result(
        "import",
        "time of the import",
        "ns",
        {name: Figure(tuple(each)) for name, each in values.items()},
        (Target("absolute", 60_000_000),),
        f"The bound is 60 ms. Of {', '.join(_FOREIGN)}, `import armature_cache` loads: {what}.",
        by="median",
    )


def _import(module: str) -> tuple[float, list[str]]:
    code = _IMPORT.format(module=module, foreign=_FOREIGN)
    compiled = {name: value for name, value in os.environ.items() if name != _NO_BYTECODE}
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=compiled
    )
    spent, foreign = json.loads(done.stdout)
    return spent, foreign
