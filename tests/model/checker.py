"""A small breadth-first explicit-state checker: hashable states, labelled transitions."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from time import perf_counter
from typing import Generic, TypeVar

S = TypeVar("S", bound=Hashable)

Successors = Callable[[S], Iterable[tuple[str, S]]]
Invariant = Callable[[S], str | None]
Canonical = Callable[[S], Hashable]


class BoundExceeded(Exception):
    """The search was cut by a bound, so its result would not be exhaustive."""


@dataclass(frozen=True)
class Result(Generic[S]):
    states: int
    transitions: int
    depth: int
    seconds: float
    violation: str | None = None
    trace: tuple[tuple[str, S], ...] = ()

    @property
    def ok(self) -> bool:
        return self.violation is None

    def labels(self) -> list[str]:
        return [label for label, _ in self.trace]

    def explain(self) -> str:
        """The shortest counterexample, one numbered step a line."""
        if self.ok:
            return f"holds: {self.states} states, depth {self.depth}, {self.seconds:.1f} s"
        steps = (f"{n:3d}. {label}" for n, label in enumerate(self.labels()))
        return "\n".join([f"VIOLATED: {self.violation}", *steps])


Parents = dict[Hashable, tuple[Hashable, str, S] | None]


def explore(
    initial: S,
    successors: Successors[S],
    invariant: Invariant[S],
    *,
    canonical: Canonical[S] = lambda state: state,
    max_states: int = 2_000_000,
) -> Result[S]:
    """Visit every reachable state in order of depth; stop at the first violation.

    Successors are taken of the state as it was reached, only the visited set is
    reduced by `canonical`; so a trace is always a real path.
    """
    began = perf_counter()
    first = canonical(initial)
    parents: Parents[S] = {first: None}
    queue: deque[tuple[S, Hashable, int]] = deque([(initial, first, 0)])
    transitions = depth = 0
    if (bad := invariant(initial)) is not None:
        return Result(1, 0, 0, 0.0, bad, (("start", initial),))
    while queue:
        state, key, depth = queue.popleft()
        for label, after in successors(state):
            transitions += 1
            after_key = canonical(after)
            if after_key in parents:
                continue
            parents[after_key] = (key, label, after)
            if (bad := invariant(after)) is not None:
                trace = _trace(parents, after_key, initial)
                spent = perf_counter() - began
                return Result(len(parents), transitions, depth + 1, spent, bad, trace)
            if len(parents) > max_states:
                raise BoundExceeded(f"more than {max_states} states at depth {depth}")
            queue.append((after, after_key, depth + 1))
    return Result(len(parents), transitions, depth, perf_counter() - began)


def _trace(parents: Parents[S], key: Hashable, initial: S) -> tuple[tuple[str, S], ...]:
    steps: list[tuple[str, S]] = []
    while (link := parents[key]) is not None:
        key, label, state = link
        steps.append((label, state))
    return (("start", initial), *reversed(steps))
