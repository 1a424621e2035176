"""The ladder: what each protection saves, measured."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.harness import OURS, Figure, Result, row
from benchmarks.resilience.ladder import DOWN, PROCESSES, QUERY, STEPS, TASKS, TTL, climb

_SECONDS = 10.0


@row("ladder")
def ladder(bench: Bench) -> list[Result]:
    seconds = 3.0 if bench.quick else _SECONDS
    queries, errors, stale, reads = {}, {}, {}, []
    for step in STEPS:
        bench.flush()
        with tempfile.TemporaryDirectory() as folder:
            counts = climb(step, bench.url, Path(folder), seconds)
        name = f"{OURS}, {step.name}" if step.cached else step.name
        queries[name] = Figure((1000 * counts.queries / counts.reads,))
        errors[name] = Figure((1_000_000 * counts.errors / counts.reads,))
        stale[name] = Figure((1_000_000 * counts.stale / counts.reads,))
        reads.append(counts.reads)
    remark = (
        f"{PROCESSES} processes of {TASKS} tasks for {seconds:.0f} s, {min(reads):,} to "
        f"{max(reads):,} reads a step; Zipf over 300 products, an update after 1 % of reads, "
        f"lifetime {TTL:.0f} s, a query takes {QUERY * 1000:.0f} ms, and for "
        f"{DOWN[1] - DOWN[0]:.0%} of the run the database is down."
    )
    titles = (
        ("ladder", "database queries per 1,000 reads", queries),
        ("ladder-errors", "errors per million reads, the database being down for a while", errors),
        ("ladder-stale", "reads older than an update 250 ms before, per million", stale),
    )
    return [
        Result(name, title, "count", figures, remark=remark, ours="")
        for name, title, figures in titles
    ]
