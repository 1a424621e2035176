"""The rules of docs/torture.md, applied to events in the order of their moments."""

from __future__ import annotations

import collections
import dataclasses
import math
from bisect import bisect_right
from collections.abc import Iterable
from typing import Final, NamedTuple

from tests.torture.counting import Counting
from tests.torture.events import (
    Breaking,
    Claim,
    Closed,
    Closing,
    Commit,
    CountBegun,
    CountEnded,
    Done,
    Event,
    Fault,
    Held,
    Outlived,
    Read,
    Settled,
    Token,
    Trouble,
    Vanished,
)
from tests.torture.space import OBJECTS, name_of

_KEPT: Final = 4000
_HISTORY: Final = 300
_FAULTS: Final = 8
_RETRIED: Final = 30.0
"""Seconds within which an invalidation that was not acknowledged has been repeated."""
_CALM: Final = 3.0
"""Seconds after a fault in which misses are not counted as over-invalidations."""


DOOMED: Final = "-doomed"
"""How the names of workers end that are killed on purpose."""


class Violation(NamedTuple):
    """What was broken, by what, and what had happened to the object before."""

    rule: str
    text: str
    history: list[str]


class Barriers:
    """Invalidations that ended, in the order of their ends."""

    def __init__(self) -> None:
        self.ends: list[float] = []
        self.sinces: list[float] = []
        self.texts: list[str] = []
        self.workers: list[str] = []

    def add(self, end: float, since: float, worker: str, text: str) -> None:
        """One more; `sinces` keeps the largest so far."""
        if self.sinces and self.sinces[-1] >= since:
            since, text, worker = self.sinces[-1], self.texts[-1], self.workers[-1]
        self.ends.append(end)
        self.sinces.append(since)
        self.texts.append(text)
        self.workers.append(worker)
        if len(self.ends) > 2 * _KEPT:
            for known in (self.ends, self.sinces, self.texts, self.workers):
                del known[:_KEPT]

    def before(self, moment: float) -> tuple[float, str]:
        """The latest start among those that ended by a moment, and its text."""
        at = bisect_right(self.ends, moment) - 1
        return (self.sinces[at], self.texts[at]) if at >= 0 else (-math.inf, "")

    def first_after(self, moment: float) -> tuple[float, str] | None:
        """The end of the first that began after a moment, and its worker."""
        at = bisect_right(self.sinces, moment)
        return (self.ends[at], self.workers[at]) if at < len(self.ends) else None


class Kept(NamedTuple):
    """The last value that was acknowledged, and how long it may be expected to be there."""

    version: int
    began: float
    at: float
    until: float


class Line:
    """What is known of one object."""

    def __init__(self) -> None:
        self.retired: dict[int, float] = {}
        self.claimed: dict[int, float] = {}
        self.open: collections.Counter[int] = collections.Counter()
        self.closing = 0
        self.everyone = Barriers()
        self.everywhere = Barriers()
        self.softly = Barriers()
        self.soft_at = -math.inf
        self.soft_open = 0
        self.own: dict[str, Barriers] = collections.defaultdict(Barriers)
        self.own_softly: dict[str, Barriers] = collections.defaultdict(Barriers)
        self.kept: Kept | None = None
        self.history: collections.deque[Event] = collections.deque(maxlen=_HISTORY)

    def last_made(self, version: int) -> float:
        """The latest moment at which a version was current, or was asserted to be."""
        if self.open[version] or version not in self.retired:
            return math.inf
        return max(self.retired[version], self.claimed.get(version, -math.inf))

    def close(
        self, end: float, since: float, worker: str, text: str, *, acked: bool, reach: str
    ) -> None:
        """An invalidation ended."""
        soft = reach == "soft"
        if acked:
            (self.softly if soft else self.everyone).add(end, since, worker, text)
        if acked and reach == "everywhere":
            self.everywhere.add(end, since, worker, text)
        (self.own_softly if soft else self.own)[worker].add(end, since, worker, text)

    def barrier(self, read: Read, slack: float) -> tuple[float, str]:
        """The moment before which nothing may be that a read returns, and what says so."""
        at, late = read.began, read.began - slack
        return max(
            self.everyone.before(late),
            self.everywhere.before(at),
            self.own[read.worker].before(at),
            *self._softly(read, slack),
        )

    def _softly(self, read: Read, slack: float) -> list[tuple[float, str]]:
        """A later soft invalidation begins the grace anew."""
        anew = self.soft_open or self.soft_at > read.began - slack - read.grace
        late = read.began - slack - read.grace
        own = self.own_softly[read.worker].before(read.began - read.grace)
        return [] if read.grace and anew else [self.softly.before(late), own]


@dataclasses.dataclass
class Tally:
    """What was counted."""

    operations: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    outcomes: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    faults: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    epochs: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    reads: int = 0
    hits: int = 0
    calm_reads: int = 0
    lost: int = 0
    delays: dict[bool, list[float]] = dataclasses.field(
        default_factory=lambda: {True: [], False: []}
    )


