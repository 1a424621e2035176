"""Replay traces: `python -m benchmarks.traces FILE... [--sizes 250,500] [--json PATH]`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.traces.caches import Replay, armature, peers
from benchmarks.traces.policies import REFERENCES, optimum
from benchmarks.traces.reading import SYNTHETIC, read, synthesise

OURS = "armature"
OPTIMUM = "optimum"
BELADY = "libcachesim Belady"
FAMILIES = ("LRU", "SIEVE", "S3-FIFO", "LFU", "theine (W-TinyLFU)")
"""The policies that the targets name."""
Row = dict[str, Any]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.traces", description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="a .trace.xz file")
    parser.add_argument("--sizes", default="250,500,1000,2000", help="capacities, in entries")
    parser.add_argument("--limit", type=int, default=1_500_000, help="accesses per trace; 0: all")
    parser.add_argument("--synthetic", action="store_true", help="loops, scans and the like too")
    parser.add_argument("--no-peers", action="store_true", help="only what is written here")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures there")
    arguments = parser.parse_args()
    if not arguments.files and not arguments.synthetic:
        parser.error("name a trace file, or --synthetic")
    return arguments


def traces(arguments: argparse.Namespace) -> Iterator[tuple[str, int, Sequence[str]]]:
    sizes = [int(size) for size in arguments.sizes.split(",")]
    for path in arguments.files:
        keys = read(path, arguments.limit or None)
        for size in sizes:
            yield path.name.split(".")[0], size, keys
    if arguments.synthetic:
        for kind in SYNTHETIC:
            yield kind, sizes[0], synthesise(kind, sizes[0])


def summary(rows: list[Row], names: Sequence[str]) -> list[str]:
    """How our engine stands against the best of the others on each row, and against each alone."""
    others = [name for name in names if name not in (OURS, OPTIMUM, BELADY)]
    means = {name: sum(row[name] for row in rows) / len(rows) for name in names}
    return [
        worst(rows, [name for name in others if name in FAMILIES], "the policies of the targets"),
        worst(rows, others, "all others that do not know the future"),
        "mean: " + ", ".join(f"{name} {mean:.2f}" for name, mean in means.items()),
    ]


def worst(rows: list[Row], others: Sequence[str], what: str) -> str:
    gaps = {
        f"{row['trace']}, {row['entries']}": row[OURS] - max(row[name] for name in others)
        for row in rows
    }
    least = min(gaps, key=lambda row: gaps[row])
    return f"worst row against the best of {what}: {gaps[least]:+.2f} points ({least})"


def main() -> None:
    arguments = parse()
    replays: dict[str, Replay] = {OURS: armature, **REFERENCES}
    if not arguments.no_peers:
        replays |= peers()
    replays[OPTIMUM] = optimum
    print("| trace, entries | " + " | ".join(replays) + " |")
    print("|---" * (len(replays) + 1) + "|")
    rows: list[Row] = []
    for trace, size, keys in traces(arguments):
        row: Row = {"trace": trace, "entries": size, "accesses": len(keys)}
        for name, replay in replays.items():
            row[name] = 100 * replay(keys, size) / len(keys)
        rows.append(row)
        cells = " | ".join(f"{row[name]:.2f}" for name in replays)
        print(f"| {trace}, {size} | {cells} |", flush=True)
    print("\n" + "\n".join(summary(rows, list(replays))))
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
