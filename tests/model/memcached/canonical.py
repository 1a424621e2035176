"""States that differ only in the names of nonces, or in numbers of sending, are one state."""

from __future__ import annotations

from tests.model.memcached.programs import FILLS, WRITES
from tests.model.memcached.state import NEVER, Item, Op, Process, State, nonces


def canonical(state: State) -> State:
    state = state._replace(
        procs=tuple(p._replace(ops=tuple(map(forgotten, p.ops))) for p in state.procs),
        orphans=tuple(map(forgotten, state.orphans)),
    )
    state = _ranked(state)
    names = {0: 0}
    for nonce in nonces(state):
        names.setdefault(nonce, len(names))
    server = state.server
    return state._replace(
        server=server._replace(
            g=names[server.g], tag=names[server.tag], item=_item(names, server.item)
        ),
        procs=tuple(_process(names, process) for process in state.procs),
        orphans=tuple(sorted((_op(names, op, 0) for op in state.orphans), key=repr)),
    )


def _ranked(state: State) -> State:
    """CAS values of the clock's node by their order only."""
    found = {state.server.now, state.server.g_at, state.server.tag_at, NEVER}
    for process in state.procs:
        found.add(process.g_at)
        if process.lease is not None:
            found.add(process.lease[3])
    for op in (*(op for process in state.procs for op in process.ops), *state.orphans):
        found |= {op.g0_at, op.gf_at, op.tag_at}
    runs = sorted({run for run, _ in found})
    ranks = {
        at: (runs.index(at[0]), sum(other[0] == at[0] and other < at for other in found))
        for at in found
    }
    server = state.server

    def ranked(process: Process) -> Process:
        lease = process.lease
        if lease is not None:
            lease = (*lease[:3], ranks[lease[3]])
        ops = tuple(map(ranked_op, process.ops))
        return process._replace(g_at=ranks[process.g_at], lease=lease, ops=ops)

    def ranked_op(op: Op) -> Op:
        return op._replace(g0_at=ranks[op.g0_at], gf_at=ranks[op.gf_at], tag_at=ranks[op.tag_at])

    return state._replace(
        server=server._replace(
            now=ranks[server.now], g_at=ranks[server.g_at], tag_at=ranks[server.tag_at]
        ),
        procs=tuple(map(ranked, state.procs)),
        orphans=tuple(map(ranked_op, state.orphans)),
    )


def _process(names: dict[int, int], process: Process) -> Process:
    serials = sorted({process.heard, *(op.serial for op in process.ops)})
    ranks = {serial: rank for rank, serial in enumerate(serials)}
    l1, lease = process.l1, process.lease
    if l1 is not None:
        l1 = l1._replace(nonce=names[l1.nonce], seen=names[l1.seen])
    if lease is not None:
        lease = (names[lease[0]], *lease[1:])
    if not {"aside", "through"} & set(process.todo):
        lease = None
    return process._replace(
        g=names[process.g],
        known=(names[process.known[0]], names[process.known[1]]),
        l1=l1,
        lease=lease,
        heard=ranks[process.heard],
        asked=len(serials),
        ops=tuple(_op(names, op, ranks[op.serial]) for op in process.ops),
    )


def _op(names: dict[int, int], op: Op, rank: int) -> Op:
    return op._replace(
        g0=names[op.g0],
        nonce=names[op.nonce],
        gf=names[op.gf],
        mine=names[op.mine],
        item=_item(names, op.item),
        serial=rank,
    )


def forgotten(op: Op) -> Op:
    """Without what the rest of the operation does not look at."""
    if op.kind in ("inv", "del"):
        op = op._replace(g0=0, nonce=0, cas=0, run=0)
    if "order" not in op.steps:
        op = op._replace(tag_at=NEVER)
    if "bump" in op.steps:
        op = op._replace(gf=0, gf_at=NEVER)
    if op.kind in FILLS or (op.kind in WRITES and op.kind != "set+" and "judge" not in op.steps):
        op = op._replace(item=None)
    if not op.polls and op.kind not in WRITES:
        op = op._replace(sent=0, fresh=False)
    return op


def _item(names: dict[int, int], item: Item | None) -> Item | None:
    return item and item._replace(nonce=names[item.nonce])
