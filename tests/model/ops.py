"""The steps of operations in flight: a server serves, a reply arrives."""

from __future__ import annotations

from collections.abc import Callable

from tests.model import failover
from tests.model import server as at
from tests.model.process import (
    NEVER,
    acknowledge,
    anomalous,
    judge_local,
    judge_stored,
    judge_tags,
    lapsed,
    merge,
    merge_bump,
    needs_scores,
    promote,
    replace_op,
    returned,
)
from tests.model.starts import Moves, send
from tests.model.state import Local, Op, Process, Reply, Scenario, State, Value, put


def steps(ctx: Scenario, state: State, i: int) -> Moves:
    for op in state.procs[i].ops:
        name = f"P{i + 1} {op.kind}"
        if op.step == "load":
            after = op._replace(step="hold", version=state.db)
            yield f"{name}: database read", replace_op(state, i, op, after)
        elif op.step == "write":
            committed = state._replace(db=state.db + 1)
            kind = "through" if ctx.has("update_is_fill") else op.kind
            after = op._replace(kind=kind, step="hold", version=committed.db)
            yield f"{name}: database commit", replace_op(committed, i, op, after)
        elif op.step == "hold" and op.kind == "leased":
            held = Value(op.version, op.asof, op.epoch)
            after = send(state.procs[i], op._replace(held=held), "bump", state)
            yield f"{name}: sends the conditional set", replace_op(state, i, op, after)
        elif op.step == "hold":
            yield f"{name}: sends FILL", _send_fill(ctx, state, i, op)
        elif op.step == "stuck":
            after = send(state.procs[i], op, "bump", state)
            yield f"{name}: retries", replace_op(state, i, op, after)
        elif op.step == "wait":
            yield f"{name}: the bounds of all go by", _waited(ctx, state, i, op)
        elif op.step == "confirm" and not failover.is_confirmed(ctx, state, op):
            continue
        elif op.step.endswith("<"):
            yield f"{name}: {op.step[:-1]} reply arrives", ARRIVE[op.step](ctx, state, i, op)
        else:
            yield f"{name}: {op.step} served", _served(ctx, state, i, op)


def _waited(ctx: Scenario, state: State, i: int, op: Op) -> State:
    """Acknowledged, and from this moment on no process may serve anything older."""
    state = replace_op(state, i, op, None)
    for other in op.declares:
        state = put(state, other, lapsed(ctx, state, state.procs[other]))
    state = acknowledge(state, i, op.version)
    procs = tuple(
        process._replace(
            need=max(process.need, op.version), hard_need=max(process.hard_need, op.version)
        )
        for process in state.procs
    )
    return state._replace(procs=procs)


def _served(ctx: Scenario, state: State, i: int, op: Op) -> State:
    after, served = _serve(ctx, state, op)
    current = next(o for o in after.procs[i].ops if o[:9] == op[:9])
    return replace_op(after, i, current, served._replace(old=current.old))


def settle(ctx: Scenario, state: State, i: int) -> State | None:
    """Serve questions at once; None when a sync could teach nothing.

    That a question is served later than it was sent only makes its answer
    fresher than it claims; late *answers* are what can harm.
    """
    for op in () if ctx.slow_wire else state.procs[i].ops:
        if op.step in ("raw", "script", "get", "score"):
            state = _served(ctx, state, i, op)
    idle = [op for op in state.procs[i].ops if op.kind == "sync" and op.step == "raw<"]
    if idle and op_is_useless(ctx, state.procs[i], idle[0]):
        return None
    return state


def op_is_useless(ctx: Scenario, process: Process, op: Op) -> bool:
    """Merging only raises, so what changes nothing now changes nothing later."""
    if op.need >= 0 or any(map(ctx.has, ("trust_from_reply", "join_sent_sync", "join_old_sync"))):
        return False
    reply = _reply(op)
    return not anomalous(ctx, process, op, reply) and (merge(ctx, process, op, reply)[0] == process)


