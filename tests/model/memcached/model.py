"""Puts the parts together: explore one scenario."""

from __future__ import annotations

from tests.model.checker import Result, explore
from tests.model.memcached.canonical import canonical
from tests.model.memcached.faults import faults
from tests.model.memcached.process import Moves, late_steps, settle, starts, steps
from tests.model.memcached.state import Local, Process, Scenario, State


def successors(ctx: Scenario, state: State) -> Moves:
    for i in range(len(state.procs)):
        for label, after in (*starts(ctx, state, i), *steps(ctx, state, i)):
            settled = settle(ctx, after, i)
            if settled is not None:
                yield label, settled
    yield from late_steps(ctx, state)
    yield from faults(ctx, state)


def violated(ctx: Scenario, state: State) -> str | None:
    if state.bad:
        return state.bad
    for i, process in enumerate(state.procs):
        bad = _hit(ctx, process) or _strong(ctx, state, process)
        if bad:
            return f"P{i + 1} {bad}"
    return None


def _readable(ctx: Scenario, process: Process) -> Local | None:
    return None if process.pending and not ctx.has("no_pending") else process.l1


def _hit(ctx: Scenario, process: Process) -> str | None:
    """1 and 4: what an L1 hit would return now, without I/O."""
    local = _readable(ctx, process)
    if not process.trust or local is None or local.seen != process.g:
        return None
    if local.version < process.need:
        return f"1: L1 hit returns v{local.version}, older than v{process.need}"
    return None


def _strong(ctx: Scenario, state: State, process: Process) -> str | None:
    """1 (strong) and 5: g, the key and the tag read now, then both tiers."""
    server, local = state.server, _readable(ctx, process)
    g_known, nonce_known = process.known
    nonce = nonce_known if g_known and g_known == server.g else server.tag
    unchanged = local is not None and local.seen == server.g != 0
    if local is not None and unchanged and local.version < state.acked:
        return f"1: g is as it was, and L1 returns v{local.version}, not v{state.acked}"
    item = server.item
    if item is None or item.version < 0 or not nonce or item.nonce != nonce:
        return None
    if item.version < state.acked and not process.pending:
        return f"1/5: L2 returns v{item.version}, older than v{state.acked}"
    return None


def check(ctx: Scenario, max_states: int = 2_000_000) -> Result[State]:
    return explore(
        ctx.initial(),
        lambda state: successors(ctx, state),
        lambda state: violated(ctx, state),
        canonical=(lambda state: state) if ctx.has("reused_nonce") else canonical,
        max_states=max_states,
    )
