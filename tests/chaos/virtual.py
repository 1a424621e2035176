"""An event loop whose time is made up: when nothing can run, it is as late as the next timer.

Waits cost nothing, and a run depends on nothing but the program and a seed, by which those who can
run at the same time are put in an order. A loop that would wait for ever raises `Deadlock`.
"""

from __future__ import annotations

import asyncio
import random
import selectors
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from armature_cache.testing import FakeTime

T = TypeVar("T")

_SHUFFLED: Final = 0.3
"""How often those who can run now are put in another order."""


class Deadlock(AssertionError):
    """Nothing can run, and nothing is going to happen."""


class _Selector(selectors.DefaultSelector):
    def __init__(self, time: FakeTime) -> None:
        super().__init__()
        self._time = time

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            raise Deadlock
        self._time.advance(timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """See above; `clock` is its time, for stores as well."""

    def __init__(self, clock: FakeTime, seed: int) -> None:
        super().__init__(_Selector(clock))
        self.clock = clock
        self._order = random.Random(seed)

    def time(self) -> float:
        return self.clock()

    def _run_once(self) -> None:
        ready: Any = self._ready  # type: ignore[attr-defined]
        if len(ready) > 1 and self._order.random() < _SHUFFLED:
            self._order.shuffle(ready)
        super()._run_once()  # type: ignore[misc]


def run_virtually(main: Coroutine[Any, Any, T], clock: FakeTime, seed: int = 0) -> T:
    """The result of a coroutine, in virtual time."""
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(clock, seed)) as runner:
        return runner.run(main)
