"""Time that moves only as a test says: for stores, and for the code under test.

time = FakeTime()
cache = InMemoryCache(default_ttl=60, time=time)
time.advance(61)
"""

from __future__ import annotations

import datetime
import threading
import time as real
from collections.abc import Callable
from typing import Final

_START: Final = 1000.0


class FakeTime:
    """A time source that stands still until it is moved; in seconds.

    For a store: `InMemoryCache(default_ttl=60, time=FakeTime())`; for other code: a call gives the
    time. Like every time source it does not go back, unless `jump` is told to. Safe to share
    between threads.

    Args:
        start: The first reading, in seconds.
    """

    def __init__(self, start: float = _START) -> None:
        self._lock = threading.Lock()
        self._base = float(start)
        self._rate = 0.0
        self._since = 0.0

    def __call__(self) -> float:
        with self._lock:
            return self._read()

    def __repr__(self) -> str:
        state = f"at {self._rate:g} times the usual pace" if self._rate else "frozen"
        return f"<FakeTime {self():.6f}, {state}>"

    @property
    def now(self) -> float:
        """The present reading; to set it is to jump there."""
        return self()

    @now.setter
    def now(self, reading: float) -> None:
        with self._lock:
            self._base += reading - self._read()

    @property
    def frozen(self) -> bool:
        """Whether it stands still between calls."""
        return not self._rate

    def advance(self, seconds: float | datetime.timedelta) -> float:
        """Let this much time pass; returns the time. Raises `ValueError` if it is negative."""
        step = _seconds(seconds)
        if step < 0:
            raise ValueError(f"time does not go back by itself: use jump({step:g})")
        return self.jump(step)

    def jump(self, seconds: float | datetime.timedelta) -> float:
        """Move by this much, also back, as no right time source does; returns the time."""
        step = _seconds(seconds)
        with self._lock:
            self._base += step
            return self._read()

    def flow(self, rate: float = 1.0) -> None:
        """Run on by itself, at so many seconds for each real one, until `freeze`."""
        if not rate > 0:
            raise ValueError(f"a rate is above 0, not {rate!r}; freeze() stops the time")
        with self._lock:
            self._base, self._since, self._rate = self._read(), real.monotonic(), float(rate)

    def freeze(self) -> float:
        """Stand still from now on; returns the time."""
        with self._lock:
            self._base, self._rate = self._read(), 0.0
            return self._base

    def elsewhere(self, *, offset: float = 0.0, rate: float = 1.0) -> Callable[[], float]:
        """This time as another process has it, whose readings start from somewhere else and drift.

        Its reading is this one's plus `offset` now, and then runs `rate` times as fast.
        """
        if not rate > 0:
            raise ValueError(f"a rate is above 0, not {rate!r}")
        begin = self()
        return lambda: begin + offset + (self() - begin) * rate

    def _read(self) -> float:
        if not self._rate:
            return self._base
        return self._base + (real.monotonic() - self._since) * self._rate


def _seconds(span: float | datetime.timedelta) -> float:
    return span.total_seconds() if isinstance(span, datetime.timedelta) else float(span)
