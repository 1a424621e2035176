"""The server: each function is one atomic script or command."""

from __future__ import annotations

from tests.model import failover
from tests.model.state import ALL, KEY, NONCES, Op, Reply, Scenario, Server, State, Value


def _delta(server: Server, cursor: int) -> Reply:
    return Reply(
        run=server.run,
        owner=server.owner,
        epoch=server.epoch,
        seq=server.seq,
        floor=server.floor,
        tags=tuple(score if score > cursor else 0 for score in server.tags),
        kfloor=server.kfloor,
        key=server.key if server.key > cursor else 0,
        bounds=server.bounds,
        parent=server.parent,
        limit=server.limit,
        inherits=server.inherits,
    )


def raw_sync(server: Server, op: Op) -> Reply:
    return _delta(server, op.last)


def behind(ctx: Scenario, server: Server, epoch: int, last: int) -> bool:
    """The stored clock cannot continue what this client, or this run, knew."""
    if server.seq == 0 or (server.owner != server.run and not ctx.has("no_run_id")):
        return True
    return (server.epoch, server.seq) < (epoch, last)


def _issue(ctx: Scenario, state: State, server: Server) -> State:
    """Ghost check of invariant 2: no sequence is issued twice in an epoch."""
    issued = dict(state.issued)
    if issued.get(server.epoch, 0) >= server.seq and not ctx.has("no_nonce"):
        state = state._replace(bad="2: a sequence was issued twice in an epoch")
    issued[server.epoch] = server.seq
    return state._replace(server=server, issued=tuple(sorted(issued.items())))


