"""Background threads: daemons that end by themselves."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
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


class Errands:
    """Words that one daemon thread works off in turn; it ends when there were none for a while.

    `work` is called in that thread, takes them with `next` and comes back when that gives None. At
    most `most` words wait; what comes beyond is dropped, and so is all after an error of `work`.
    """

    def __init__(self, name: str, work: Callable[[Errands], None], *, most: int) -> None:
        self.closed = False
        self._name, self._work, self._most = name, work, most
        self._begin()
        _forking.register(self)

    def _begin(self) -> None:
        self._change = threading.Condition()
        self._waiting: dict[str, None] = {}
        self._at_work = False

    def fork_locks(self) -> tuple[_forking.Lock, ...]:
        """What may not be held while the process forks."""
        return (self._change,)

    def after_fork(self) -> None:
        """The thread did not follow into the child; its errands are its parent's."""
        self._begin()

    def give(self, words: Iterable[str]) -> None:
        """Have these worked off; one that waits already is not doubled."""
        with self._change:
            if self.closed:
                return
            for word in words:
                if len(self._waiting) < self._most:
                    self._waiting.setdefault(word)
            if self._at_work:
                self._change.notify()
                return
            self._at_work = begins = bool(self._waiting)
        if begins:
            start_daemon(self._name, self._run)

    def close(self) -> None:
        """No more."""
        with self._change:
            self.closed = True
            self._waiting.clear()
            self._change.notify()

    def next(self, patience: float) -> str | None:
        """The next word, waiting so many seconds for it; None ends the thread."""
        with self._change:
            if not self._waiting and not self.closed:
                self._change.wait(patience)
            if self._waiting:
                word = next(iter(self._waiting))
                del self._waiting[word]
                return word
            self._at_work = False
            return None

    def _run(self) -> None:
        try:
            self._work(self)
        except BaseException:
            with self._change:
                self._waiting.clear()
                self._at_work = False
            raise


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
