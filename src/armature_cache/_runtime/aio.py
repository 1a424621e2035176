"""The runtime of event loops."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from typing import Any, Generic, TypeVar, cast

from armature_cache._runtime.base import Overdue
from armature_cache._runtime.offloading import run_elsewhere
from armature_cache._runtime.ready import run_ready
from armature_cache.errors import LoadCancelled

T = TypeVar("T")


class _Task(Generic[T]):
    __slots__ = ("_kept", "_task", "_waiting", "_work")

    def __init__(self, work: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._work = work
        self._task: asyncio.Task[T] | None = None
        self._waiting = 0
        self._kept = False

    @property
    def begun(self) -> bool:
        return self._task is not None

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

    def _started(self) -> asyncio.Task[T]:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())
        return self._task

    async def join(self, patience: float | None = None) -> T:
        task = self._started()
        self._waiting += 1
        try:
            if patience is None:
                return await asyncio.shield(task)
            await asyncio.wait((task,), timeout=patience)
            if not task.done():
                self._keep(task)
                raise Overdue
            return task.result()
        finally:
            self._waiting -= 1
            if not self._waiting and not self._kept and not task.done():
                task.cancel()

    def launch(self) -> bool:
        self._keep(self._started())
        return True

    def _keep(self, task: asyncio.Task[T]) -> None:
        if not self._kept:
            self._kept = True
            _background.add(task)
            task.add_done_callback(_ended)

    def cancel(self) -> None:
        if self._task is not None and self._kept:
            self._task.cancel()


_background: set[asyncio.Task[Any]] = set()
"""Tasks that nobody waits for: a loop keeps no strong reference to them."""


def _ended(task: asyncio.Task[Any]) -> None:
    _background.discard(task)
    if not task.cancelled():
        task.exception()


class _LoopSignal:
    __slots__ = ("_future", "_loop")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._future: asyncio.Future[None] = self._loop.create_future()

    def give(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            self._loop.call_soon_threadsafe(self._set)

    def _set(self) -> None:
        if not self._future.done():
            self._future.set_result(None)

    async def wait(self, seconds: float) -> bool:
        await asyncio.wait((self._future,), timeout=seconds)
        return self._future.done()


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

    def shared(
        self, work: Callable[[], Coroutine[Any, Any, T]], *, apart: bool = False
    ) -> _Task[T]:
        return _Task(work)

    def signal(self) -> _LoopSignal:
        return _LoopSignal()

    def scope(self) -> int:
        return id(asyncio.get_running_loop())

    async def call(self, function: Callable[[], T | Awaitable[T]]) -> T:
        result = function()
        if inspect.isawaitable(result):
            return await cast("Awaitable[T]", result)
        return result

    async def offload(self, work: Callable[[], T]) -> T:
        return await run_elsewhere(work)

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


Limit = asyncio.Timeout
"""A deadline that was set."""


def extend(limit: Limit, seconds: float) -> None:
    """Let a deadline be so many seconds from now, unless it is over: the next wait ends then."""
    if not limit.expired():
        limit.reschedule(asyncio.get_running_loop().time() + seconds)


def running_loop() -> Loop:
    """The running event loop."""
    return asyncio.get_running_loop()


class LoopEnd:
    """Calls `close` once, as the running loop ends; or before, when told to or dropped.

    A loop that ends in order (`asyncio.run` and all that do as it does) finishes its asynchronous
    generators while it can still close connections: what it would leave open, nobody can close
    after.
    """

    __slots__ = ("_held",)

    def __init__(self, close: Callable[[], Awaitable[None]]) -> None:
        self._held = _hold(close)
        run_ready(anext(self._held))

    async def now(self) -> None:
        """Do not wait for the end of the loop."""
        await self._held.aclose()


async def _hold(close: Callable[[], Awaitable[None]]) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        await close()
