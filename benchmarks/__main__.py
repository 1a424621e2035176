"""Measure against peers: `python -m benchmarks [NAME...]`; see docs/benchmarks.md."""

from __future__ import annotations

import argparse
import json
import sys
import time
import traceback
from pathlib import Path

from benchmarks import (
    machine,
    page,
    report,
    rows_codecs,
    rows_decorated,
    rows_l1,
    rows_l2,
    rows_memcached,
    rows_memory,
    rows_network,
    rows_sqlite,
    rows_staleness,
    rows_tags,
)
from benchmarks.bench import Bench
from benchmarks.harness import ROWS, Result, Row
from benchmarks.resilience import rows_expiry, rows_ladder, rows_outage

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "bench-results"
_ = (rows_l1, rows_decorated, rows_l2, rows_tags, rows_network, rows_memory)  # they register
_ = (*_, rows_expiry, rows_ladder, rows_outage, rows_staleness, rows_codecs)
_ = (*_, rows_memcached, rows_sqlite)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("only", nargs="*", metavar="NAME", help="rows whose names begin so")
    parser.add_argument("--trace", type=Path, metavar="FILE", help="an .xz trace for `network`")
    parser.add_argument("--quick", action="store_true", help="a rough run, to try the benchmark")
    parser.add_argument("--list", action="store_true", help="name the rows")
    arguments = parser.parse_args()
    arguments.rows = [
        row
        for name, row in ROWS.items()
        if not arguments.only or any(name.startswith(each) for each in arguments.only)
    ]
    if not arguments.rows:
        parser.error(f"no row begins so; rows are {', '.join(ROWS)}")
    if arguments.trace is not None and not arguments.trace.is_file():
        parser.error(f"there is no file {arguments.trace}")
    return arguments


def measure(rows: list[Row], bench: Bench) -> tuple[list[Result], list[str]]:
    """The results, and the names of the rows that failed."""
    results: list[Result] = []
    failed: list[str] = []
    for row in rows:
        started = time.monotonic()
        print(f"{row.name} ...", end=" ", file=sys.stderr, flush=True)
        try:
            found = row.run(bench)
            results += found
            save(row.name, found)
        except Exception:  # noqa: BLE001 - one row must not take the others along
            failed.append(row.name)
            traceback.print_exc()
        print(f"{time.monotonic() - started:.0f} s", file=sys.stderr)
    return results, failed


def save(name: str, results: list[Result], facts: dict[str, str] | None = None) -> None:
    """Write results as JSON; those of one row as soon as they are there."""
    RESULTS.mkdir(exist_ok=True)
    told = json.dumps(report.as_json(results, facts or {}), indent=2)
    (RESULTS / f"{name}.json").write_text(told + "\n", "utf-8")


def main() -> int:
    arguments = parse()
    if arguments.list:
        print("\n".join(ROWS))
        return 0
    bench = Bench(quick=arguments.quick, trace=arguments.trace)
    load = machine.load()
    if machine.busy(load):
        bench.notes.append(f"The machine was busy when the run began: load average {load:.1f}.")
        print(bench.notes[-1], file=sys.stderr)
    try:
        results, failed = measure(arguments.rows, bench)
        facts = machine.describe(bench.server)
    finally:
        bench.close()
    print(report.table(results))
    whole = not (arguments.only or arguments.quick or failed)
    if not arguments.only:
        save("results", results, facts)
    if whole:
        page.write(results, facts, bench.notes, ROOT / "docs")
        print("\nwritten: docs/benchmarks.md and its pictures", file=sys.stderr)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