def _serve(ctx: Scenario, state: State, op: Op) -> tuple[State, Op]:
    if op.step in ("raw", "half"):
        return state, _serve_raw(ctx, state, op)
    if op.step == "get":
        reply = at.raw_sync(state.server, op)._replace(value=state.server.value)
    elif op.step == "score":
        reply = at.raw_sync(state.server, op._replace(last=0))
    elif op.step == "fill":
        assert op.held is not None
        state, reply = at.fill(ctx, state, op.held, load=op.kind in ("load", "through"))
    elif op.step == "confirm":
        reply = Reply()
    else:
        state, reply = SCRIPTS.get(op.step, SCRIPTS.get(op.kind, _serve_bump))(ctx, state, op)
    return state, op._replace(step=op.step + "<", reply=reply)


def _serve_bump(ctx: Scenario, state: State, op: Op) -> tuple[State, Reply]:
    tombstone, store = op.kind.startswith("del"), not op.kind.endswith("2")
    return at.bump_key(ctx, state, op, store=store, tombstone=tombstone)


SCRIPTS: dict[str, Callable[[Scenario, State, Op], tuple[State, Reply]]] = {
    # by step
    "script": at.sync_script,
    "enrol": at.enrol,
    "cas": at.add,
    "place": at.place,
    # by kind
    "add2": at.bump_only,
    "replay": at.replay,
    "leased": at.set_leased,
    "inv": at.bump_tag,
    "wait": at.bump_tag,
    "clear": at.clear_root,
}


def _serve_raw(ctx: Scenario, state: State, op: Op) -> Op:
    """With `split` the two clocks are read at two moments: c first, then k."""
    now = at.raw_sync(state.server, op)
    if not ctx.split:
        return op._replace(step="raw<", reply=now)
    if op.step == "raw":
        return op._replace(step="half", reply=now)
    assert op.reply is not None
    if ctx.has("keys_before_tags"):
        now = now._replace(kfloor=op.reply.kfloor, key=op.reply.key)
    else:
        now = op.reply._replace(kfloor=now.kfloor, key=now.key)
    return op._replace(step="raw<", reply=now)


def _send_fill(ctx: Scenario, state: State, i: int, op: Op) -> State:
    process = state.procs[i]
    if op.epoch != process.epoch and not ctx.has("fill_of_foreign_epoch"):
        return replace_op(state, i, op, None)
    asof = process.last if ctx.has("asof_at_write") else op.asof
    epoch = process.epoch if ctx.has("fill_of_foreign_epoch") else op.epoch
    held = Value(op.version, asof, epoch)
    after = op._replace(step="fill", last=process.last, asof=asof, held=held)
    return replace_op(state, i, op, after)


def _reply(op: Op) -> Reply:
    assert op.reply is not None
    return op.reply


def _raw_arrives(ctx: Scenario, state: State, i: int, op: Op) -> State:
    process, reply = state.procs[i], _reply(op)
    if anomalous(ctx, process, op, reply):
        return replace_op(state, i, op, send(process, op, "script", state))
    process, _ = merge(ctx, process, op, reply)
    return _synced(ctx, put(state, i, process), i, op)


READING = ("get", "stale", "add", "add2")


def _synced(ctx: Scenario, state: State, i: int, op: Op) -> State:
    """A sync has merged; a strong read that waited for it judges L1 now."""
    process = state.procs[i]
    state = replace_op(state, i, op, None)
    local = process.l1
    if op.need >= 0 and local is not None and judge_local(ctx, process, local):
        return returned(state, i, local.version, op.need, "strong read")
    return state


def _script_arrives(ctx: Scenario, state: State, i: int, op: Op) -> State:
    process, merged = merge(ctx, state.procs[i], op, _reply(op))
    state = put(state, i, process)
    if op.kind == "sync":
        return _synced(ctx, state, i, op if merged else op._replace(need=-1))
    if op.kind == "strong" and merged:
        return _synced(ctx, state, i, op)
    if op.kind == "report":
        done = merged and op.epoch == process.epoch
        state = put(state, i, process._replace(report=process.report and not done))
        return replace_op(state, i, op, None)
    step = {"strong": "raw"}.get(op.kind, "get" if op.kind in READING else "bump")
    if step == "bump" and not _reply(op).enrolled:
        step = "enrol"
    return replace_op(state, i, op, send(process, op, step, state))


