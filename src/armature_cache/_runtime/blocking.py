"""The runtime of threads: nothing here ever suspends a coroutine."""

from __future__ import annotations

import inspect
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Generic, TypeVar, cast

from armature_cache._runtime.background import pause, start_daemon
from armature_cache._runtime.ready import run_ready
from armature_cache.errors import ConfigError, LoadCancelled

T = TypeVar("T")


class _Turn(Generic[T]):
    __slots__ = ("_done", "_error", "_leader", "_result", "_work")

    def __init__(self, work: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._work = work
        self._leader = threading.Lock()
        self._done = threading.Event()
        self._result: T | None = None
        self._error: BaseException | None = None

    @property
    def finished(self) -> bool:
        return self._done.is_set()

    async def join(self) -> T:
        if self._leader.acquire(blocking=False):
            self._lead()
        else:
            self._done.wait()
        if self._error is not None:
            raise self._error
        return cast("T", self._result)

    def _lead(self) -> None:
        try:
            self._result = run_ready(self._work())
        except BaseException as error:
            self._error = error
            if not isinstance(error, Exception):
                self._error = LoadCancelled("the thread that was loading was interrupted")
                raise
        finally:
            self._done.set()


class _LaterThread:
    __slots__ = ("_begun", "_taken", "_work")

    def __init__(self, seconds: float, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._work = work
        self._begun = threading.Lock()
        self._taken = threading.Event()
        start_daemon("armature-cache-later", lambda: self._wait(seconds))

    def _wait(self, seconds: float) -> None:
        self._taken.wait(seconds)
        if self._begun.acquire(blocking=False):
            run_ready(self._work())

    def take(self) -> bool:
        taken = self._begun.acquire(blocking=False)
        self._taken.set()
        return taken


class BlockingRuntime:
    """Waits by blocking the calling thread."""

    blocking = True

    def shared(self, work: Callable[[], Coroutine[Any, Any, T]]) -> _Turn[T]:
        return _Turn(work)

    def scope(self) -> int:
        return os.getpid()

    async def call(self, function: Callable[[], T | Awaitable[T]]) -> T:
        result = function()
        if inspect.isawaitable(result):
            if inspect.iscoroutine(result):
                result.close()
            raise ConfigError(
                "a coroutine function was given as the loader of a sync store; use the store of "
                "armature_cache itself, whose methods are awaited",
                field="loader",
            )
        return result

    async def sleep(self, seconds: float) -> None:
        pause(seconds)

    def later(self, seconds: float, work: Callable[[], Coroutine[Any, Any, None]]) -> _LaterThread:
        return _LaterThread(seconds, work)

    async def gather(self, works: Sequence[Coroutine[Any, Any, T]]) -> list[T | Exception]:
        outcomes: list[T | Exception] = []
        for work in works:
            try:
                outcomes.append(run_ready(work))
            except Exception as error:  # noqa: BLE001 - an outcome like any other
                outcomes.append(error)
        return outcomes


BLOCKING = BlockingRuntime()
