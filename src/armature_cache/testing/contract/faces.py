"""One way to write a test for both faces: every method of a store is awaited.

`Face` awaits what the async face returns and passes on what the sync face returns. Loaders are
written `async` and go through `face.loader`. Under the sync face nothing ever waits on the event
loop, so a thread can drive the same coroutine (`drive`).
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import threading
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")

DEADLINE = 20.0
"""Seconds after which something that must happen did not. No test waits so long when it passes."""


class Face:
    """A store of either face; `store` is the bare one."""

    def __init__(self, store: Any) -> None:
        self.store = store
        self.awaited = store.face == "async"

    def __repr__(self) -> str:
        return repr(self.store)

    def __getattr__(self, name: str) -> Callable[..., Call]:
        method = getattr(self.store, name)
        return lambda *args, **kwargs: Call(functools.partial(method, *args, **kwargs))

    def stats(self) -> Any:
        return self.store.stats()

    def mark(self) -> Any:
        return self.store.mark()

    def namespace(self, name: str) -> Face:
        return Face(self.store.namespace(name))

    async def scan(self, prefix: str = "") -> list[str]:
        keys = self.store.scan(prefix)
        return [key async for key in keys] if self.awaited else list(keys)

    async def close(self) -> None:
        result = self.store.aclose() if self.awaited else self.store.close()
        if self.awaited:
            await result

    async def within(self, work: Callable[[Face], Coroutine[Any, Any, None]]) -> None:
        """Use the store as a context manager around `work`."""
        if self.awaited:
            async with self.store as store:
                await work(Face(store))
        else:
            with self.store as store:
                await work(Face(store))

    def loader(self, load: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Any]:
        """`load` as this face wants its loaders."""
        return load if self.awaited else lambda *args: drive(load(*args))

    def made(self, decorator: Any, function: Callable[..., Coroutine[Any, Any, Any]]) -> Any:
        """A coroutine function as this face wants it, decorated."""
        if self.awaited:
            return decorator(function)

        @functools.wraps(function)
        def plain(*args: Any, **kwargs: Any) -> Any:
            return drive(function(*args, **kwargs))

        return decorator(plain)

    async def run(self, result: Any) -> Any:
        """What a decorated function of either face returned."""
        return await result if inspect.isawaitable(result) else result

    async def elsewhere(self, work: Awaitable[T]) -> T:
        """Do `work` in another context: what it learns and leaves there stays there."""

        async def alone() -> T:
            return await work

        loop = asyncio.get_running_loop()
        return await loop.create_task(alone(), context=contextvars.Context())

    async def together(self, works: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
        """Do all at the same time: tasks under the async face, threads under the sync one."""
        if self.awaited:
            return list(await asyncio.gather(*(work() for work in works)))

        def run(work: Callable[[], Awaitable[T]]) -> T:
            return contextvars.Context().run(drive, work())

        with ThreadPoolExecutor(len(works)) as pool:
            return list(await asyncio.to_thread(lambda: list(pool.map(run, works))))

    def gate(self) -> Gate:
        return Gate(blocking=not self.awaited)


class Gate:
    """Where tasks or threads wait until the test opens it."""

    def __init__(self, *, blocking: bool) -> None:
        self._blocking = blocking
        self._thread = threading.Event()
        self._task = asyncio.Event()

    def open(self) -> None:
        (self._thread if self._blocking else self._task).set()

    async def passed(self) -> None:
        if self._blocking:
            assert self._thread.wait(DEADLINE)
        else:
            async with asyncio.timeout(DEADLINE):
                await self._task.wait()
                for _ in range(10):  # whoever can run, runs before the one who waited here
                    await asyncio.sleep(0)


class Call:
    """A call that is made when it is awaited."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call

    def __await__(self) -> Generator[Any, Any, Any]:
        result = self._call()
        return (yield from result.__await__()) if inspect.isawaitable(result) else result


def drive(work: Awaitable[T]) -> T:
    """The result of what never waits."""
    steps = work.__await__()
    try:
        next(steps)
    except StopIteration as stop:
        result: T = stop.value
        return result
    steps.close()
    raise AssertionError("the sync face waited on an event loop")


async def eventually(check: Callable[[], Awaitable[bool]], what: str) -> None:
    """Wait until `check` holds; fails when that takes improbably long."""
    try:
        async with asyncio.timeout(DEADLINE):
            while not await check():  # noqa: ASYNC110 - nobody tells when a server forgets
                await asyncio.sleep(0.001)
    except TimeoutError:
        raise AssertionError(f"did not happen within {DEADLINE} s: {what}") from None
