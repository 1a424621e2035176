"""Nobody tells a process that a file has changed: the listener's thread looks, under traffic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from armature_cache._runtime.background import pause
from armature_cache._runtime.ready import run_ready
from armature_cache.clocks.listener import IDLE, LINGER, Ear
from armature_cache.errors import BackendError
from armature_cache.sqliteio.rows import marks, padded

if TYPE_CHECKING:
    from armature_cache._time import TimeSource
    from armature_cache.clocks.sqlite import SQLiteClock
    from armature_cache.sqliteio.links import Link
    from armature_cache.sqliteio.port import BlockingPort

LOOK_EVERY: Final = 0.01
"""Seconds between two looks at the clock, while there are readers."""
_MOST_AWAITED: Final = 256


class LookingEar(Ear):
    """Looks at the clock, and at the claims that somebody in this process waits for."""

    def __init__(self, clock: SQLiteClock, port: BlockingPort, time: TimeSource) -> None:
        super().__init__(clock, time)
        self._clock: SQLiteClock = clock
        self._port = port

    def attend(self, wanted_at: float) -> None:
        if self._time() - wanted_at > LINGER and not self._clock.replica.in_debt:
            pause(IDLE / 10)
            return
        pause(min(LOOK_EVERY, self._clock.replica.shortest_bound / 4))
        self.sync()
        self._ring()

    def _ring(self) -> None:
        """Wake those who wait for a claim that is no longer there."""
        bells = self._clock.replica.bells
        names = bells.names()[:_MOST_AWAITED]
        if names:
            left = run_ready(self._port.read(lambda link, _: _held(link, names)))
            for name in names:
                if name not in left:
                    bells.ring(name)

    def fails(self, error: Exception) -> bool:
        return isinstance(error, BackendError | OSError)

    def pause(self) -> None:
        """Nothing to let go of: the next look opens the file again."""

    def leave(self) -> None:
        self._port.close_now()


def bell_of(number: int) -> bytes:
    """What rings when the claim of this number has ended."""
    return number.to_bytes(8, "big", signed=True)


def _held(link: Link, names: list[bytes]) -> set[bytes]:
    numbers = [int.from_bytes(name, "big", signed=True) for name in names]
    query = f"SELECT id FROM claims WHERE id IN ({marks(len(numbers))})"
    found = link.connection.execute(query, padded(numbers, len(numbers)))
    return {bell_of(number) for (number,) in found}