def new_epoch(ctx: Scenario, state: State, epoch: int, last: int, *, adopts: bool = False) -> State:
    server, resets = state.server, state.resets + 1
    number = max(server.epoch // NONCES, epoch // NONCES) + 1
    nonce = NONCES // 2 + (-resets if ctx.falling else resets)
    if ctx.has("no_nonce"):
        nonce = NONCES // 2
    q = max(server.seq, last) + 1
    none = (0,) * len(server.tags)
    epoch, state = number * NONCES + nonce, state._replace(resets=resets)
    if adopts:
        return _issue(ctx, state, failover.adopted(ctx, server, epoch, q))
    fresh = Server(server.run, server.run, epoch, q, q, none, q, 0, server.value, server.bounds)
    return _issue(ctx, state, fresh._replace(writers=server.writers))


def sync_script(ctx: Scenario, state: State, op: Op) -> tuple[State, Reply]:
    server = state.server
    lost = behind(ctx, server, op.epoch, op.last)
    if lost or failover.is_overdue(server):
        adopts = lost and failover.may_adopt(ctx, server)
        state = new_epoch(ctx, state, op.epoch, op.last, adopts=adopts)
    elif server.kfloor == 0:
        q = server.seq + 1
        floor = server.floor if ctx.has("key_loss_spares_l2") else q
        state = _issue(ctx, state, server._replace(seq=q, floor=floor, kfloor=q, key=0))
    server = state.server._replace(bounds=state.server.bounds | op.declares)
    if op.kind == "report":
        server = failover.reported(server, op)
    state = state._replace(server=server)
    enrolled = not ctx.replay or op.by in server.writers
    reply = _delta(server, op.last if op.epoch == server.epoch else 0)
    return state, reply._replace(enrolled=enrolled)


def enrol(_: Scenario, state: State, op: Op) -> tuple[State, Reply]:
    """A writer makes itself known, before its first invalidation."""
    writers = tuple(sorted({*state.server.writers, op.by}))
    return state._replace(server=state.server._replace(writers=writers)), Reply()


def _bump(
    ctx: Scenario, state: State, op: Op, tag: int = -1, *, key: bool = False
) -> tuple[State, Reply]:
    server = state.server
    lost_keys = server.kfloor == 0 and not ctx.has("bump_ignores_key_loss")
    if lost_keys or behind(ctx, server, op.epoch, op.last):
        return state, Reply(resync=True)
    if ctx.replay and _replay_first(ctx, server, op):
        return state, Reply(resync=True)
    q = server.seq + 1
    tags = tuple(q if n == tag else score for n, score in enumerate(server.tags))
    server = server._replace(seq=q, tags=tags, key=q if key else server.key)
    state = _issue(ctx, state, server)
    cursor = op.last if op.epoch == server.epoch else 0
    return state, _delta(server, cursor)._replace(q=q, parent=0, limit=0, inherits=False)


def _replay_first(ctx: Scenario, server: Server, op: Op) -> bool:
    """Whether a client may not bump yet: not enrolled, or not in this epoch."""
    elsewhere = op.epoch != server.epoch and not ctx.has("replay_bump_enters")
    return op.by not in server.writers or elsewhere


AGEING = {"expire tombstone", "trim keys", "forget keys"}


def mark_old(ctx: Scenario, state: State) -> State:
    """Ghost: operations under way are older than the key bump just made."""
    if not AGEING & ctx.faults.keys():
        return state
    procs = tuple(p._replace(ops=tuple(o._replace(old=True) for o in p.ops)) for p in state.procs)
    return state._replace(procs=procs)


def bump_tag(ctx: Scenario, state: State, op: Op) -> tuple[State, Reply]:
    return _bump(ctx, state, op, op.arg)


def bump_only(ctx: Scenario, state: State, op: Op) -> tuple[State, Reply]:
    """BUMP of the key alone; the value, which is current from now on, comes later."""
    state, reply = _bump(ctx, state, op, key=True)
    if reply.resync:
        return state, reply
    state = mark_old(ctx, state)._replace(db=state.db + 1)
    return state, reply._replace(value=Value(state.db, reply.q, reply.epoch, swapped=True))


def bump_key(
    ctx: Scenario, state: State, op: Op, *, store: bool, tombstone: bool = False
) -> tuple[State, Reply]:
    """BUMP of the key; `store` puts the value or tombstone in the same script."""
    state, reply = _bump(ctx, state, op, key=True)
    if reply.resync:
        return state, reply
    state = mark_old(ctx, state)
    version = op.version if tombstone else state.db + 1
    state = state._replace(db=max(state.db, version))
    value = Value(version, reply.q, reply.epoch, tombstone)
    if store:
        state = state._replace(server=state.server._replace(value=value))
    return state, reply._replace(value=value, accepted=True)


def replay(ctx: Scenario, state: State, op: Op) -> tuple[State, Reply]:
    """An invalidation that was acknowledged by the old server, once more; sets are deletes."""
    if op.arg == ALL:
        return clear_root(ctx, state, op)
    state, reply = _bump(ctx, state, op, op.arg, key=op.arg == KEY)
    if reply.resync or op.arg != KEY:
        return state, reply
    state = mark_old(ctx, state)
    if not ctx.has("replay_without_tombstone"):
        value = Value(-1, reply.q, reply.epoch, tombstone=True)
        state = state._replace(server=state.server._replace(value=value))
    return state, reply


def set_leased(ctx: Scenario, state: State, op: Op) -> tuple[State, Reply]:
    """Set after a miss: explicit if nothing was bumped since, else a tombstone.

    Right for a value read after the miss, and for one just written.
    """
    server, held = state.server, op.held
    assert held is not None
    clean = held.epoch == server.epoch and held.asof >= max(
        server.kfloor, server.key, server.floor, *(server.tags[tag] for tag in ctx.carried)
    )
    stored = server.value
    buried = stored is not None and stored.tombstone and stored.asof > held.asof
    if ctx.has("update_yields_to_tombstone") and not clean and buried:
        return state, _delta(server, op.last)
    clean = clean or ctx.has("update_is_unconditional")
    state, reply = bump_key(ctx, state, op, store=True, tombstone=True)
    if reply.resync or not clean or reply.value is None:
        return state, reply
    value = reply.value._replace(tombstone=False)
    return state._replace(server=state.server._replace(value=value)), reply._replace(value=value)


def clear_root(ctx: Scenario, state: State, op: Op) -> tuple[State, Reply]:
    server = state.server
    if server.kfloor == 0 or behind(ctx, server, op.epoch, op.last):
        return state, Reply(resync=True)
    state = new_epoch(ctx, state, server.epoch, server.seq)
    return state, _delta(state.server, 0)


def fill(ctx: Scenario, state: State, value: Value, *, load: bool) -> tuple[State, Reply]:
    """Where the clock is at hand, a load is also refused by the key clock."""
    stored, server = state.server.value, state.server
    blind = ctx.cluster or ctx.has("fill_ignores_key_clock")
    bumped = not server.kfloor or value.asof < max(server.kfloor, server.key)
    if load and bumped and not blind:
        return state, Reply()
    if stored is not None and (stored.epoch, stored.asof) > (value.epoch, value.asof):
        return state, Reply()
    if stored is not None and stored.expired:
        value = value._replace(serial=stored.serial + 1)
    state = state._replace(server=state.server._replace(value=value))
    return state, Reply(accepted=True, value=value)


def add(ctx: Scenario, state: State, op: Op) -> tuple[State, Reply]:
    """Compare-and-set on what was judged; the model's ghost knows what is live."""
    stored, held = state.server.value, op.held
    same = stored == held
    if ctx.has("add_compares_asof") and stored and held:
        same = (stored.epoch, stored.asof) == (held.epoch, held.asof)
    if not same:
        return state, Reply()
    live = stored is not None and alive(ctx, state.server, stored)
    state, reply = bump_key(ctx, state, op, store=True)
    if live and not reply.resync:
        state = state._replace(bad="add replaced a live entry")
    return state, reply


def place(ctx: Scenario, state: State, op: Op) -> tuple[State, Reply]:
    """The second step of an add: compare and set at the value's node, with the clock's q."""
    stored = state.server.value
    if stored != op.expected:
        return state, Reply()
    if stored is not None and (stored.epoch, stored.asof) > (op.epoch, op.asof):
        return state, Reply()
    state = state._replace(server=state.server._replace(value=op.held))
    return state, Reply(accepted=True, value=op.held)


def alive(ctx: Scenario, server: Server, value: Value) -> bool:
    """The truth about a stored value, by the server's own clocks."""
    return (
        not value.tombstone
        and not value.expired
        and failover.counts(server, value.epoch, value.asof)
        and value.asof >= server.floor
        and (value.swapped or value.asof >= server.key)
        and all(server.tags[tag] <= value.asof for tag in ctx.carried)
    )
