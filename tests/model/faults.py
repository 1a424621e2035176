"""What the world does to the server, to the processes and to time."""

from __future__ import annotations

from collections.abc import Callable

from tests.model.process import NEVER, finish, judge_local, lapsed, noted
from tests.model.starts import Moves
from tests.model.state import Process, Scenario, Server, State, put


def faults(ctx: Scenario, state: State) -> Moves:
    for n, name in enumerate(ctx.faults):
        if not state.faults[n]:
            continue
        left = tuple(b - (m == n) for m, b in enumerate(state.faults))
        for label, after in _fault(ctx, state, name):
            yield label, after._replace(faults=left)


def _fault(ctx: Scenario, state: State, name: str) -> Moves:
    if name in SERVER_FAULTS:
        server = SERVER_FAULTS[name](ctx, state)
        if server is not None and server != state.server:
            yield f"server: {name}", state._replace(server=server)
    elif name == "snapshot":
        if state.snapshot != state.server:
            yield (
                "server: snapshot (or replica stops following)",
                state._replace(snapshot=state.server),
            )
    elif name in ("rollback", "restart"):
        yield from _rollback(state, promoted=name == "rollback")
    elif name == "die":
        yield from _die(state)
    elif name == "fail":
        yield from _fail(state)
    elif name == "grace":
        yield "the grace of soft invalidations goes by", _grace(ctx, state)
    else:
        yield from _local(ctx, state, name)


def _die(state: State) -> Moves:
    for i, process in enumerate(state.procs):
        if not process.gone:
            gone = process._replace(gone=True, ops=(), todo=(), trust=False, l1=None)
            yield f"P{i + 1} dies", put(state, i, gone)


def _rollback(state: State, *, promoted: bool) -> Moves:
    """Failover to a lagging replica, or else restart from an old snapshot: a new run."""
    if state.snapshot is not None:
        server = state.snapshot._replace(run=state.server.run + 1, promoted=promoted)
        yield "server: rolls back to the snapshot, new run_id", state._replace(server=server)


def _grace(ctx: Scenario, state: State) -> State:
    """More than any bound and any grace goes by: what was invalidated softly is over."""
    procs = tuple(lapsed(ctx, state, process) for process in state.procs)
    procs = tuple(p._replace(hard_need=max(p.hard_need, state.acked)) for p in procs)
    state = state._replace(procs=procs, hard_acked=state.acked)
    return state if ctx.has("grace_without_end") else state._replace(over=state.server.seq)


def _fail(state: State) -> Moves:
    for i, process in enumerate(state.procs):
        for op in process.ops:
            if op.step in ("bump", "bump<") and op.kind in ("inv", "del", "clear"):
                after = finish(process, op, op._replace(step="stuck", reply=None))
                yield f"P{i + 1} {op.kind}: call fails", put(state, i, after)


def _lost_clock(ctx: Scenario, state: State) -> Server:
    none = (0,) * ctx.tags
    return state.server._replace(owner=0, epoch=0, seq=0, floor=0, tags=none, bounds=frozenset())


def _flushall(ctx: Scenario, state: State) -> Server:
    return _lost_clock(ctx, state)._replace(kfloor=0, key=0, value=None)


def _evict_value(_: Scenario, state: State) -> Server | None:
    value = state.server.value
    return state.server._replace(value=None) if value and not value.tombstone else None


def _evict_tombstone(_: Scenario, state: State) -> Server | None:
    value = state.server.value
    return state.server._replace(value=None) if value and value.tombstone else None


def _expire_tombstone(ctx: Scenario, state: State) -> Server | None:
    """A tombstone outlives every load that began before it."""
    if _old_work(state) and not ctx.has("short_tombstone"):
        return None
    return _evict_tombstone(ctx, state)


def _expire_value(_: Scenario, state: State) -> Server | None:
    value = state.server.value
    if value is None or value.expired or value.tombstone:
        return None
    return state.server._replace(value=value._replace(expired=True))


def _old_work(state: State) -> bool:
    return any(op.old for process in state.procs for op in process.ops)


def _compact(ctx: Scenario, state: State) -> Server:
    server = state.server
    return server._replace(floor=max(server.floor, *server.tags), tags=(0,) * ctx.tags)


def _trim_keys(ctx: Scenario, state: State) -> Server | None:
    """By age: what is dropped is older than any operation under way."""
    server = state.server
    if not server.kfloor or (_old_work(state) and not ctx.has("trim_keys_by_count")):
        return None
    if ctx.has("no_key_floor"):
        return server._replace(key=0)
    return server._replace(kfloor=max(server.kfloor, server.key), key=0)


def _time_to_report_is_over(ctx: Scenario, state: State) -> Server | None:
    server = state.server
    if not server.parent or not server.awaited:
        return None
    if ctx.has("replay_gives_up_waiting"):
        return server._replace(awaited=(), inherits=True)
    return server._replace(overdue=True)


SERVER_FAULTS: dict[str, Callable[[Scenario, State], Server | None]] = {
    "flushall": _flushall,
    "evict tag clock": _lost_clock,
    "evict key clock": lambda _, state: state.server._replace(kfloor=0, key=0),
    "evict value": _evict_value,
    "evict tombstone": _evict_tombstone,
    "expire tombstone": _expire_tombstone,
    "expire value": _expire_value,
    "compact tags": _compact,
    "give up": _time_to_report_is_over,
    "trim keys": _trim_keys,
}


def _local(ctx: Scenario, state: State, name: str) -> Moves:
    for i, process in enumerate(state.procs):
        after = LOCAL_FAULTS[name](ctx, state, process)
        if after is not None and after != process:
            yield f"P{i + 1}: {name}", put(state, i, after)


def _forget_tags(ctx: Scenario, _: State, process: Process) -> Process:
    known = process.known if ctx.has("no_local_floor") else process.last
    return process._replace(tags=(0,) * ctx.tags, known=known)


def _forget_keys(ctx: Scenario, state: State, process: Process) -> Process | None:
    if _old_work(state) and not ctx.has("trim_keys_by_count"):
        return None
    if ctx.has("no_local_floor"):
        return process._replace(key=0)
    ops = process.ops
    if not ctx.has("promote_across_forgetting"):
        ops = tuple(op._replace(last=0) if op.kind == "get" else op for op in ops)
    return process._replace(key=0, kknown=process.last, ops=ops)


def _forget_log(_: Scenario, __: State, process: Process) -> Process | None:
    if not process.log:
        return None
    return process._replace(log=(), forgot=process.log[-1][0])


def _touch(ctx: Scenario, state: State, process: Process) -> Process | None:
    """A judgement of L1 at the present cursor is remembered as `seen`."""
    local = process.l1
    if local is None or not judge_local(ctx, process, local, NEVER if ctx.soft < 0 else state.over):
        return None
    return process._replace(l1=noted(ctx, process, local._replace(seen=process.last)))


LOCAL_FAULTS: dict[str, Callable[[Scenario, State, Process], Process | None]] = {
    "forget tags": _forget_tags,
    "forget keys": _forget_keys,
    "forget log": _forget_log,
    "touch": _touch,
    "lapse": lapsed,
}
