"""What a run says: a live line, tables, and one line of JSON."""

from __future__ import annotations

import collections
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

from tests.torture.recorder import Status
from tests.torture.run import Options

_MILLI: Final = 1000.0
_HISTORY: Final = 60
_DETAILED: Final = 3


def live(status: Status, elapsed: float) -> None:
    """One line that is written over."""
    if sys.stdout.isatty():
        operations = sum(status.tally.operations.values())
        faults = sum(status.tally.faults.values())
        sys.stdout.write(
            f"\r{elapsed:6.0f} s  {operations:8,} operations  {status.tally.reads:8,} reads  "
            f"{faults:4} faults  {status.violations} violations "
        )
        sys.stdout.flush()


def figures(options: Options, status: Status) -> dict[str, Any]:
    """The outcome as one mapping."""
    tally = status.tally
    return {
        "server": options.server,
        "topology": options.topology,
        "on_failover": options.on_failover,
        "seed": options.seed,
        "seconds": options.seconds,
        "mutation": options.mutation,
        "operations": sum(tally.operations.values()),
        "outcomes": dict(tally.outcomes),
        "faults": sum(tally.faults.values()),
        "epochs": dict(tally.epochs),
        "reads_checked": tally.reads,
        "hits_checked": tally.hits,
        "increments_checked": status.counted,
        "calm_reads": tally.calm_reads,
        "over_invalidated": tally.lost,
        "stale_ms_with_hints": _spread(tally.delays[True]),
        "stale_ms_without_hints": _spread(tally.delays[False]),
        "violations": status.violations,
        "rules": dict(collections.Counter(each.rule for each in status.shown)),
    }


def _spread(delays: Sequence[float]) -> dict[str, float]:
    if not delays:
        return {"n": 0}
    ordered = sorted(delays)
    picks = {"p50": len(ordered) // 2, "p99": len(ordered) * 99 // 100, "max": len(ordered) - 1}
    return {"n": len(ordered)} | {
        name: round(ordered[at] * _MILLI, 3) for name, at in picks.items()
    }


def show(options: Options, status: Status) -> None:
    """Tables, the violations with their histories, and the JSON."""
    out: list[str] = [""]
    _table(out, "Operations", status.tally.operations)
    _table(out, "Outcomes", status.tally.outcomes)
    _table(out, "Faults", status.tally.faults)
    _table(out, "Epochs, as the workers met them", status.tally.epochs)
    found = figures(options, status)
    plain = ("reads_checked", "hits_checked", "increments_checked", "calm_reads",
             "over_invalidated", "stale_ms_with_hints", "stale_ms_without_hints",
             "violations")  # fmt: skip
    _table(out, "Checked", {name: found[name] for name in plain})
    shown = sorted(status.shown, key=lambda each: not each.rule.startswith("stale"))
    for violation in shown[:_DETAILED]:
        out += ["", f"VIOLATION ({violation.rule}): {violation.text}"]
        out += [f"    {line}" for line in violation.history[-_HISTORY:]]
    out += [f"VIOLATION ({each.rule}): {each.text}" for each in shown[_DETAILED:]]
    out += ["", json.dumps(found)]
    sys.stdout.write("\n".join(out) + "\n")


def _table(out: list[str], title: str, rows: Mapping[str, Any]) -> None:
    out.append(title)
    for name, value in sorted(rows.items()):
        shown = f"{value:,}" if isinstance(value, int) else str(value)
        out.append(f"  {name:<32} {shown:>12}")
