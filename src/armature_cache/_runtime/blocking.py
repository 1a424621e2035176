"""The runtime of threads: nothing here ever suspends a coroutine."""

from __future__ import annotations

import contextlib
import contextvars
import inspect
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Generic, TypeVar, cast

from armature_cache._runtime.background import crew, pause, start_daemon
from armature_cache._runtime.base import Overdue
from armature_cache._runtime.ready import run_ready
from armature_cache.errors import ConfigError, LoadCancelled

T = TypeVar("T")


class _Turn(Generic[T]):
    __slots__ = ("_apart", "_done", "_error", "_leader", "_result", "_work")

    def __init__(self, work: Callable[[], Coroutine[Any, Any, T]], *, apart: bool) -> None:
        self._work = work
        self._apart = apart
        self._leader = threading.Lock()
        self._done = threading.Event()
        self._result: T | None = None
        self._error: BaseException | None = None

    @property
    def begun(self) -> bool:
        return self._leader.locked()

    @property
    def finished(self) -> bool:
        return self._done.is_set()

    async def join(self, patience: float | None = None) -> T:
        if self._leader.acquire(blocking=False) and not self._sent():
            self._lead()
        if not self._done.wait(patience):
            raise Overdue
        if self._error is not None:
            raise self._error
        return cast("T", self._result)

    def launch(self) -> bool:
        if not self._leader.acquire(blocking=False):
            return True
        self._apart = True
        if self._sent():
            return True
        self._error = LoadCancelled("too many loads are under way in the background")
        self._done.set()
        return False

    def cancel(self) -> None:
        """Nothing: a thread cannot be interrupted."""

    def _sent(self) -> bool:
        """Lead in another thread, in this context, if it is to be apart and there is one."""
        context = contextvars.copy_context()

        def lead() -> None:
            with contextlib.suppress(Exception):  # an error is for those who wait
                context.run(self._lead)

        return self._apart and crew.send("armature-cache-load", lead)

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


class _ThreadSignal:
    __slots__ = ("_event", "give")

    def __init__(self) -> None:
        self._event = threading.Event()
        self.give = self._event.set

    async def wait(self, seconds: float) -> bool:
        return self._event.wait(seconds)


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

    def shared(
        self, work: Callable[[], Coroutine[Any, Any, T]], *, apart: bool = False
    ) -> _Turn[T]:
        return _Turn(work, apart=apart)

    def signal(self) -> _ThreadSignal:
        return _ThreadSignal()

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

    async def offload(self, work: Callable[[], T]) -> T:
        return work()

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
