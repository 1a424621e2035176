"""Puts the parts together: explore one scenario."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable

from tests.model.checker import Result, explore
from tests.model.faults import faults
from tests.model.invariants import Invariants
from tests.model.ops import settle, steps
from tests.model.starts import Moves, starts
from tests.model.state import Scenario, State


def successors(ctx: Scenario, state: State) -> Moves:
    for i in range(len(state.procs)):
        for label, after in (*starts(ctx, state, i), *steps(ctx, state, i)):
            settled = settle(ctx, after, i)
            if settled is not None:
                yield label, settled
    yield from faults(ctx, state)


def canonical(state: State) -> Hashable:
    """For scenarios in which both processes may do the same: their order is nothing."""
    alike = [process._replace(me=0, bounds=frozenset()) for process in state.procs]
    return state._replace(procs=tuple(sorted(alike, key=hash)))


def check(ctx: Scenario, max_states: int = 2_000_000) -> tuple[Result[State], Counter[str]]:
    invariants = Invariants(ctx)
    result = explore(
        ctx.initial(),
        lambda state: successors(ctx, state),
        invariants,
        canonical=canonical if ctx.symmetric else lambda state: state,
        max_states=max_states,
    )
    return result, invariants.counts