def _get_arrives(ctx: Scenario, state: State, i: int, op: Op) -> State:
    process, reply = state.procs[i], _reply(op)
    if op.synced:
        if anomalous(ctx, process, op, reply):
            return replace_op(state, i, op, send(process, op, "script", state))
        process, _ = merge(ctx, process, op, reply)
        state = put(state, i, process)
    elif reply.run != process.run and not ctx.has("get_on_any_run"):
        return _get_again(state, i, op)
    value = reply.value
    ahead = value is not None and (value.epoch, value.asof) > (process.epoch, process.last)
    if ahead and not op.synced:
        return _get_again(state, i, op)
    if op.kind in ("add", "add2"):
        return _add_judges(ctx, state, i, op, value)
    return _judge_read(ctx, state, i, op, value)


def _judge_read(ctx: Scenario, state: State, i: int, op: Op, value: Value | None) -> State:
    process = state.procs[i]
    if value is None or not judge_stored(ctx, process, value, _over(state, op)):
        return _missed(state, i, op)
    if needs_scores(process, value):
        return replace_op(state, i, op, op._replace(step="score", held=value, reply=None))
    return _read(ctx, state, i, op, value)


def _over(state: State, op: Op) -> int:
    """Up to where soft invalidations count in full for this read; all, for most."""
    return state.over if op.kind == "stale" else NEVER


def _get_again(state: State, i: int, op: Op) -> State:
    again = send(state.procs[i], op._replace(synced=True), "get", state)
    return replace_op(state, i, op, again)


def _missed(state: State, i: int, op: Op) -> State:
    process = state.procs[i]
    state = put(state, i, process._replace(lease=(process.epoch, process.last)))
    return replace_op(state, i, op, None)


def _read(ctx: Scenario, state: State, i: int, op: Op, value: Value) -> State:
    process = state.procs[i]
    seen = process.last if ctx.has("seen_on_arrival") else op.last
    over = _over(state, op)
    process = promote(ctx, process, Local(value.version, value.asof, seen), op.epoch, over)
    process = process._replace(lease=None)
    state = replace_op(put(state, i, process), i, op, None)
    if ctx.sliding and (judge_tags(ctx, process, value.asof) or ctx.has("slides_what_is_stale")):
        state = _slide(state, value, op.last)
    return returned(state, i, value.version, op.need, op.kind)


def _slide(state: State, value: Value, seen: int) -> State:
    """The lifetime begins anew, and the entry is as of when it was found valid."""
    if state.server.value != value:
        return state
    value = value._replace(asof=max(value.asof, seen))
    return state._replace(server=state.server._replace(value=value))


def _scores_arrive(ctx: Scenario, state: State, i: int, op: Op) -> State:
    process, reply, value = state.procs[i], _reply(op), op.held
    assert value is not None
    unfloored = ctx.has("scores_without_floor") or ctx.has("no_floor")
    same = reply.owner == reply.run and reply.epoch == process.epoch == op.epoch
    if not (same and reply.seq >= op.last) and not ctx.has("scores_unchecked"):
        return _missed(state, i, op)
    if value.asof < reply.floor and not unfloored:
        return _missed(state, i, op)
    asked = process._replace(tags=tuple(map(max, process.tags, reply.tags)))
    over = _over(state, op)
    state = put(state, i, asked)
    if not judge_stored(ctx, asked, value, over) or not judge_tags(ctx, asked, value.asof, over):
        return _missed(state, i, op)
    return _read(ctx, state, i, op, value)


def _add_judges(ctx: Scenario, state: State, i: int, op: Op, value: Value | None) -> State:
    process = state.procs[i]
    if judge_stored(ctx, process, value):
        return replace_op(state, i, op, None)
    if op.kind == "add2":
        after = send(process, op._replace(expected=value), "bump", state)
    else:
        after = send(process, op._replace(held=value), "cas", state)
    return replace_op(state, i, op, after)


def _place_arrives(ctx: Scenario, state: State, i: int, op: Op) -> State:
    """Done, or somebody else was first: look again."""
    process, reply = state.procs[i], _reply(op)
    if not reply.accepted:
        again = op._replace(expected=None, held=None, synced=True)
        again = send(process, again, "get", state)
        return replace_op(state, i, op, again)
    assert reply.value is not None
    state = _added(ctx, acknowledge(state, i, reply.value.version))
    local = Local(reply.value.version, op.asof, op.asof)
    process = promote(ctx, state.procs[i], local, op.epoch)
    return replace_op(put(state, i, process), i, op, None)


