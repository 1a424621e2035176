"""Measure how cost grows: `python -m benchmarks.scale [NAME...]`; writes docs/scale.md."""

from __future__ import annotations

import argparse
import asyncio
import inspect
import json
import sys
import time
from pathlib import Path

from benchmarks import machine
from benchmarks.bench import Bench
from benchmarks.scale import sweeps_l1, sweeps_servers, sweeps_tags
from benchmarks.scale.curves import SWEEPS, Curve, svg

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "bench-results"
_ = (sweeps_l1, sweeps_tags, sweeps_servers)  # they register

_HEAD = """\
# Scale

Written by `make bench-scale`; change `benchmarks/scale/`, not this page. How the cost of a call \
grows with the work: both axes of the pictures are logarithmic, a flat line is a cost that does \
not grow. The rows beside other libraries are in [benchmarks](benchmarks.md).
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("only", nargs="*", metavar="NAME", help=f"of {', '.join(SWEEPS)}")
    parser.add_argument("--quick", action="store_true", help="a rough run, to try the benchmark")
    arguments = parser.parse_args()
    if unknown := set(arguments.only) - set(SWEEPS):
        parser.error(f"no sweep is called {', '.join(sorted(unknown))}")
    bench = Bench(quick=arguments.quick)
    load = machine.load()
    try:
        curves = [
            curve
            for name in SWEEPS
            if name in (arguments.only or SWEEPS)
            for curve in run(name, bench)
        ]
        facts = machine.describe(bench.server)
    finally:
        bench.close()
    if machine.busy(load):
        facts["load when it began"] = f"{load:.1f}: the machine was busy"
    RESULTS.mkdir(exist_ok=True)
    told = {"machine": facts, "curves": [curve.as_json() for curve in curves]}
    (RESULTS / "scale.json").write_text(json.dumps(told, indent=2) + "\n", "utf-8")
    if not (arguments.only or arguments.quick):
        write(curves, facts, ROOT / "docs")
        print("written: docs/scale.md and its pictures", file=sys.stderr)
    return 0


def run(name: str, bench: Bench) -> list[Curve]:
    started = time.monotonic()
    measure = SWEEPS[name]
    found = asyncio.run(measure(bench)) if inspect.iscoroutinefunction(measure) else measure(bench)
    curves = [found] if isinstance(found, Curve) else list(found)
    for curve in curves:
        print(f"{curve.title}\n\n{curve.table()}\n", flush=True)
    print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr)
    return curves


def write(curves: list[Curve], facts: dict[str, str], docs: Path) -> None:
    """The page and its pictures."""
    pictures = docs / "img"
    pictures.mkdir(parents=True, exist_ok=True)
    parts = [_HEAD]
    for curve in curves:
        (pictures / f"scale-{curve.name}.svg").write_text(svg(curve), "utf-8")
        title = curve.title[0].upper() + curve.title[1:]
        image = f"![{curve.title.replace('`', '')}](img/scale-{curve.name}.svg)"
        parts += [f"## {title}", *filter(None, (curve.remark, image, curve.table()))]
    lines = ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in facts.items())]
    parts += ["## Machine and versions", "\n".join(lines)]
    (docs / "scale.md").write_text("\n\n".join(parts) + "\n", "utf-8")


if __name__ == "__main__":
    sys.exit(main())
