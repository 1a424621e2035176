"""What a process does: it begins operations, and takes in what their replies say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tests.model.memcached.programs import FILLS, READS, WRITES, program
from tests.model.memcached.server import serve
from tests.model.memcached.state import (
    NEVER,
    At,
    Item,
    Local,
    Op,
    Process,
    Scenario,
    State,
    fresh,
    put,
    replace_op,
)

Moves = Iterator[tuple[str, State]]
_NOBODY: Final = (0, 0)


# -- beginnings ------------------------------------------------------------------------------


def starts(ctx: Scenario, state: State, i: int) -> Moves:
    process = state.procs[i]
    if i in ctx.syncing and all(op.kind != "poll" for op in process.ops):
        yield f"P{i + 1} polls g", _begin(ctx, state, i, "poll")
    if sum(op.kind != "poll" for op in process.ops) >= ctx.width:
        return
    for kind in sorted(set(process.todo)):
        if kind in ("aside", "through") and process.lease is None:
            continue
        if kind == "reval" and process.l1 is None:
            continue
        todo = list(process.todo)
        todo.remove(kind)
        rest = put(state, i, process._replace(todo=tuple(todo)))
        yield f"P{i + 1} begins {kind}", _begin(ctx, rest, i, kind)


def _begin(ctx: Scenario, state: State, i: int, kind: str) -> State:
    process, steps = state.procs[i], program(ctx, kind)
    serial = process.asked + 1
    op = Op(kind, steps, serial=serial, sent=state.acked, polls="g" in steps)
    process = process._replace(asked=serial)
    if ctx.has("retry_reuses_nonce"):
        op = op._replace(mine=fresh(state))
    if kind in WRITES:
        return _begin_write(state, i, process, op)
    if kind in READS:
        op = op._replace(need=state.acked if kind == "strong" else process.need)
        if process.trust and kind != "strong":  # g need not be read again
            rest = tuple(step for step in steps if step != "g")
            op = op._replace(g0=process.g, g0_at=process.g_at, steps=rest, polls=False)
    elif kind == "load":
        op = op._replace(need=process.need)
    return put(state, i, process._replace(ops=(*process.ops, op)))


def _begin_write(state: State, i: int, process: Process, op: Op) -> State:
    """Dead here from now on. The database is written first, except where it was only read."""
    if op.kind != "aside":
        state = state._replace(db=state.db + 1)
        op = op._replace(version=state.db, promised=state.db)
    need = max(process.need, op.promised) if op.kind in ("inv", "del") else process.need
    if op.kind in ("aside", "through"):
        assert process.lease is not None
        g0, cas, run, at = process.lease
        op = op._replace(g0=g0, cas=cas, run=run, g0_at=at)
    elif op.kind in ("set", "set+"):
        op = op._replace(g0=process.g, g0_at=process.g_at)
    pending, ops = process.pending + 1, (*process.ops, op)
    process = process._replace(pending=pending, need=need, lease=None, ops=ops)
    return put(state, i, process)


def settle(ctx: Scenario, state: State, i: int) -> State | None:
    """Without choices that harm nobody; None when a poll could teach nothing.

    The first question is served when it is sent: one that is served later was sent later. Callers
    join a load as soon as they may, which only asks more of it.
    """
    for op in state.procs[i].ops:
        if op.steps == program(ctx, op.kind) and op.steps[0] in ("g", "k", "kcas", "tag"):
            after, served = serve(ctx, state, op, state.procs[i].known)
            state = replace_op(after, i, op, served)
    process = state.procs[i]
    for op in process.ops:
        if op.kind == "poll" and _useless(ctx, process, op):
            return None
        if op.kind in ("load", "late") and op.need < process.need and _may_join(ctx, process, op):
            state = replace_op(state, i, op, op._replace(need=process.need))
    return state


def _useless(ctx: Scenario, process: Process, op: Op) -> bool:
    if ctx.has("trust_from_reply") or ctx.has("late_poll_overwrites"):
        return False
    after = _adopt(ctx, process, op, op.g0, op.g0_at, op.serial)
    return after._replace(heard=0) == process._replace(heard=0)


def _may_join(ctx: Scenario, process: Process, op: Op) -> bool:
    """The load began at the g that this process knows now."""
    current = process.trust and op.g0 == process.g and not process.pending
    return current or ctx.has("join_any")


# -- replies ---------------------------------------------------------------------------------


def steps(ctx: Scenario, state: State, i: int) -> Moves:
    process = state.procs[i]
    for op in process.ops:
        name = f"P{i + 1} {op.kind}"
        if op.steps[0] == "told":
            yield f"{name}: reply arrives", _told(ctx, state, i, op)
        else:
            after, served = serve(ctx, state, op, process.known)
            yield f"{name}: {op.steps[0]}", replace_op(after, i, op, served)


def late_steps(ctx: Scenario, state: State) -> Moves:
    """Commands whose sender gave up long ago arrive."""
    for n, op in enumerate(state.orphans):
        after, served = serve(ctx, state, op, _NOBODY)
        rest = (served,) if served.steps and served.steps[0] != "told" else ()
        orphans = (*state.orphans[:n], *rest, *state.orphans[n + 1 :])
        yield f"late {op.kind}: {op.steps[0]}", after._replace(orphans=orphans)


def _told(ctx: Scenario, state: State, i: int, op: Op) -> State:
    state = replace_op(state, i, op, None)
    process = state.procs[i]
    if op.kind in WRITES:
        return _written(ctx, state, i, op)
    state = put(state, i, _adopt(ctx, process, op, op.g0, op.g0_at, op.serial))
    if op.kind == "reval":
        return _revalidated(ctx, state, i, op)
    if op.kind in READS:
        return _read(ctx, state, i, op)
    return _filled(ctx, state, i, op) if op.kind in FILLS else state


def _adopt(  # noqa: PLR0917 - what a reply said
    ctx: Scenario, process: Process, op: Op, g: int, at: At, serial: int
) -> Process:
    """Replies count in the order of sending; trust is counted from sending."""
    late = serial <= process.heard and not op.gf
    if not g or not (op.polls or op.gf) or (late and not ctx.has("late_poll_overwrites")):
        return process
    trust = process.trust or op.fresh or ctx.has("trust_from_reply")
    need = max(process.need, op.sent)
    return process._replace(g=g, g_at=at, trust=trust, heard=serial, need=need)


def _dead_here(ctx: Scenario, process: Process) -> bool:
    return process.pending > 0 and not ctx.has("no_pending")


def _learn(process: Process, op: Op) -> Process:
    return process._replace(known=(op.g0, op.nonce))


def _local(op: Op, item: Item, seen: int) -> Local:
    return Local(item.version, item.nonce, item.cas, op.run, seen)


def _read(ctx: Scenario, state: State, i: int, op: Op) -> State:
    process, item = _learn(state.procs[i], op), op.item
    alive = item is not None and item.version >= 0 and item.nonce == op.nonce
    if not alive or item is None or _dead_here(ctx, process):
        return put(state, i, process._replace(lease=(op.g0, op.cas, op.run, op.g0_at)))
    process = process._replace(l1=_local(op, item, op.g0), lease=None)
    return returned(put(state, i, process), i, item.version, op.need, op.kind)


def _revalidated(ctx: Scenario, state: State, i: int, op: Op) -> State:
    """The copy is kept if its CAS value is still there, in the same run, and its nonce too."""
    process, item = _learn(state.procs[i], op), op.item
    local = process.l1
    if local is None or item is None or _dead_here(ctx, process):
        return put(state, i, process)
    same_run = op.run == local.run or ctx.has("cas_across_runs")
    if not (item.cas == local.cas and same_run and local.nonce == op.nonce):
        return put(state, i, process._replace(l1=None))
    process = process._replace(l1=local._replace(seen=op.g0))
    return returned(put(state, i, process), i, local.version, op.need, op.kind)


def _filled(ctx: Scenario, state: State, i: int, op: Op) -> State:
    process = state.procs[i]
    state = returned(state, i, op.version, op.need, "joined load")
    if op.nonce:
        process = _learn(process, op)
    if op.ok and not _dead_here(ctx, process):
        item = Item(op.version, op.nonce, op.cas)
        process = process._replace(l1=_local(op, item, op.g0))
    return put(state, i, process)


def _written(ctx: Scenario, state: State, i: int, op: Op) -> State:
    """Acknowledged: everything that was asked before this moment is old news."""
    process = state.procs[i]
    process = process._replace(pending=process.pending - 1)
    process = _own_bump(ctx, process, op)
    if op.kind == "add" and not op.ok:
        return put(state, i, process)
    seen = op.gf if op.kind == "set+" or ctx.has("set_confirms_itself") else op.g0
    item = op.item
    confirmed = op.kind != "set+" or (
        item is not None and item.version == op.version and item.nonce == op.nonce
    )
    if op.kind not in ("inv", "del") and op.ok and confirmed:
        process = process._replace(l1=_local(op, Item(op.version, op.nonce, op.cas), seen))
    state = put(state, i, process)
    return acknowledge(state, i, op.promised)


def _own_bump(ctx: Scenario, process: Process, op: Op) -> Process:
    """The g that was written here is the newest heard, unless a later question was answered."""
    if not op.gf:
        return process
    if op.serial < process.heard and not ctx.has("own_bump_overwrites"):
        return process._replace(g=0, g_at=NEVER, trust=False, heard=process.asked)
    return _adopt(ctx, process, op, op.gf, op.gf_at, process.asked)


def returned(state: State, i: int, version: int, need: int, what: str) -> State:
    if version < need and not state.bad:
        bad = f"1: P{i + 1} {what} returned v{version}, older than v{need}"
        return state._replace(bad=bad)
    return state


def acknowledge(state: State, i: int, version: int) -> State:
    process = state.procs[i]
    process = process._replace(need=max(process.need, version))
    return put(state, i, process)._replace(acked=max(state.acked, version))
