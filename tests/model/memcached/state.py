"""The state of the Memcached model: nonces instead of sequences, one key, one tag, g."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple


class Item(NamedTuple):
    """What is stored under the key; version -1 is the placeholder that a miss leaves."""

    version: int
    nonce: int  # of its tag, as its writer knew it
    cas: int


At = tuple[int, int]
"""When an item of the clock's node was stored: the run of that node, and its CAS value."""
NEVER: At = (0, 0)


class Server(NamedTuple):
    """The three items. `issued` and `run` are those of the node that has the key.

    `g_at` and `tag_at` are the CAS values of g and the nonce, `now` is the last one that their node
    has issued.
    """

    g: int
    tag: int
    item: Item | None
    issued: int  # the last CAS value issued; begins anew when the node restarts
    run: int
    now: At = (1, 2)
    g_at: At = (1, 1)
    tag_at: At = (1, 2)


class Local(NamedTuple):
    """A copy in L1, found valid after g had been read as `seen`."""

    version: int
    nonce: int
    cas: int
    run: int
    seen: int


class Op(NamedTuple):
    """An operation in flight: the commands that are left, and what the replies said."""

    kind: str
    steps: tuple[str, ...]
    g0: int = 0
    nonce: int = 0
    cas: int = 0
    run: int = 0
    version: int = -1
    promised: int = -1  # nothing older may be read once it is acknowledged
    item: Item | None = None
    ok: bool = True
    gf: int = 0  # the last g that this operation wrote
    g0_at: At = NEVER
    gf_at: At = NEVER
    tag_at: At = NEVER  # of the nonce that was read
    mine: int = 0  # a nonce drawn beforehand (only by mutations)
    serial: int = 0  # order of sending within the process
    polls: bool = False  # it reads g itself
    fresh: bool = True  # less than a bound since sending
    need: int = -1  # ghost: oldest version the reader may get
    sent: int = 0  # ghost: newest acknowledged version at sending


class Process(NamedTuple):
    g: int  # as last heard
    trust: bool
    known: tuple[int, int]  # (g, nonce of the tag): the nonce was read after this g
    l1: Local | None
    lease: tuple[int, int, int, At] | None = None  # g, CAS and run of a miss, and when g was stored
    pending: int = 0  # own writes and invalidations that are not acknowledged
    heard: int = 0  # serial of the reply that `g` is from
    asked: int = 0
    ops: tuple[Op, ...] = ()
    todo: tuple[str, ...] = ()
    need: int = 0  # ghost: what a default read that begins now may not be older than
    g_at: At = NEVER


class State(NamedTuple):
    server: Server
    procs: tuple[Process, ...]
    orphans: tuple[Op, ...]  # commands whose sender gave up; they may still arrive
    faults: tuple[int, ...]
    db: int = 0
    acked: int = 0
    bad: str = ""


G, TAG = 1, 2  # the nonces at the start


@dataclass(frozen=True)
class Scenario:
    """One small configuration: what each process may do, and which faults."""

    todo: tuple[tuple[str, ...], ...]
    faults: dict[str, int] = field(default_factory=dict)
    width: int = 2  # operations in flight per process
    warm: tuple[bool, ...] = (True, True)
    stored: bool = True
    syncing: tuple[int, ...] = (1,)  # which processes poll g without being asked
    mutations: frozenset[str] = frozenset()

    def has(self, mutation: str) -> bool:
        return mutation in self.mutations

    def initial(self) -> State:
        item = Item(0, TAG, 1) if self.stored else None
        server = Server(G, TAG, item, 1, 1, now=(1, 2), g_at=(1, 2), tag_at=(1, 1))
        procs = tuple(self._process(i) for i in range(len(self.todo)))
        return State(server, procs, (), tuple(self.faults.values()))

    def _process(self, i: int) -> Process:
        l1 = Local(0, TAG, 1, 1, G) if self.warm[i] else None
        known = (G, TAG) if self.warm[i] else (0, 0)
        todo = tuple(sorted(self.todo[i]))
        return Process(G, trust=True, known=known, l1=l1, todo=todo, g_at=(1, 2))


def put(state: State, i: int, process: Process) -> State:
    return state._replace(procs=(*state.procs[:i], process, *state.procs[i + 1 :]))


def replace_op(state: State, i: int, op: Op, after: Op | None) -> State:
    """Put the next step of an operation in its place, or nothing when it is done."""
    process = state.procs[i]
    ops = list(process.ops)
    ops.remove(op)
    if after is not None:
        ops.append(after)
        ops.sort(key=lambda one: one.serial)
    return put(state, i, process._replace(ops=tuple(ops)))


def nonces(state: State) -> list[int]:
    """Every nonce that something in this state remembers, in a fixed order."""
    found = [state.server.g, state.server.tag]
    if state.server.item is not None:
        found.append(state.server.item.nonce)
    for process in state.procs:
        found += [process.g, *process.known]
        if process.l1 is not None:
            found += [process.l1.nonce, process.l1.seen]
        if process.lease is not None:
            found.append(process.lease[0])
    for op in (*(op for process in state.procs for op in process.ops), *state.orphans):
        found += [op.g0, op.nonce, op.gf, op.mine]
        if op.item is not None:
            found.append(op.item.nonce)
    return found


def fresh(state: State) -> int:
    """A nonce that nobody has seen: random numbers of 64 bits do not meet."""
    return max(nonces(state)) + 1
