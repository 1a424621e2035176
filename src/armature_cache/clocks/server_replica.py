"""What this process knows of a server's clock, and owes it."""

from __future__ import annotations

import dataclasses
import math
import threading
import weakref
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, TypeVar

from armature_cache import _forking
from armature_cache.claims import Bells
from armature_cache.clocks.coherence import CoherenceMeter, CoherenceStats
from armature_cache.clocks.failover import WINDOW, Done, Failover
from armature_cache.clocks.heritage import NO_HERITAGE
from armature_cache.clocks.replica import Delta, Reader, Replica
from armature_cache.clocks.runs import RunWatch

if TYPE_CHECKING:
    from armature_cache.clocks.listener import Listener
    from armature_cache.clocks.redis_wire import SyncReply
    from armature_cache.redisio.port import Answer


MOST_OWED: Final = 100_000
_DRIFT: Final = 0.0005
"""How much faster one clock may run than another, as a part of the time."""


R = TypeVar("R", bound="ServerReplica")


class Unsent(NamedTuple):
    """An invalidation that was not acknowledged, and what it holds dead in this process."""

    tags: tuple[str, ...]
    keys: tuple[str, ...]
    marks: list[bytes]

    @property
    def size(self) -> int:
        """How many tags and keys."""
        return len(self.tags) + len(self.keys)


