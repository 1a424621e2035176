"""What becomes of one call, decided before it is made."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping

from armature_cache.testing.chaos.draws import Draw
from armature_cache.testing.chaos.outcomes import (
    Corrupt,
    Delay,
    Fail,
    Failure,
    Hang,
    Lose,
    Operation,
    Outcome,
    Rates,
)


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """What becomes of one call: in this order it is delayed, hangs, fails, loses and corrupts.

    With `late` it fails after it was done; `reply_delay` is how many seconds it takes to return
    then. `lost` are keys whose part of it is not done, `corrupted` says for others where they are
    damaged: a part of their length, 0 to 1.
    """

    delay: float = 0.0
    reply_delay: float = 0.0
    hang: Hang | None = None
    error: Exception | None = None
    late: bool = False
    lost: frozenset[str] = frozenset()
    corrupted: Mapping[str, float] = dataclasses.field(default_factory=dict)


NOTHING: Plan = Plan()


def scripted(operation: Operation, outcome: Outcome, keys: tuple[str, ...], place: float) -> Plan:
    """The plan for an outcome that a script says."""
    plan = NOTHING
    if isinstance(outcome, Delay):
        plan = _delayed(outcome.seconds, late=outcome.late)
        outcome = outcome.then
    match outcome:
        case Fail(error, late):
            return dataclasses.replace(plan, error=made(error, operation), late=late)
        case Hang():
            return dataclasses.replace(plan, hang=outcome)
        case Lose():
            return dataclasses.replace(plan, lost=frozenset(keys))
        case Corrupt():
            return dataclasses.replace(plan, corrupted=dict.fromkeys(keys, place))
    return plan


def drawn(operation: Operation, rates: Rates, whole: Draw, parts: Mapping[str, Draw]) -> Plan:
    """The plan by rates: a draw for the call, and one for each of its keys."""
    plan = NOTHING
    if whole.delay < rates.delay:
        least, most = rates.delays
        seconds = least + whole.seconds * (most - least)
        plan = _delayed(seconds, late=whole.slow < rates.late)
    if whole.hang < rates.hang:
        return dataclasses.replace(plan, hang=Hang(rates.hang_timeout))
    if whole.fail < rates.fail:
        error = made(rates.errors[int(whole.error * len(rates.errors))], operation)
        return dataclasses.replace(plan, error=error, late=whole.late < rates.late)
    lost = frozenset(key for key, draw in parts.items() if draw.lose < rates.lose)
    corrupted = {
        key: draw.place
        for key, draw in parts.items()
        if key not in lost and draw.corrupt < rates.corrupt
    }
    return dataclasses.replace(plan, lost=lost, corrupted=corrupted)


def _delayed(seconds: float, *, late: bool) -> Plan:
    return Plan(reply_delay=seconds) if late else Plan(delay=seconds)


def made(error: Failure, operation: Operation) -> Exception:
    """An exception of its own for each call that fails."""
    if isinstance(error, type):
        return error(f"chaos: {operation} fails by intent")
    return copy.copy(error)