def _added(ctx: Scenario, state: State) -> State:
    adds = state.adds + ctx.exclusive
    if adds > 1:
        state = state._replace(bad="two adds were acknowledged")
    return state._replace(adds=adds)


def _fill_arrives(ctx: Scenario, state: State, i: int, op: Op) -> State:
    process, accepted = state.procs[i], _reply(op).accepted
    assert op.held is not None
    flight = Local(op.version, op.asof, op.asof)
    judged = op.epoch == process.epoch and judge_local(ctx, process, flight)
    if op.kind == "load" and (judged or ctx.has("join_unjudged")):
        state = returned(state, i, op.version, op.need, "joined load")
    if op.kind != "load" and (accepted or op.kind != "through"):
        state = acknowledge(state, i, op.version)
        process = _without(state.procs[i], op)
    if (accepted or ctx.has("refused_fill_enters_l1")) and not op.held.tombstone:
        seen = op.last if ctx.has("fill_seen_at_sending") else op.asof
        process = promote(ctx, process, flight._replace(seen=seen), op.held.epoch)
    return replace_op(put(state, i, process), i, op, None)


def _without(process: Process, op: Op) -> Process:
    pending = list(process.pending)
    if op.arg in pending:
        pending.remove(op.arg)
    return process._replace(pending=tuple(pending))


def _bump_arrives(ctx: Scenario, state: State, i: int, op: Op) -> State:
    process, reply = state.procs[i], _reply(op)
    if op.step == "cas<" and not reply.accepted and not reply.resync:
        return replace_op(state, i, op, None)
    if failover.is_overtaken(ctx, process, op, reply):
        state = acknowledge(put(state, i, _without(process, op)), i, op.version)
        return replace_op(put(state, i, failover.paid(state.procs[i], op)), i, op, None)
    late = failover.is_late(ctx, process, reply)
    if reply.resync or reply.epoch < process.epoch or late:
        return replace_op(state, i, op, send(process, op, "script", state))
    process = merge_bump(ctx, process, op, reply)
    process = failover.paid(failover.logged(ctx, process, op, reply), op)
    if op.kind == "replay":
        return replace_op(put(state, i, _without(process, op)), i, op, None)
    return _bumped(ctx, state, i, op, process)


def _bumped(ctx: Scenario, state: State, i: int, op: Op, process: Process) -> State:
    """An invalidation or a set was recorded; a second step may have to follow."""
    reply = _reply(op)
    if op.kind == "add2":
        after = op._replace(step="place", asof=reply.q, epoch=reply.epoch, held=reply.value)
        after = after._replace(reply=None)
        return replace_op(put(state, i, process), i, op, after)
    if op.step == "cas<":
        state = _added(ctx, state)
    value, version = reply.value, op.version
    if value is not None:
        version = value.version
    if op.kind in ("set2", "del2"):
        assert value is not None
        after = op._replace(step="fill", version=version, asof=reply.q, epoch=reply.epoch)
        return replace_op(put(state, i, process), i, op, after._replace(held=value, reply=None))
    state = put(state, i, _without(process, op))
    if op.kind == "wait":
        bounds = op.declares if ctx.has("bounds_of_last_sync") else reply.bounds | process.bounds
        return replace_op(state, i, op, op._replace(step="wait", declares=bounds, reply=None))
    state = acknowledge(state, i, version, soft=op.arg == ctx.soft >= 0)
    process = state.procs[i]
    if value is not None and not value.tombstone:
        process = promote(ctx, process, Local(version, reply.q, reply.q), reply.epoch)
    return replace_op(put(state, i, process), i, op, None)


def _enrolled(ctx: Scenario, state: State, i: int, op: Op) -> State:
    return replace_op(state, i, op, send(state.procs[i], op, "confirm", state))


def _confirmed(ctx: Scenario, state: State, i: int, op: Op) -> State:
    return replace_op(state, i, op, send(state.procs[i], op, "bump", state))


ARRIVE = {
    "enrol<": _enrolled,
    "confirm<": _confirmed,
    "raw<": _raw_arrives,
    "script<": _script_arrives,
    "get<": _get_arrives,
    "score<": _scores_arrive,
    "fill<": _fill_arrives,
    "bump<": _bump_arrives,
    "cas<": _bump_arrives,
    "place<": _place_arrives,
}
