"""States that differ only in the names of nonces, or in numbers of sending, are one state."""

from __future__ import annotations

from tests.model.memcached.programs import FILLS, WRITES
from tests.model.memcached.state import Item, Op, Process, State, nonces


def canonical(state: State) -> State:
    state = state._replace(
        procs=tuple(p._replace(ops=tuple(map(forgotten, p.ops))) for p in state.procs),
        orphans=tuple(map(forgotten, state.orphans)),
    )
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
    if "bump" in op.steps:
        op = op._replace(gf=0)
    if op.kind in FILLS or (op.kind in WRITES and op.kind != "set+" and "judge" not in op.steps):
        op = op._replace(item=None)
    if not op.polls and op.kind not in WRITES:
        op = op._replace(sent=0, fresh=False)
    return op


def _item(names: dict[int, int], item: Item | None) -> Item | None:
    return item and item._replace(nonce=names[item.nonce])
