"""Work that would hold up an event loop, done by a few threads of our own."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

from armature_cache import _forking

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

T = TypeVar("T")

_MOST_THREADS: Final = 4
_MOST_WAITING: Final = 8


class _Threads:
    """Threads of this process for one kind of work, started when they are needed.

    Not asyncio's default ones: those may all be waiting for what an event loop is to give them.
    """

    def __init__(self, name: str, most: int) -> None:
        self._name = name
        self._most = most
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        _forking.register(self)

    def fork_locks(self) -> tuple[_forking.Lock, ...]:
        """What may not be held while the process forks."""
        return (self._lock,)

    def after_fork(self) -> None:
        """A child starts threads of its own."""
        self._pool = None

    def pool(self) -> ThreadPoolExecutor:
        """The threads, which are started one by one."""
        from concurrent.futures import ThreadPoolExecutor

        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._most, f"armature-cache-{self._name}")
            return self._pool


_workers: Final = _Threads("work", min(_MOST_THREADS, os.cpu_count() or 1))
_waiters: Final = _Threads("files", _MOST_WAITING)


async def run_elsewhere(work: Callable[[], T]) -> T:
    """The result of work of the processor, done by another thread."""
    return await _run(_workers, work)


async def wait_elsewhere(work: Callable[[], T]) -> T:
    """The result of work that may have to wait for a file, done by another thread."""
    return await _run(_waiters, work)


async def _run(threads: _Threads, work: Callable[[], T]) -> T:
    """The result of `work`; done here, once the interpreter is ending."""
    try:
        pending = asyncio.get_running_loop().run_in_executor(threads.pool(), work)
    except RuntimeError:
        return work()
    return await pending
