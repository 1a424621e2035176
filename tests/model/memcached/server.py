"""One command at the server: each is atomic, and others may come between any two."""

from __future__ import annotations

from collections.abc import Callable

from tests.model.memcached.state import (
    NEVER,
    TAG,
    At,
    G,
    Item,
    Op,
    Scenario,
    Server,
    State,
    fresh,
)

Served = tuple[State, Op]


def serve(ctx: Scenario, state: State, op: Op, known: tuple[int, int]) -> Served:
    """Serve the first of the commands that are left; `known` is what the sender remembers.

    A nonce that is remembered is used where it is to be judged by. Where its age counts, it is
    read.
    """
    step = op.steps[0]
    state, op = COMMANDS[step](ctx, state, op._replace(steps=op.steps[1:]))
    if step == "tag" and known[0] and known[0] == op.g0 and "order" not in op.steps:
        op = op._replace(nonce=known[1])
    return state, op


def _server(state: State, **changes: object) -> State:
    return state._replace(server=state.server._replace(**changes))  # type: ignore[arg-type]


def _read_g(ctx: Scenario, state: State, op: Op) -> Served:
    """`mg`, and `ms` in mode add when it is missing."""
    if not state.server.g:
        if ctx.has("lost_g_is_unchanged"):
            return state, op._replace(g0=G)
        state = _write_g(state)
    return state, op._replace(g0=state.server.g, g0_at=state.server.g_at)


def _write_g(state: State) -> State:
    now = _next(state)
    return _server(state, g=fresh(state), g_at=now, now=now)


def _write_tag(state: State, nonce: int) -> State:
    now = _next(state)
    return _server(state, tag=nonce, tag_at=now, now=now)


def _next(state: State) -> At:
    run, issued = state.server.now
    return run, issued + 1


def _read_tag(ctx: Scenario, state: State, op: Op) -> Served:
    if not state.server.tag:
        if ctx.has("lost_tag_is_valid") and op.item is not None:
            return state, op._replace(nonce=op.item.nonce)
        state = _write_tag(state, TAG if ctx.has("reused_nonce") else fresh(state))
    return state, op._replace(nonce=state.server.tag, tag_at=state.server.tag_at)


def _read_key(ctx: Scenario, state: State, op: Op) -> Served:
    """`mg k N`: a miss leaves a placeholder, so that there is a CAS value to hold."""
    server = state.server
    if server.item is None:
        issued = server.issued + 1
        state = _server(state, item=Item(-1, 0, issued), issued=issued)
    return _read_cas(ctx, state, op)


def _read_cas(ctx: Scenario, state: State, op: Op) -> Served:
    item = state.server.item
    return state, op._replace(item=item, cas=item.cas if item else 0, run=state.server.run)


def _read_db(ctx: Scenario, state: State, op: Op) -> Served:
    return state, op._replace(version=state.db)


def _check(ctx: Scenario, state: State, op: Op) -> Served:
    """Whether nothing at all was invalidated, deleted or set since g was read."""
    if state.server.g == op.g0 != 0:
        return state, op
    if op.kind in ("aside", "through"):
        return state, op._replace(ok=False)
    return state, op._replace(ok=False, steps=("told",))


def _order(ctx: Scenario, state: State, op: Op) -> Served:
    """No command: g need not be read again if the nonce is older than the g of the beginning."""
    if op.g0_at == NEVER or (op.g0_at[0] != op.tag_at[0] and not ctx.has("order_across_runs")):
        return state, op
    if op.tag_at[1] < op.g0_at[1]:
        return state, op._replace(steps=op.steps[1:])
    return state, op


def _bump(ctx: Scenario, state: State, op: Op) -> Served:
    state = _write_g(state)
    return state, op._replace(gf=state.server.g, gf_at=state.server.g_at)


def _nonce(ctx: Scenario, state: State, op: Op) -> Served:
    return _write_tag(state, op.mine or fresh(state)), op


def _fill(ctx: Scenario, state: State, op: Op) -> Served:
    """`ms C`, on a connection to the run that gave the CAS value."""
    if not _same(ctx, state.server, op):
        return state, op._replace(ok=False)
    return _store(state, op)


def _same(ctx: Scenario, server: Server, op: Op) -> bool:
    if ctx.has("lease_unchecked"):
        return True
    same_run = server.run == op.run or ctx.has("cas_across_runs")
    return server.item is not None and server.item.cas == op.cas and same_run


def _store(state: State, op: Op) -> Served:
    issued = state.server.issued + 1
    item = Item(op.version, op.nonce, issued)
    state = _server(state, item=item, issued=issued)
    return state, op._replace(item=item, cas=issued, run=state.server.run)


def _offer(ctx: Scenario, state: State, op: Op) -> Served:
    """`ms C`; where a set may not give way to an older load, what lost is deleted."""
    if op.ok and _same(ctx, state.server, op):
        return _set(ctx, state, op) if op.kind == "add" else _store(state, op)
    op = op._replace(ok=False)
    if op.kind == "add" or ctx.has("offer_spares_winner"):
        return state, op
    return _delete(ctx, state, op)


def _set(ctx: Scenario, state: State, op: Op) -> Served:
    """The value is current now: sets are ordered by their arrival."""
    op = op._replace(version=state.db + 1)
    return _store(state._replace(db=op.version), op)


def _delete(ctx: Scenario, state: State, op: Op) -> Served:
    return _server(state, item=None), op


def _judge(ctx: Scenario, state: State, op: Op) -> Served:
    """No command: an `add` ends here if there is a live value."""
    item = op.item
    if item is not None and item.version >= 0 and item.nonce == op.nonce:
        return state, op._replace(ok=False, steps=("told",))
    return state, op


COMMANDS: dict[str, Callable[[Scenario, State, Op], Served]] = {
    "g": _read_g,
    "tag": _read_tag,
    "k": _read_key,
    "kcas": _read_cas,
    "db": _read_db,
    "order": _order,
    "check": _check,
    "bump": _bump,
    "nonce": _nonce,
    "fill": _fill,
    "cas": _offer,
    "ms": _set,
    "md": _delete,
    "judge": _judge,
}
