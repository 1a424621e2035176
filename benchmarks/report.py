"""Results as text: a table for the terminal and the page, and JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from benchmarks.harness import OURS, Result, Target, Unit

_STEPS: dict[Unit, tuple[tuple[float, str], ...]] = {
    "ns": ((1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1, "ns")),
    "B": ((1e6, "MB"), (1e3, "kB"), (1, "B")),
    "count": ((1, ""),),
}
HEADER = ("what", "here", "beside", "ratio", "target", "met")


def shown(value: float, unit: Unit) -> str:
    """A figure with three digits and its unit."""
    for size, name in _STEPS[unit]:
        if value >= size or size == 1:
            scaled = value / size
            digits = 0 if scaled >= 100 or (unit, size) == ("B", 1) else 1 if scaled >= 10 else 2
            return f"{scaled:,.{digits}f} {name}".rstrip()
    raise AssertionError(unit)


def target_text(target: Target, unit: Unit) -> str:
    if target.kind == "factor":
        return f"at most {target.limit:g} x"
    if target.kind == "times":
        return f"{target.limit:g} x faster"
    return (
        f"{target.limit:.0%} less"
        if target.kind == "saved"
        else f"at most {shown(target.limit, unit)}"
    )


def ratio_text(result: Result, target: Target) -> str:
    ratio = target.ratio(result)
    if ratio is None:
        return "not measured"
    if target.kind == "absolute":
        return ""
    if target.kind == "factor":
        return f"{ratio:.2f} x"
    return f"{ratio:,.1f} x faster" if target.kind == "times" else f"{ratio:.1%} less"


def met_text(result: Result, target: Target) -> str:
    return {True: "yes", False: "**no**", None: "-"}[target.met(result)]


def lines(result: Result) -> list[tuple[str, ...]]:
    """One line for each target, then one for each other figure."""
    aimed = {name for target in result.targets for name in (target.peer, _subject(result, target))}
    others = [name for name in result.figures if name not in {result.ours, *aimed}]
    found = [_aimed(result, target) for target in result.targets]
    found += [_other(result, name) for name in others]
    named = [line[0] for line in found]
    return [
        ("" if at and named[at - 1] == line[0] else line[0], *line[1:])
        for at, line in enumerate(found)
    ]


def _aimed(result: Result, target: Target) -> tuple[str, ...]:
    return (
        _what(result, _subject(result, target)),
        _figure(result, _subject(result, target)),
        f"{target.peer} {_figure(result, target.peer)}" if target.peer else "",
        ratio_text(result, target),
        target_text(target, result.unit),
        met_text(result, target),
    )


def _other(result: Result, name: str) -> tuple[str, ...]:
    if name.startswith(OURS):
        return (_what(result, name), _figure(result, name), "", "", "", "")
    ours, value = result.value(result.ours), result.value(name)
    ratio = f"{ours / value:.2f} x" if ours and value else ""
    beside = f"{name} {_figure(result, name)}"
    return (_what(result, result.ours), _figure(result, result.ours), beside, ratio, "", "")


def _subject(result: Result, target: Target) -> str:
    return target.subject or result.ours


def _what(result: Result, subject: str) -> str:
    part = subject.removeprefix(OURS).lstrip(", ")
    return f"{result.title}: {part}" if part else result.title


def _figure(result: Result, name: str) -> str:
    value = result.value(name)
    return "" if value is None else shown(value, result.unit)


def table(results: Sequence[Result]) -> str:
    """All results as one Markdown table."""
    rows = [HEADER, *(line for result in results for line in lines(result))]
    widths = [max(len(line[column]) for line in rows) for column in range(len(HEADER))]
    text = [
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        + " |"
        for line in rows
    ]
    text.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(text)


def as_json(results: Sequence[Result], facts: dict[str, str]) -> dict[str, Any]:
    """Everything that was measured, every round of it."""
    return {
        "machine": facts,
        "results": [
            {
                "name": result.name,
                "title": result.title,
                "unit": result.unit,
                "by": result.by,
                "figures": {
                    name: {"best": figure.best, "median": figure.median, "rounds": figure.values}
                    for name, figure in result.figures.items()
                },
                "targets": [
                    dataclasses.asdict(target)
                    | {"ratio": target.ratio(result), "met": target.met(result)}
                    for target in result.targets
                ],
                "remark": result.remark,
            }
            for result in results
        ],
    }
