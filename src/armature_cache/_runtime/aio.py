"""The runtime of event loops."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Generic, TypeVar, cast

from armature_cache.errors import LoadCancelled

T = TypeVar("T")


class _Task(Generic[T]):
    __slots__ = ("_task", "_waiting", "_work")

    def __init__(self, work: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._work = work
        self._task: asyncio.Task[T] | None = None
        self._waiting = 0

    @property
    def finished(self) -> bool:
        return self._task is not None and (self._task.done() or self._task.cancelling() > 0)

    async def _run(self) -> T:
        try:
            return await self._work()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise LoadCancelled("the loader was cancelled from within") from None

    async def join(self) -> T:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())
        task = self._task
        self._waiting += 1
        try:
            return await asyncio.shield(task)
        finally:
            self._waiting -= 1
            if not self._waiting and not task.done():
                task.cancel()


class _LaterTask:
    __slots__ = ("_handle", "_task", "_work")

    def __init__(self, seconds: float, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._work = work
        self._task: asyncio.Task[None] | None = None
        self._handle = asyncio.get_running_loop().call_later(seconds, self._start)

    def _start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._work())

    def take(self) -> bool:
        self._handle.cancel()
        return self._task is None


class AsyncRuntime:
    """Waits on the running event loop."""

    blocking = False

    def shared(self, work: Callable[[], Coroutine[Any, Any, T]]) -> _Task[T]:
        return _Task(work)

    def scope(self) -> int:
        return id(asyncio.get_running_loop())

    async def call(self, function: Callable[[], T | Awaitable[T]]) -> T:
        result = function()
        if inspect.isawaitable(result):
            return await cast("Awaitable[T]", result)
        return result

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def later(self, seconds: float, work: Callable[[], Coroutine[Any, Any, None]]) -> _LaterTask:
        return _LaterTask(seconds, work)

    async def gather(self, works: Sequence[Coroutine[Any, Any, T]]) -> list[T | Exception]:
        if len(works) == 1:
            try:
                return [await works[0]]
            except Exception as error:  # noqa: BLE001 - an outcome like any other
                return [error]
        outcomes = await asyncio.gather(*works, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException) and not isinstance(outcome, Exception):
                raise outcome
        return cast("list[T | Exception]", outcomes)


ASYNC = AsyncRuntime()


Loop = asyncio.AbstractEventLoop


deadline = asyncio.timeout
"""Raises `TimeoutError` inside its block once so many seconds are over."""


def extend(limit: asyncio.Timeout, seconds: float) -> None:
    """Let a deadline be so many seconds from now."""
    limit.reschedule(asyncio.get_running_loop().time() + seconds)


def running_loop() -> Loop:
    """The running event loop."""
    return asyncio.get_running_loop()
