"""What a process may begin: each call of the cache's interface."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.model.process import finish
from tests.model.state import ALL, KEY, Op, Process, Scenario, State, put

Moves = Iterator[tuple[str, State]]
SPONTANEOUS = {"sync", "replay", "report"}
NAMES_OF_BUMPS = {"del": KEY, "del2": KEY, "clear": ALL}


def send(process: Process, op: Op, step: str, state: State) -> Op:
    """Put a request on the wire with the cursor of this moment."""
    sent = state.acked if state.acked > process.need else 0
    hard = state.hard_acked if state.hard_acked > process.hard_need else 0
    op = op._replace(step=step, epoch=process.epoch, last=process.last)
    op = op._replace(sent=sent, hard_sent=hard, fresh=True, reply=None)
    return op._replace(declares=process.bounds)


def starts(ctx: Scenario, state: State, i: int) -> Moves:
    process = state.procs[i]
    if process.gone:
        return
    yield from _replays(ctx, state, i)
    if i in ctx.syncing:
        yield from _sync(state, i)
    yield from _join_flight(state, i)
    if sum(op.kind not in SPONTANEOUS and op.step != "stuck" for op in process.ops) >= ctx.width:
        return
    for name in sorted(set(process.todo)):
        todo = list(process.todo)
        todo.remove(name)
        rest = put(state, i, process._replace(todo=tuple(todo)))
        for after in _start(ctx, rest, i, name):
            yield f"P{i + 1} begins {name}", after


def _replays(ctx: Scenario, state: State, i: int) -> Moves:
    """After a failover: what was lost is sent again, then that it was."""
    process = state.procs[i]
    busy = [op.arg for op in process.ops if op.kind == "replay"]
    for what in process.owed:
        if what not in busy:
            op = send(process, Op("replay", "bump", what), "bump", state)
            yield f"P{i + 1} sends {what} again", _with(state, i, op)
    waits = process.owed and not ctx.has("replay_reports_first")
    if process.report and not waits and all(op.kind != "report" for op in process.ops):
        op = send(process, Op("report", "script"), "script", state)
        yield f"P{i + 1} reports", _with(state, i, op)


def _with(state: State, i: int, op: Op, **changes: Any) -> State:
    process = state.procs[i]._replace(**changes)
    ops = (*process.ops, op._replace(by=i))
    return put(state, i, process._replace(ops=tuple(sorted(ops, key=lambda one: one[:12]))))


def _sync(state: State, i: int) -> Moves:
    """On demand, by a hint (early, late, twice) or ahead of time: all the same step."""
    process = state.procs[i]
    if all(op.kind != "sync" for op in process.ops):
        yield (
            f"P{i + 1} sends sync",
            _with(state, i, send(process, Op("sync", "raw"), "raw", state)),
        )


def _join_flight(state: State, i: int) -> Moves:
    process = state.procs[i]
    need = process.need
    for op in process.ops:
        if op.kind == "load" and process.trust and op.need < need:
            after = put(state, i, finish(process, op, op._replace(need=need)))
            yield f"P{i + 1} joins the load in flight", after


def _start(ctx: Scenario, state: State, i: int, name: str) -> Iterator[State]:
    process = state.procs[i]
    if name in ("get", "add", "add2"):
        op = Op(name, "get", need=process.need, synced=not process.trust)
        yield _with(state, i, send(process, op, "get", state))
    elif name == "stale":
        op = Op(name, "get", need=process.hard_need, synced=not process.trust)
        yield _with(state, i, send(process, op, "get", state))
    elif name in ("strong", "look"):
        yield from (_strong if name == "strong" else _look)(ctx, state, i)
    elif name == "load":
        op = Op("load", "load", epoch=process.epoch, last=process.last, asof=process.last)
        yield _with(state, i, op)
    elif name == "update":
        yield _with(state, i, Op("leased", "write", epoch=process.epoch, asof=process.last))
    elif name.startswith(("aside", "through")):
        yield from _leased(ctx, state, i, name)
    elif name == "ctxset":
        yield from _set_after_aside(ctx, state, i)
    elif name in ("set", "set2"):
        op = Op(name, "bump", KEY)
        yield _pending(ctx, state, i, op, -1)
    elif name in NAMES_OF_BUMPS or name.startswith("inv"):
        what = NAMES_OF_BUMPS[name] if name in NAMES_OF_BUMPS else int(name[3])
        kind = "inv" if name.startswith("inv") else name
        op = Op("wait" if name.endswith("w") else kind, "bump", what)
        yield _pending(ctx, state, i, op, state.db + 1)


def _pending(ctx: Scenario, state: State, i: int, op: Op, version: int) -> State:
    """The database commit, then the call: dead here from its first moment.

    Bumping a tag that no entry carries obliges nobody, so it writes no version.
    """
    process = state.procs[i]
    if op.arg == UNRELATED:
        version = -1
    if version >= 0:
        state = state._replace(db=version)
    op = send(process, op._replace(version=version), "bump", state)
    pending = tuple(sorted((*process.pending, op.arg)))
    hard = process.hard_need if op.arg == ctx.soft else max(process.hard_need, version)
    need = max(process.need, version)
    return _with(state, i, op, pending=pending, need=need, hard_need=hard, lease=None)


UNRELATED = 1


def _strong(ctx: Scenario, state: State, i: int) -> Iterator[State]:
    process, need = state.procs[i], state.acked
    sent = [op for op in process.ops if op.kind == "sync"]
    if ctx.has("join_sent_sync") and sent:
        yield put(state, i, finish(process, sent[0], sent[0]._replace(need=need)))
    else:
        op = Op("strong", "raw", need=need)
        yield _with(state, i, send(process, op, "raw", state))


def _look(ctx: Scenario, state: State, i: int) -> Iterator[State]:
    """A read of L1 when trust has run out: a sync under way is enough if it is not too old."""
    process, need = state.procs[i], state.procs[i].need
    sent = [op for op in process.ops if op.kind == "sync"]
    if process.trust:
        return
    if sent and (sent[0].fresh or ctx.has("join_old_sync")):
        yield put(state, i, finish(process, sent[0], sent[0]._replace(need=need)))
    else:
        op = Op("strong", "raw", need=need)
        yield _with(state, i, send(process, op, "raw", state))


def _leased(ctx: Scenario, state: State, i: int, name: str) -> Iterator[State]:
    """A set after this context's miss: a fill with the asof of the lease.

    `aside` read the database after the miss; `through` has just written it;
    with a 2 it is the conditional set instead of a fill.
    """
    process = state.procs[i]
    if process.lease is None:
        return
    epoch, asof = process.lease
    lease = process.lease if ctx.has("lease_survives") else None
    conditional = name.endswith("2")
    op = Op("leased" if conditional else "load", "load", epoch=epoch, asof=asof)
    if name.startswith("through"):
        state = state._replace(db=state.db + 1)
        op = op._replace(step="hold", version=state.db)
        op = op if conditional else op._replace(kind="through")
    yield _with(state, i, op, lease=lease)


def _set_after_aside(ctx: Scenario, state: State, i: int) -> Iterator[State]:
    process = state.procs[i]
    if process.ops or set(process.todo) & {"get", "aside"}:
        return
    if process.lease is not None and ctx.has("lease_survives"):
        yield from _leased(ctx, state, i, "through")
    else:
        yield from _start(ctx, state, i, "set")
