"""`on_failover="replay"`: a promoted server goes on with the clock, once its writers have reported.

An epoch may inherit from its parent what was stored up to `limit`, the last sequence that the
promoted server knew. Until every writer that it knew of has sent again what it had acknowledged
after that, nothing is inherited.
"""

from __future__ import annotations

from tests.model.state import ALL, KEY, Op, Process, Reply, Scenario, Server, State, Value


def may_adopt(ctx: Scenario, server: Server) -> bool:
    """Whether a server that runs under another run_id than its clock's may go on with it."""
    whole = server.seq > 0 and server.kfloor > 0
    was_up = server.promoted or ctx.has("replay_after_restart")
    return ctx.replay and whole and was_up and server.owner != server.run


def adopted(ctx: Scenario, server: Server, epoch: int, seq: int) -> Server:
    """The clock of the promoted server, in a new epoch that inherits nothing yet."""
    awaited = () if ctx.has("replay_awaits_nobody") else server.writers
    server = server._replace(
        owner=server.run,
        epoch=epoch,
        seq=seq,
        parent=server.epoch,
        limit=server.seq,
        inherits=False,
        awaited=awaited,
    )
    return settled(server)


def settled(server: Server) -> Server:
    """With nobody left to wait for, the epoch inherits."""
    return server._replace(inherits=server.parent > 0 and not server.awaited)


def is_overdue(server: Server) -> bool:
    """Whether a writer did not report in time: then everything older is dead."""
    return bool(server.overdue and server.awaited)


def reported(server: Server, op: Op) -> Server:
    """A writer has sent all that it had to send, in this epoch."""
    if op.epoch != server.epoch:
        return server
    return settled(server._replace(awaited=tuple(i for i in server.awaited if i != op.by)))


def is_confirmed(ctx: Scenario, state: State, op: Op) -> bool:
    """Whether the replica knows the writer: it follows, or did so long enough."""
    if "rollback" not in ctx.faults:
        return True
    lagging = state.snapshot is not None and op.by not in state.snapshot.writers
    return not lagging or ctx.has("replay_unconfirmed")


def counts(server: Server, epoch: int, asof: int) -> bool:
    """Whether a stamp is of an epoch whose entries may live."""
    inherited = server.inherits and epoch == server.parent and asof <= server.limit
    return epoch == server.epoch or inherited


def is_overtaken(ctx: Scenario, process: Process, op: Op, reply: Reply) -> bool:
    """Whether a later epoch of the same server has made a clear needless."""
    cleared = ctx.replay and op.arg == ALL and not reply.resync
    return cleared and reply.epoch < process.epoch and not is_late(ctx, process, reply)


def is_of_epoch(ctx: Scenario, process: Process, value: Value) -> bool:
    """`counts`, by what a process knows."""
    below = value.asof <= process.limit or ctx.has("replay_without_limit")
    inherited = process.inherits and value.epoch == process.parent and below
    return value.epoch == process.epoch or inherited


def enter(ctx: Scenario, process: Process, before: Process, reply: Reply) -> Process:
    """A process enters an epoch: what it has to send again, if the epoch is its own one's heir."""
    if not ctx.replay:
        return process
    owed = before.owed
    if reply.parent == before.epoch:
        lost = tuple(what for q, what in before.log if q > reply.limit)
        if ctx.has("replay_of_tags_alone"):
            lost = tuple(what for what in lost if what != KEY)
        if ctx.has("replay_of_nothing"):
            lost = ()
        if before.forgot > reply.limit and not ctx.has("replay_forgets_silently"):
            lost = (ALL,)
        owed = tuple(sorted({*owed, *lost}))
    elif reply.parent and before.epoch > reply.parent and not ctx.has("replay_forgets_clear"):
        owed = tuple(sorted({*owed, ALL}))  # it knows of a clear that the server has lost
    pending = tuple(sorted((*before.pending, *(what for what in owed if what not in before.owed))))
    return process._replace(log=(), forgot=0, owed=owed, pending=pending, report=True)


def heir(process: Process, reply: Reply) -> Process:
    """What a reply says of the epoch's parent; that to a bump says nothing."""
    if reply.q:
        return process
    return process._replace(
        parent=reply.parent,
        limit=reply.limit,
        inherits=reply.inherits or (process.inherits and process.parent == reply.parent),
    )


def logged(ctx: Scenario, process: Process, op: Op, reply: Reply) -> Process:
    """Remember an invalidation that was acknowledged."""
    if not ctx.replay or op.kind == "clear":
        return process
    return process._replace(log=(*process.log, (reply.q, op.arg)))


def is_late(ctx: Scenario, process: Process, reply: Reply) -> bool:
    """Whether an acknowledgement comes from a server that this process has left."""
    lenient = ctx.has("replay_acks_of_any_run") or ctx.has("replay_bump_enters")
    return ctx.replay and reply.run != process.run and not lenient


def paid(process: Process, op: Op) -> Process:
    """An invalidation that was sent again is acknowledged."""
    if op.kind != "replay":
        return process
    return process._replace(owed=tuple(what for what in process.owed if what != op.arg))
