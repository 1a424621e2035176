"""Gathering: what many tasks ask for at the same time is done together."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final, Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

MOST_AT_ONCE: Final = 256
"""Requests that are done together at the most."""
UNDER_WAY: Final = 2
"""Rounds that may be under way side by side, if not told otherwise."""


class Gatherer(Generic[T, R]):
    """Does requests in rounds, on one event loop.

    A request that finds a free place is done at once and by itself, so that nothing is added to
    the time of a lone one. Those that come while all places are taken are done together in the
    next round. After a round of several, the next one waits for whatever else is asked for in its
    turn of the loop. A caller who is cancelled leaves the others of his round alone. With `whole` a
    place is taken until what was begun in it has ended, even if its only caller is cancelled.
    """

    def __init__(
        self,
        do: Callable[[Sequence[T]], Awaitable[Sequence[R]]],
        *,
        most: int = UNDER_WAY,
        whole: bool = False,
    ) -> None:
        self._do = do
        self._most = most
        self._whole = whole
        self._under_way = 0
        self._crowded = False
        self._due = False
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._rounds: set[asyncio.Task[None]] = set()

    async def ask(self, request: T) -> R:
        """The result of a request."""
        free = self._under_way < self._most and not self._waiting
        if free and not (self._whole or self._crowded):
            self._under_way += 1
            try:
                return (await self._do([request]))[0]
            finally:
                self._done()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()
        self._waiting.append((request, future))
        if free and self._crowded:
            self._due = True
            loop.call_soon(self._begin)
        elif free:
            self._begin()
        return await future

    def _done(self) -> None:
        self._under_way -= 1
        if self._waiting and not self._due:
            self._begin()

    def _begin(self) -> None:
        self._due = False
        batch = self._take()
        if batch:
            self._crowded = len(batch) > 1
            self._under_way += 1
            task = asyncio.get_running_loop().create_task(self._round(batch))
            self._rounds.add(task)
            task.add_done_callback(self._rounds.discard)

    def _take(self) -> list[tuple[T, asyncio.Future[R]]]:
        batch = [pair for pair in self._waiting if not pair[1].done()]
        self._waiting = batch[MOST_AT_ONCE:]
        return batch[:MOST_AT_ONCE]

    async def _round(self, batch: list[tuple[T, asyncio.Future[R]]]) -> None:
        try:
            results = await self._do([request for request, _ in batch])
        except BaseException as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
                    future.exception()
            if not isinstance(error, Exception):
                raise
        else:
            for (_, future), result in zip(batch, results, strict=True):
                if not future.done():
                    future.set_result(result)
        finally:
            self._done()


class LoopGatherer(Generic[T, R]):
    """A gatherer for each event loop."""

    def __init__(self, do: Callable[[Sequence[T]], Awaitable[Sequence[R]]]) -> None:
        self._do = do
        self._loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Gatherer[T, R]] = (
            weakref.WeakKeyDictionary()
        )

    def ask(self, request: T) -> Coroutine[Any, Any, R]:
        """The result of a request, done on the running loop."""
        loop = asyncio.get_running_loop()
        gatherer = self._loops.get(loop)
        if gatherer is None:
            gatherer = self._loops[loop] = Gatherer(self._do)
        return gatherer.ask(request)
