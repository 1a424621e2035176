"""Background threads: daemons that end by themselves."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from armature_cache import _forking

MOST_AT_WORK: Final = 64
"""Threads that a crew has at work at the most."""


def start_daemon(name: str, target: Callable[[], None]) -> threading.Thread:
    """Start a thread that never keeps the process alive."""
    thread = threading.Thread(target=target, name=name, daemon=True)
    thread.start()
    return thread


def pause(seconds: float) -> None:
    """Let a background thread rest."""
    time.sleep(seconds)


class Crew:
    """Daemon threads for single tasks, of which only so many are at work at a time."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._at_work = 0
        self._lock = threading.Lock()
        _forking.register(self)

    def fork_locks(self) -> tuple[_forking.Lock, ...]:
        """What may not be held while the process forks."""
        return (self._lock,)

    def after_fork(self) -> None:
        """The threads did not follow into the child."""
        self._at_work = 0

    def send(self, name: str, task: Callable[[], None]) -> bool:
        """Do a task in a thread of its own; False if all are at work."""
        with self._lock:
            if self._at_work >= self._most:
                return False
            self._at_work += 1

        def work() -> None:
            try:
                task()
            finally:
                with self._lock:
                    self._at_work -= 1

        start_daemon(name, work)
        return True


crew: Final = Crew(MOST_AT_WORK)
"""Those of this process."""
