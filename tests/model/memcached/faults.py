"""What the world does to the server, to what is on the wire, and to time."""

from __future__ import annotations

from collections.abc import Callable

from tests.model.memcached.process import Moves
from tests.model.memcached.programs import FILLS, WRITES, program
from tests.model.memcached.state import NEVER, Op, Scenario, Server, State, put, replace_op


def faults(ctx: Scenario, state: State) -> Moves:
    for n, name in enumerate(ctx.faults):
        if not state.faults[n]:
            continue
        left = tuple(b - (m == n) for m, b in enumerate(state.faults))
        for label, after in _fault(ctx, state, name):
            yield label, after._replace(faults=left)


def _fault(ctx: Scenario, state: State, name: str) -> Moves:
    if name in SERVER_FAULTS:
        server = SERVER_FAULTS[name](state.server)
        if server != state.server:
            yield f"server: {name}", state._replace(server=server)
    elif name == "lapse":
        for i in range(len(state.procs)):
            yield f"P{i + 1}: more than a bound goes by", _lapse(state, i)
    else:
        yield from _fail(ctx, state)


def _clock_restarted(server: Server) -> Server:
    now = (server.now[0] + 1, 0)
    return server._replace(g=0, tag=0, now=now, g_at=NEVER, tag_at=NEVER)


SERVER_FAULTS: dict[str, Callable[[Server], Server]] = {
    "evict g": lambda server: server._replace(g=0),
    "evict tag": lambda server: server._replace(tag=0),
    "evict item": lambda server: server._replace(item=None),
    "restart": lambda server: _clock_restarted(
        server._replace(item=None, issued=0, run=server.run + 1)
    ),
    "restart of the clock's node": _clock_restarted,
    "restart of the key's node": lambda server: server._replace(
        item=None, issued=0, run=server.run + 1
    ),
}


def _lapse(state: State, i: int) -> State:
    process = state.procs[i]
    ops = tuple(op._replace(fresh=False) for op in process.ops)
    need = max(process.need, state.acked)
    return put(state, i, process._replace(trust=False, need=need, ops=ops))


def _fail(ctx: Scenario, state: State) -> Moves:
    """No reply: what was sent may still arrive. Invalidations are sent again, sets deleted."""
    for i, process in enumerate(state.procs):
        for op in process.ops:
            fill = op.kind in FILLS and op.steps[0] in ("fill", "told")
            if op.kind not in WRITES and not fill:
                continue
            left = tuple(step for step in op.steps if step != "told")
            orphan = (op._replace(steps=left, serial=0, need=-1, sent=0),) if left else ()
            after = replace_op(state, i, op, None if fill else _again(ctx, op))
            yield f"P{i + 1} {op.kind}: no reply", after._replace(orphans=(*state.orphans, *orphan))


def _again(ctx: Scenario, op: Op) -> Op:
    kind = op.kind if op.kind == "inv" else "del"
    return Op(
        kind,
        program(ctx, kind),
        promised=op.promised,
        mine=op.mine,
        serial=op.serial,
        fresh=False,
    )
