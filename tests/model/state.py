"""The state of the model: one server, two processes, a source of truth."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

NONCES = 64  # an epoch is number * NONCES + nonce


class Value(NamedTuple):
    """What L2 stores: a value or a tombstone. `serial` tells rewrites apart."""

    version: int
    asof: int
    epoch: int
    tombstone: bool = False
    expired: bool = False
    serial: int = 0
    swapped: bool = False  # stored by compare-and-set where the clock is not at hand


class Server(NamedTuple):
    run: int
    owner: int  # R: run_id of the server that issued the clock
    epoch: int
    seq: int  # S; 0 when {ns}:c is missing
    floor: int
    tags: tuple[int, ...]
    kfloor: int  # K; 0 when {ns}:k is missing
    key: int  # key clock of the one key
    value: Value | None
    bounds: frozenset[int] = frozenset()  # B: the processes whose bounds it covers
    parent: int = 0  # the epoch that this one goes on from, after a failover
    limit: int = 0  # what was stored up to there may be inherited
    inherits: bool = False  # and is, since all writers have reported
    writers: tuple[int, ...] = ()
    awaited: tuple[int, ...] = ()
    promoted: bool = True  # it was up when the clock was last written
    overdue: bool = False  # the time to report is over


class Reply(NamedTuple):
    resync: bool = False
    run: int = 0
    owner: int = 0
    epoch: int = 0
    seq: int = 0
    floor: int = 0
    tags: tuple[int, ...] = ()
    kfloor: int = 0
    key: int = 0
    q: int = 0  # the sequence a BUMP issued
    accepted: bool = False
    value: Value | None = None
    bounds: frozenset[int] = frozenset()
    parent: int = 0
    limit: int = 0
    inherits: bool = False
    enrolled: bool = True


class Op(NamedTuple):
    """One operation in flight; a step ending in `<` is a reply under way."""

    kind: str
    step: str
    arg: int = -1
    epoch: int = 0  # cursor when the request was sent
    last: int = 0
    asof: int = 0
    version: int = -1
    need: int = -1  # ghost: oldest version the reader may get
    sent: int = 0  # ghost: newest acknowledged version at sending
    hard_sent: int = 0  # ghost: the same, without what was invalidated softly
    fresh: bool = True  # less than a bound since sending
    old: bool = False  # ghost: began before the latest key bump
    synced: bool = False
    reply: Reply | None = None
    held: Value | None = None
    expected: Value | None = None  # what a compare-and-set may replace
    declares: frozenset[int] = frozenset()  # whose bounds its process knows
    by: int = 0  # the process


class Local(NamedTuple):
    """A copy in L1: every bump up to `seen` was judged already."""

    version: int
    asof: int
    seen: int
    stale: bool = False  # found to be invalidated softly; remembered, as the clock may forget


class Process(NamedTuple):
    epoch: int
    last: int
    floor: int
    known: int  # tag bumps in (known, last] are in `tags`
    tags: tuple[int, ...]
    kknown: int
    key: int
    run: int  # run_id of the last sync
    trust: bool
    l1: Local | None
    pending: tuple[int, ...] = ()  # tags (or KEY, ALL) dead until a BUMP succeeds
    lease: tuple[int, int] | None = None
    ops: tuple[Op, ...] = ()
    todo: tuple[str, ...] = ()
    me: int = 0
    bounds: frozenset[int] = frozenset()  # whose bounds this process knows
    need: int = 0  # ghost: what a default read that begins now may not be older than
    hard_need: int = 0  # ghost: what one that accepts stale values may not be older than
    parent: int = 0
    limit: int = 0
    inherits: bool = False
    log: tuple[tuple[int, int], ...] = ()  # its acknowledged invalidations of this epoch
    owed: tuple[int, ...] = ()  # what it has to send again
    report: bool = False  # and to report when that is done
    forgot: int = 0  # its log reaches back to here
    gone: bool = False


KEY, ALL = 100, 101


class State(NamedTuple):
    server: Server
    procs: tuple[Process, ...]
    faults: tuple[int, ...]
    db: int = 0
    acked: int = 0
    hard_acked: int = 0
    over: int = 0  # the grace of what was invalidated softly up to here is over
    snapshot: Server | None = None
    resets: int = 0
    adds: int = 0  # ghost: acknowledged ones, where only one may be
    issued: tuple[tuple[int, int], ...] = ()  # ghost: epoch -> highest sequence
    bad: str = ""


@dataclass(frozen=True)
class Scenario:
    """One small configuration: what each process may do, and which faults."""

    name: str
    todo: tuple[tuple[str, ...], ...]
    faults: dict[str, int] = field(default_factory=dict)
    width: int = 2  # operations in flight per process
    tags: int = 2
    carried: tuple[int, ...] = (0,)
    warm: tuple[bool, ...] = (True, True)
    stored: bool = True
    behind: bool = False  # the second process has slept since an older epoch
    cursors: tuple[int, int] = (1, 1)  # where each process, the first at S, begins
    syncing: tuple[int, ...] = (1,)  # which processes sync without being asked
    slow_wire: bool = False  # questions, too, may be served long after they were sent
    split: bool = False  # a sync reads the two clocks at different moments
    falling: bool = False  # nonces of later epochs are smaller
    soft: int = -1  # the tag that stands for soft invalidations of tag 0
    sliding: bool = False  # a read starts the lifetime of the value anew
    latecomer: bool = False  # the second process has not declared its bound yet
    exclusive: bool = False  # nothing is ever removed, so one `add` at most succeeds
    replay: bool = False  # on_failover="replay"
    writers: tuple[int, ...] = (0, 1)  # who has enrolled before
    lagging: int = 0  # S of a replica that has stopped following before the start
    mutations: frozenset[str] = frozenset()

    @property
    def cluster(self) -> bool:
        """Two-step writes stand for a Cluster: no script sees clock and value."""
        return any(name in ("set2", "del2", "add2") for names in self.todo for name in names)

    @property
    def symmetric(self) -> bool:
        return len(self.syncing) == len(self.todo) and len(set(self.todo)) == 1

    def has(self, mutation: str) -> bool:
        return mutation in self.mutations

    def initial(self) -> State:
        epoch, none = NONCES * 2 + 32, (0,) * self.tags
        seq = self.cursors[0]
        value = Value(0, seq, epoch) if self.stored else None
        writers = self.writers if self.replay else ()
        bounds = self._declared()
        server = Server(1, 1, epoch, seq, 1, none, 1, 0, value, bounds, writers=writers)
        procs = tuple(self._process(i, epoch, none) for i in range(len(self.todo)))
        replica = server._replace(seq=self.lagging) if self.lagging else None
        faults = tuple(self.faults.values())
        return State(server, procs, faults, snapshot=replica, issued=((epoch, seq),))

    def _process(self, i: int, epoch: int, none: tuple[int, ...]) -> Process:
        if self.behind and i == 1:
            epoch -= NONCES
        last = self.cursors[i]
        l1 = Local(0, min(self.cursors[0], last), last) if self.warm[i] else None
        todo = tuple(sorted(self.todo[i]))
        trust = not ((self.behind or self.latecomer) and i)
        bounds = frozenset({i})
        if not self.has("forgets_bounds"):
            bounds |= self._declared()
        return Process(epoch, last, 1, 1, none, 1, 0, 1, trust, l1, todo=todo, me=i, bounds=bounds)

    def _declared(self) -> frozenset[int]:
        return frozenset({0} if self.latecomer else range(len(self.todo)))


def put(state: State, i: int, process: Process) -> State:
    procs = state.procs
    return state._replace(procs=(*procs[:i], process, *procs[i + 1 :]))
