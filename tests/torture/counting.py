"""Counters and locks: nothing is lost, nothing counts twice, no two hold one lock."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable
from typing import Final

from tests.torture.events import CountBegun, CountEnded, Held, Token

_HISTORY: Final = 200


@dataclasses.dataclass
class Counter:
    """What is known of one counter in one window; `unsure` are those of unknown outcome."""

    acked: int = 0
    unsure_plus: int = 0
    unsure_minus: int = 0
    history: collections.deque[str] = dataclasses.field(
        default_factory=lambda: collections.deque(maxlen=_HISTORY)
    )


@dataclasses.dataclass
class Call:
    """An increment under way, and what was acknowledged before it began."""

    begun: CountBegun
    acked_before: int
    plus: int = 0
    minus: int = 0


class Counting:
    """Judges what increments return, and which locks were held."""

    def __init__(self, violated: Callable[[str, str, list[str]], None]) -> None:
        self._violated = violated
        self._counters: dict[tuple[str, int], Counter] = collections.defaultdict(Counter)
        self._calls: dict[Token, Call] = {}
        self._over: set[int] = set()
        self._held: dict[tuple[str, int], collections.deque[Held]] = collections.defaultdict(
            lambda: collections.deque(maxlen=50)
        )
        self.judged = 0

    def end_window(self, window: int) -> None:
        """Data of this window is being destroyed: nothing later is judged."""
        if window:
            self._over.add(window)

    def abandon(self, worker: str) -> None:
        """A worker is gone: the outcome of what it had begun is unknown."""
        for token in [token for token in self._calls if token[0] == worker]:
            self._end(CountEnded(0.0, worker, token, None))

    def take(self, event: CountBegun | CountEnded | Held) -> None:
        """Judge one event."""
        match event:
            case CountBegun():
                self._begin(event)
            case CountEnded():
                self._end(event)
            case Held():
                self._hold(event)

    def _begin(self, event: CountBegun) -> None:
        counter = self._counters[event.counter, event.window]
        counter.history.append(repr(event))
        mine = Call(event, counter.acked)
        for other in self._calls.values():
            if (other.begun.counter, other.begun.window) == (event.counter, event.window):
                _overlap(other, event.delta)
                _overlap(mine, other.begun.delta)
        self._calls[event.token] = mine

    def _end(self, event: CountEnded) -> None:
        call = self._calls.pop(event.token)
        begun = call.begun
        counter = self._counters[begun.counter, begun.window]
        counter.history.append(repr(event))
        if event.total is None:
            counter.unsure_plus += max(0, begun.delta)
            counter.unsure_minus += min(0, begun.delta)
            return
        counter.acked += begun.delta
        if begun.window in self._over:
            return
        self.judged += 1
        base = call.acked_before + begun.delta
        low = base + call.minus + counter.unsure_minus
        high = base + call.plus + counter.unsure_plus
        if not low <= event.total <= high:
            self._violated(
                "counter",
                f"{begun.counter} of window {begun.window}: {begun.worker} got {event.total}, "
                f"possible are {low} to {high}",
                list(counter.history),
            )

    def _hold(self, event: Held) -> None:
        if event.window in self._over:
            return
        known = self._held[event.lock, event.window]
        overlapping = [
            other for other in known if event.since < other.until and other.since < event.until
        ]
        if event.certain and all(other.certain for other in overlapping):
            for other in overlapping:
                self._violated(
                    "lock",
                    f"{event.lock} was held by {event.worker} and {other.worker} at once",
                    [repr(each) for each in known],
                )
        known.append(event)


def _overlap(call: Call, delta: int) -> None:
    call.plus += max(0, delta)
    call.minus += min(0, delta)