class ServerReplica(Replica):
    """The replica of a server's clock: one per server, database, namespace and process."""

    __slots__ = (
        "_size",
        "bells",
        "coherence",
        "deaf",
        "declared_ttl",
        "failover",
        "inheritances",
        "largest_bound",
        "listener",
        "other_format",
        "owed",
        "readers",
        "resets",
        "restarts_owed",
        "restarts_paid",
        "round_trip",
        "run_id",
        "runs",
        "server_ahead",
        "server_behind",
        "shortest_bound",
        "syncs",
        "timed_at",
        "unannounced",
        "unannounced_since",
        "watch",
    )

    def __init__(self) -> None:
        super().__init__()
        self.owed: list[Unsent] = []
        self._size = self.restarts_owed = self.restarts_paid = 0
        self.largest_bound = self.resets = self.inheritances = 0
        self.coherence = CoherenceMeter()
        self.bells: Bells[bytes] = Bells()
        self.listener: weakref.ref[Listener] | None = None
        self.run_id = ""
        self.runs: frozenset[str] = frozenset()
        self.syncs = 0
        self.watch = RunWatch()
        self.other_format = 0
        self.deaf = False
        self.unannounced, self.unannounced_since = 0, 0.0
        self.failover = Failover()
        self.readers: weakref.WeakSet[Reader] = weakref.WeakSet()
        self.shortest_bound = math.inf
        self.declared_ttl = 0
        self.server_ahead = self.server_behind = self.round_trip = 0.0
        self.timed_at = -math.inf

    def fork_locks(self) -> tuple[_forking.Lock, ...]:
        return (*super().fork_locks(), *self.watch.fork_locks())

    def after_fork(self) -> None:
        self.watch.after_fork()
        self.failover.after_fork()
        self.owed, self._size, self.restarts_paid = [], 0, self.restarts_owed
        listener = self.listener() if self.listener is not None else None
        if listener is not None:
            listener.after_fork()
        super().after_fork()

    def read_by(self, reader: Reader) -> None:
        self.readers.add(reader)

    @property
    def hits(self) -> int:
        """How many reads were answered in this process, which nobody had to wait for."""
        return sum(reader.hits for reader in list(self.readers))

    def distrust(self) -> None:
        """Trust ends now, not after the bound."""
        with self._lock:
            self.synced_at = -math.inf

    @property
    def owing(self) -> int:
        """How many tags and keys were invalidated without an acknowledgement."""
        return self._size + self._restarts

    @property
    def in_debt(self) -> bool:
        """Whether something was invalidated without an acknowledgement, or is to be reported."""
        return bool(self.owed or self._restarts or self.failover.report_due)

    @property
    def _restarts(self) -> int:
        return int(self.restarts_owed > self.restarts_paid)

    # -- what the server says ----------------------------------------------------------------

    def merge(self, delta: Delta, synced_at: float | None) -> bool:
        with self._lock:
            if delta.epoch > self.epoch and self.failover.replays:
                self._send_again(self.failover.lost(self.epoch, delta.epoch, delta.heritage))
            self.resets += 0 < self.epoch < delta.epoch
            before = self.inherited
            merged = super().merge(delta, synced_at)
            self.inheritances += NO_HERITAGE != self.inherited != before
            return merged

    def _send_again(self, lost: list[Done] | None) -> None:
        """Owe what a promoted server does not know; everything, if it is not known what that is."""
        if lost is None:
            self.restarts_owed += 1
            return
        for done in lost:
            self.owe(Unsent(done.tags, done.keys, self.hold(done.tags, done.keys, done.at)))

    def take(self, reply: SyncReply, synced_at: float, *, unless_left: str | None = None) -> bool:
        """Merge what a sync brought, and note who said it.

        With `unless_left` not if this process has gone over from that server to another meanwhile.
        """
        with self._lock:
            if unless_left is not None and self.run_id not in {unless_left, reply.run_id}:
                return False
            if not self.merge(reply.delta, synced_at):
                return False
            self.run_id, self.runs = reply.run_id, reply.runs
            self.note_bound(reply.bound)
            return True

    def acknowledge(self, delta: Delta, answer: Answer, bumps: Iterable[Done]) -> bool:
        """Merge the reply to the last of several bumps; False if it acknowledges nothing."""
        with self._lock:
            failover = self.failover
            if failover.replays and answer.run_id != self.run_id:
                return False
            if not self.merge(delta, answer.sent_at):
                return False
            if failover.replays:
                for done in bumps:
                    failover.log.note(done)
                failover.enrolled_until = answer.sent_at + WINDOW / 2
            return True

    # -- what is owed to it ------------------------------------------------------------------

    def owe(self, job: Unsent) -> None:
        """Keep an invalidation that was not acknowledged, to be sent again.

        Beyond `MOST_OWED` tags and keys the debt becomes one restart of the clock, which makes
        every entry invalid: it stays bounded, and nothing is forgotten.
        """
        with self._lock:
            self.owed.append(job)
            self._size += job.size
            if self._size <= MOST_OWED:
                return
            jobs, self.owed, self._size = self.owed, [], 0
            self.restarts_owed += 1
            self.forget()
        for old in jobs:
            self.drop(old.marks)

    def paid(self, jobs: Iterable[Unsent]) -> None:
        """Invalidations have been acknowledged after all."""
        done = set(map(id, jobs))
        with self._lock:
            settled = [job for job in self.owed if id(job) in done]
            self.owed = [job for job in self.owed if id(job) not in done]
            self._size -= sum(job.size for job in settled)
        for job in settled:
            self.drop(job.marks)

    def observe(self, news: Iterable[int], answer_at: float, slack: float) -> None:
        """Measure how old the news of a sync are; `slack` is its round trip in seconds."""
        asked = (self.synced_at * 1000 + self.server_behind) * 1000
        now = (answer_at * 1000 + self.server_behind) * 1000
        self.coherence.observe(news, asked=asked, now=now, slack=(slack + 0.001) * 1_000_000)

    def moment_of(self, sequence: int) -> float:
        return (sequence / 1000 - self.server_ahead) / 1000

    def report(self) -> CoherenceStats:
        """How this process keeps up, for `stats()`."""
        return dataclasses.replace(
            self.coherence.report(),
            halts=self.watch.halts,
            resets=self.resets,
            inherited=self.inheritances,
            replayed=self.failover.replayed,
        )

    def brought_tags(self, at: float) -> None:
        """A sync brought invalidations of tags, of which a hint should have told."""
        if not self.unannounced:
            self.unannounced_since = at
        self.unannounced += 1

    def heard(self) -> None:
        """A hint has arrived."""
        self.unannounced, self.deaf = 0, False

    def note_bound(self, bound: int) -> None:
        """A staleness bound, in µs, that this process or another declared.

        It stays known here, and is declared again, when the clock has lost it.
        """
        self.largest_bound = max(self.largest_bound, bound)

    def note_time(self, micros: int, sent_at: float, received_at: float) -> None:
        """Estimate the server's wall clock, in ms, as an upper and a lower offset.

        Each reply narrows the estimate, which widens with time; one that contradicts it replaces
        it, for one of the clocks has jumped.
        """
        ahead, behind = micros / 1000 - sent_at * 1000, micros / 1000 - received_at * 1000
        drift = (received_at - self.timed_at) * 1000 * _DRIFT
        highest, lowest = self.server_ahead + drift, self.server_behind - drift
        if behind <= highest and ahead >= lowest:
            ahead, behind = min(ahead, highest), max(behind, lowest)
        self.server_ahead, self.server_behind, self.timed_at = ahead, behind, received_at
        self.round_trip = received_at - sent_at


class Registry(Generic[R]):
    """The one replica of this process for each place: a server, database and namespace."""

    def __init__(self, make: Callable[[], R]) -> None:
        self._make = make
        self._replicas: weakref.WeakValueDictionary[str, R] = weakref.WeakValueDictionary()
        self._lock = threading.Lock()
        _forking.register(self)

    def fork_locks(self) -> tuple[_forking.Lock, ...]:
        """What may not be held while the process forks."""
        return (self._lock,)

    def after_fork(self) -> None:
        """The replicas look after themselves."""

    def __call__(self, place: str) -> R:
        """The replica of a place."""
        with self._lock:
            replica = self._replicas.get(place)
            if replica is None:
                replica = self._replicas[place] = self._make()
            return replica


replica_of: Final = Registry(ServerReplica)