class Checker:
    """Takes events in order and collects violations."""

    def __init__(self, bound: float) -> None:
        self.bound = bound
        self.tally = Tally()
        self.violations: list[Violation] = []
        self.counting = Counting(self._violated)
        self._lines = [Line() for _ in range(OBJECTS)]
        self._claims: dict[Token, Claim] = {}
        self._closings: dict[Token, Closing] = {}
        self._faults: collections.deque[str] = collections.deque(maxlen=_FAULTS)
        self._broken = 0
        self._whole_since = 0.0

    def feed(self, events: Iterable[Event]) -> None:
        """Judge events, in the order of their moments."""
        for event in events:
            self._take(event)

    def _take(self, event: Event) -> None:  # noqa: C901, PLR0912 - one line a kind
        match event:
            case Done():
                self.tally.operations[event.op] += 1
                self.tally.outcomes[event.outcome] += 1
            case Outlived():
                self.tally.epochs += collections.Counter(
                    begun=event.resets, inherited=event.inherited, replayed=event.replayed
                )
            case Read():
                self._read(event)
            case Commit():
                self._commit(event)
            case Claim():
                self._claim(event)
            case Settled():
                self._settle(event)
            case Closing():
                self._closing(event)
            case Closed():
                self._closed(event)
            case CountBegun() | CountEnded() | Held():
                self.counting.take(event)
            case Breaking():
                self._faults.append(repr(event))
                self._broken += 1
                self.counting.end_window(event.window)
            case Fault():
                self._faults.append(repr(event))
                self._broken -= 1
                self._whole_since = event.at
                self.tally.faults[event.kind] += 1
            case Vanished():
                self._abandon(event)
            case Trouble():
                self._violated("trouble", f"{event.worker}: {event.text}", [])

    def _violated(self, rule: str, text: str, history: list[str]) -> None:
        self.violations.append(Violation(rule, text, [*history, *self._faults]))

    # -- what makes and ends versions --------------------------------------------------------

    def _commit(self, event: Commit) -> None:
        line = self._lines[event.obj]
        line.retired[event.version - 1] = event.at
        line.history.append(event)

    def _claim(self, event: Claim) -> None:
        self._claims[event.token] = event
        for obj, version in event.versions.items():
            line = self._lines[obj]
            line.open[version] += 1
            line.closing += 1
            line.history.append(event)

    def _settle(self, event: Settled) -> None:
        claim = self._claims.pop(event.token)
        text = f"{claim.op} by {event.worker} from {claim.at:.6f} to {event.at:.6f}"
        for obj, version in claim.versions.items():
            line = self._lines[obj]
            line.open[version] -= 1
            line.closing -= 1
            end = math.inf if event.outcome == "unknown" else event.at
            line.claimed[version] = max(end, line.claimed.get(version, 0.0))
            line.history.append(event)
            if event.outcome == "unknown":
                line.kept = None
            if event.outcome == "acked":
                line.close(event.at, claim.at, event.worker, text, acked=True, reach="bound")
                line.kept = Kept(version, claim.at, event.at, claim.at + event.ttl)

    def _closing(self, event: Closing) -> None:
        self._closings[event.token] = event
        for obj in event.objects:
            self._lines[obj].closing += 1
            self._lines[obj].soft_open += event.op.startswith("soft")
            self._lines[obj].history.append(event)

    def _closed(self, event: Closed) -> None:
        opened = self._closings.pop(event.token)
        text = (
            f"{opened.op} by {event.worker} from {opened.at:.6f} to {event.at:.6f}, "
            f"{event.outcome}, reach {event.reach}, of what is older than {event.since:.6f}"
        )
        for obj in opened.objects:
            line = self._lines[obj]
            line.closing -= 1
            line.kept = None
            line.history.append(event)
            if opened.op.startswith("soft"):
                line.soft_open -= 1
                line.soft_at = event.at + (_RETRIED if event.outcome != "acked" else 0.0)
            if event.outcome != "unknown":
                acked = event.outcome == "acked"
                line.close(
                    event.at, event.since, event.worker, text, acked=acked, reach=event.reach
                )

    def _abandon(self, event: Vanished) -> None:
        """Nobody knows what became of the calls of a worker that is gone."""
        if not event.worker.endswith(DOOMED):
            self._violated("trouble", f"{event.worker} has vanished", [])
        self.tally.faults["kill a worker in a write"] += 1
        for token in [token for token in self._claims if token[0] == event.worker]:
            self._settle(Settled(event.at, event.worker, token, "unknown", 0.0))
        for token in [token for token in self._closings if token[0] == event.worker]:
            self._closed(Closed(event.at, event.worker, token, 0.0, "unknown"))
        self.counting.abandon(event.worker)

    # -- reads -------------------------------------------------------------------------------

    def _read(self, read: Read) -> None:
        line = self._lines[read.obj]
        self.tally.reads += 1
        self._count_lost(line, read)
        line.history.append(read)
        if read.version is None:
            return
        self.tally.hits += 1
        made = line.last_made(read.version)
        if math.isinf(made):
            return
        self._delay(line, read, made)
        slack = 0.0 if read.strong else self.bound
        since, text = line.barrier(read, slack)
        if made < since:
            self._stale(line, read, made, text)

    def _delay(self, line: Line, read: Read, made: float) -> None:
        """How long after its first invalidation by another process this value was read."""
        first = line.everyone.first_after(made)
        if first is not None and first[1] != read.worker and first[0] < read.began:
            self.tally.delays[read.hints].append(read.began - first[0])

    def _stale(self, line: Line, read: Read, made: float, text: str) -> None:
        kind = "strong" if read.strong else "bounded"
        self._violated(
            f"stale {kind} read",
            f"{read.op} of {name_of(read.obj)} by {read.worker}, begun {read.began:.6f}, gave "
            f"version {read.version}, current until {made:.6f}, in spite of {text}",
            [f"{event!r}" for event in line.history],
        )

    def _count_lost(self, line: Line, read: Read) -> None:
        """Whether a value is missing though nothing has happened to it."""
        kept = line.kept
        if kept is None or self._broken or line.closing or kept.at > read.began:
            return
        calm = kept.began > self._whole_since + _CALM and read.at < kept.until
        if calm and line.everyone.sinces[-1] <= kept.began and not read.grace:
            self.tally.calm_reads += 1
            self.tally.lost += read.version is None
