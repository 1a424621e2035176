"""The page docs/benchmarks.md, written from the results of one whole run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks import plots
from benchmarks.harness import FLOORS, OURS, Result
from benchmarks.report import shown, table

_HEAD = """\
# Benchmarks

Written by `make bench`; change `benchmarks/`, not this page.

Every figure stands beside a peer's, measured in turn in the same run: only such ratios count. A \
target is a wish that is shown to be met or missed; no test asserts one. Hit ratios have a \
[page of their own](hit-ratios.md), and [growth](scale.md), too.

```sh
make bench                 # everything, in about ten minutes, and this page
make bench ONLY=l1-get     # one row; ONLY="l1 l2" is every row whose name begins so
make bench TRACE=file.xz   # the network row replays this trace
make bench-traces TRACE=file.xz   # hit ratios
make bench-scale           # how cost grows
make bench-leaks           # ten minutes in which everything changes, and nothing may grow
```
"""

_METHOD = """\
## Method

- The same keys and values for all: 1,000 keys such as `user:7`, values of 500 characters, unless \
a row says otherwise; a lifetime of an hour.
- "Tagged and coherent" is `TaggedCache(TieredCache(InMemoryCache(), RedisCache(...)))` on a \
Valkey server on the same machine, over loopback, with hints and statistics on: what `open_cache` \
gives.
- Cases take turns: 21 rounds of at least 0.03 s a case, seven of 0.3 s where a server answers; \
the order rotates. Rows without a server show the best round, rows with one the median.
- The garbage collector runs between cases, as in `timeit`; its pauses have a row of their own.
- A ratio of 0.5 x means that ours takes half the peer's time, bytes or memory.
- Every round of every case is in `bench-results/results.json`.
"""


def write(
    results: Sequence[Result], facts: dict[str, str], notes: Sequence[str], docs: Path
) -> None:
    """Write the page and its pictures."""
    pictures = docs / "img"
    pictures.mkdir(parents=True, exist_ok=True)
    for old in pictures.glob("bench-*.svg"):
        old.unlink()
    for result in results:
        plots.draw(result, pictures / f"bench-{result.name}.svg")
    parts = [
        _HEAD,
        "## Table\n\n" + table(results) + "\n",
        _wins(results),
        "## Rows\n",
        *(_section(result) for result in results),
        _METHOD,
        "## Machine and versions\n\n" + _facts(facts, notes),
    ]
    (docs / "benchmarks.md").write_text("\n".join(part for part in parts if part), "utf-8")


def _section(result: Result) -> str:
    title = result.title[0].upper() + result.title[1:]
    picture = f"![{result.title.replace('`', '')}](img/bench-{result.name}.svg)"
    return "\n\n".join(filter(None, (f"### {title}", result.remark, picture))) + "\n"


def _wins(results: Sequence[Result]) -> str:
    """Where somebody else is better, and which targets are missed."""
    found = []
    for result in results:
        ours = result.value(result.ours)
        peers = [
            name for name in result.figures if not name.startswith(OURS) and name not in FLOORS
        ]
        better = [name for name in peers if ours and (result.value(name) or ours) < ours]
        if better:
            figures = ", ".join(
                f"{name} {shown(result.value(name) or 0.0, result.unit)}" for name in better
            )
            found.append(f"- {result.title}: {figures}; here {shown(ours or 0.0, result.unit)}.")
    missed = [
        result.title
        for result in results
        if any(each.met(result) is False for each in result.targets)
    ]
    lines = ["## Where a peer wins", "", *(found or ["Nowhere in this run."]), ""]
    if missed:
        lines += ["Targets missed in this run: " + "; ".join(missed) + ".", ""]
    return "\n".join(lines)


def _facts(facts: dict[str, str], notes: Sequence[str]) -> str:
    lines = ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in facts.items())]
    if notes:
        lines += ["", *(f"- {note}" for note in notes)]
    return "\n".join(lines) + "\n"
