"""What a process knows and decides, without I/O: merge, judge, promote."""

from __future__ import annotations

from tests.model import failover
from tests.model.state import ALL, KEY, Local, Op, Process, Reply, Scenario, State, Value, put

NEVER = -1  # nothing that was invalidated softly is accepted


def anomalous(ctx: Scenario, process: Process, op: Op, reply: Reply) -> bool:
    """A plain sync reply that cannot be merged: run the SYNC script instead."""
    if not op.declares <= reply.bounds:
        return True
    foreign_run = reply.owner != reply.run and not ctx.has("no_run_id")
    lost = reply.seq == 0 or reply.kfloor == 0
    if ctx.has("foreign_cursor"):
        return lost or foreign_run or reply.epoch < process.epoch
    mixed = reply.epoch != process.epoch or op.epoch != process.epoch
    return lost or foreign_run or mixed or reply.seq < op.last


def merge(ctx: Scenario, process: Process, op: Op, reply: Reply) -> tuple[Process, bool]:
    """Merge a delta; the flag says whether it counts as a successful sync."""
    if reply.epoch < process.epoch:
        return process, False
    if reply.epoch > process.epoch:
        process = failover.enter(ctx, _cold(process, reply), process, reply)
    else:
        tags = tuple(map(max, process.tags, reply.tags))
        key, floor = max(process.key, reply.key), max(process.floor, reply.floor)
        if ctx.has("no_floor"):
            floor = process.floor
        process = process._replace(tags=tags, key=key, floor=floor)
        if op.epoch != reply.epoch and not ctx.has("foreign_cursor"):
            return process, False
        kknown = process.kknown
        if op.last < reply.kfloor:
            kknown = max(kknown, reply.kfloor)
        last = max(process.last, reply.seq)
        process = process._replace(last=last, kknown=kknown)
    return _trusting(ctx, failover.heir(process, reply), op, reply), True


def _cold(process: Process, reply: Reply) -> Process:
    return process._replace(
        epoch=reply.epoch,
        last=reply.seq,
        floor=reply.floor,
        known=reply.seq,
        tags=(0,) * len(process.tags),
        kknown=reply.seq,
        key=0,
        l1=None,
        lease=None,
    )


def _trusting(ctx: Scenario, process: Process, op: Op, reply: Reply) -> Process:
    trust = process.trust or op.fresh or ctx.has("trust_from_reply")
    need, hard = max(process.need, op.sent), max(process.hard_need, op.hard_sent)
    bounds = process.bounds | reply.bounds
    if ctx.has("forgets_bounds"):
        bounds = frozenset({process.me})
    return process._replace(trust=trust, need=need, hard_need=hard, run=reply.run, bounds=bounds)


def merge_bump(ctx: Scenario, process: Process, op: Op, reply: Reply) -> Process:
    if not ctx.has("merge_only_q"):
        return merge(ctx, process, op, reply)[0]
    own = tuple(reply.q if n == op.arg else 0 for n in range(len(reply.tags)))
    return merge(ctx, process, op, reply._replace(tags=own))[0]


def is_dead_locally(ctx: Scenario, process: Process, *, stale: bool = False) -> bool:
    """The process itself has begun to invalidate this entry."""
    if ctx.has("no_pending"):
        return False
    carried = [tag for tag in ctx.carried if not (stale and tag == ctx.soft)]
    return any(what in (KEY, ALL, *carried) for what in process.pending)


def judge_tags(ctx: Scenario, process: Process, asof: int, over: int = NEVER) -> bool:
    """Whether no tag was invalidated since; who accepts stale values says what is over."""
    if ctx.has("less"):
        return all(process.tags[tag] < asof for tag in ctx.carried)
    if over != NEVER and ctx.has("soft_hides_hard") and process.tags[ctx.soft] > asof:
        return True
    return all(
        process.tags[tag] <= asof
        or (tag == ctx.soft and over != NEVER and process.tags[tag] > over)
        for tag in ctx.carried
    )


def judge_local(ctx: Scenario, process: Process, local: Local, over: int = NEVER) -> bool:
    return (
        not (local.stale and over == NEVER)
        and local.asof >= process.floor
        and local.seen >= process.known
        and local.seen >= process.kknown
        and process.key <= local.asof
        and judge_tags(ctx, process, local.asof, over)
        and not is_dead_locally(ctx, process, stale=over != NEVER)
    )


def judge_stored(ctx: Scenario, process: Process, value: Value | None, over: int = NEVER) -> bool:
    """Whether L2's value is alive by the local clock, apart from forgotten tags."""
    if value is None or value.tombstone or value.expired:
        return False
    if not failover.is_of_epoch(ctx, process, value) or value.asof < process.floor:
        return False
    by_key = not value.swapped or ctx.has("swapped_judged_by_key")
    if by_key and process.key > value.asof and not ctx.has("no_key_judgement"):
        return False
    dead = is_dead_locally(ctx, process, stale=over != NEVER)
    return judge_tags(ctx, process, value.asof, over) and not dead


def needs_scores(process: Process, value: Value) -> bool:
    return value.asof < process.known


def promote(
    ctx: Scenario, process: Process, local: Local, epoch: int, over: int = NEVER
) -> Process:
    """Put into L1 what still judges alive; `epoch` is that of the request."""
    if epoch != process.epoch and not ctx.has("fill_of_foreign_epoch"):
        return process
    if not judge_local(ctx, process, local, over) and not ctx.has("promote_unjudged"):
        return process
    return process._replace(l1=noted(ctx, process, local))


def noted(ctx: Scenario, process: Process, local: Local) -> Local:
    """A copy remembers that it was found stale: the clock may forget why."""
    stale = local.stale or not judge_tags(ctx, process, local.asof)
    return local._replace(stale=stale and not ctx.has("staleness_forgotten"))


def lapsed(ctx: Scenario, state: State, process: Process) -> Process:
    """More than a bound goes by: trust ends, also that of requests under way."""
    ops = tuple(op._replace(fresh=False) for op in process.ops)
    trust = process.trust and ctx.has("trust_hints")
    need, hard = max(process.need, state.acked), max(process.hard_need, state.hard_acked)
    return process._replace(trust=trust, need=need, hard_need=hard, ops=ops)


def returned(state: State, i: int, version: int, need: int, what: str) -> State:
    if version < need and not state.bad:
        bad = f"1: P{i + 1} {what} returned v{version}, older than v{need}"
        return state._replace(bad=bad)
    return state


def finish(process: Process, op: Op, after: Op | None = None) -> Process:
    """Replace an operation by its next step, or by nothing when it is done."""
    ops = list(process.ops)
    ops.remove(op)
    if after is not None:
        ops.append(after)
        ops.sort(key=lambda one: one[:12])
    return process._replace(ops=tuple(ops))


def replace_op(state: State, i: int, op: Op, after: Op | None) -> State:
    return put(state, i, finish(state.procs[i], op, after))


def acknowledge(state: State, i: int, version: int, *, soft: bool = False) -> State:
    process = state.procs[i]
    process = process._replace(need=max(process.need, version))
    state = put(state, i, process)._replace(acked=max(state.acked, version))
    if soft:
        return state
    hard = max(process.hard_need, version)
    state = put(state, i, process._replace(hard_need=hard))
    return state._replace(hard_acked=max(state.hard_acked, version))
