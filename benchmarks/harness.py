"""Rows, figures and targets; and how cases are timed: in turn, in several rounds."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import inspect
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from benchmarks.bench import Bench

OURS = "armature"
FLOORS = frozenset({"bare coroutine", "bare coroutine p99", "nobody"})
"""Figures that are nobody's: what cannot be undercut."""
Unit = Literal["ns", "B", "count"]
Case = Callable[[], Awaitable[None] | None]
"""One pass over the keys: a plain function, or one whose result is awaited."""


@dataclasses.dataclass(frozen=True)
class Figure:
    """One number a round."""

    values: tuple[float, ...]

    @property
    def best(self) -> float:
        return min(self.values)

    @property
    def median(self) -> float:
        return statistics.median(self.values)


@dataclasses.dataclass(frozen=True)
class Target:
    """What our figure is to be beside a peer's; without a peer, what it is to be at most.

    `factor`: ours is at most `limit` times the peer's. `times`: the peer's is at least `limit`
    times ours. `saved`: ours is at least that part less than the peer's.
    """

    kind: Literal["factor", "times", "saved", "absolute"]
    limit: float
    peer: str = ""
    subject: str = ""
    """Which of our figures, if not the main one."""

    def ratio(self, result: Result) -> float | None:
        """The figure that is held against the limit; None if one of the two is missing."""
        ours, peer = result.value(self.subject or result.ours), result.value(self.peer)
        if ours is None or (self.peer and not peer):
            return None
        if self.kind == "absolute" or peer is None:
            return ours
        if self.kind == "factor":
            return ours / peer
        return peer / ours if self.kind == "times" else 1 - ours / peer

    def met(self, result: Result) -> bool | None:
        ratio = self.ratio(result)
        if ratio is None:
            return None
        return ratio <= self.limit if self.kind in {"factor", "absolute"} else ratio >= self.limit


@dataclasses.dataclass(frozen=True)
class Result:
    """Our figure and the peers', in one unit, smaller is better; `ours` names the main one.

    Figures whose names begin with `armature` are ours, too.
    """

    name: str
    title: str
    unit: Unit
    figures: Mapping[str, Figure]
    targets: Sequence[Target] = ()
    remark: str = ""
    by: Literal["best", "median"] = "best"
    ours: str = OURS

    def value(self, name: str) -> float | None:
        figure = self.figures.get(name)
        return None if figure is None else getattr(figure, self.by)


@dataclasses.dataclass(frozen=True)
class Row:
    """Something that is measured by itself, with one result or several."""

    name: str
    measure: Callable[[Bench], Any]

    def run(self, bench: Bench) -> list[Result]:
        if inspect.iscoroutinefunction(self.measure):
            outcome = asyncio.run(self.measure(bench))
        else:
            outcome = self.measure(bench)
        return [outcome] if isinstance(outcome, Result) else outcome


ROWS: dict[str, Row] = {}


def row(name: str) -> Callable[[Callable[[Bench], Any]], Callable[[Bench], Any]]:
    """Register a function that measures."""

    def register(measure: Callable[[Bench], Any]) -> Callable[[Bench], Any]:
        ROWS[name] = Row(name, measure)
        return measure

    return register


async def compare(
    cases: Mapping[str, Case], count: int, *, seconds: float = 0.03, rounds: int = 21
) -> dict[str, Figure]:
    """Nanoseconds per operation of each case, of which one pass does `count`.

    A round takes at least `seconds` for each case; each round begins with another one. The garbage
    collector runs between cases, not within.
    """
    passes = {name: await _passes(case, seconds) for name, case in cases.items()}
    values: dict[str, list[float]] = {name: [] for name in cases}
    names = list(cases)
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            spent = await _timed(cases[name], passes[name])
            values[name].append(spent / (passes[name] * count))
    return {name: Figure(tuple(each)) for name, each in values.items()}


async def _passes(case: Case, seconds: float) -> int:
    await _timed(case, 1)
    spent = await _timed(case, 1)
    return max(1, round(seconds * 1e9 / spent))


async def _timed(case: Case, passes: int) -> int:
    gc.collect()
    gc.disable()
    try:
        started = time.perf_counter_ns()
        for _ in range(passes):
            pending = case()
            if pending is not None:
                await pending
        return time.perf_counter_ns() - started
    finally:
        gc.enable()


def percentile(ordered: Sequence[float], part: float) -> float:
    """The value below which `part` of the sorted values lie."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]
