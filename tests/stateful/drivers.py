"""One way to drive a cache of either face from a state machine, in a context of its own."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Final

from tests.contract.faces import ManualTime

NAMES: Final = ("", "inner")
KEYS: Final = ("a", "b", "c", "n")
TAGS: Final = {"a": ("t", "u"), "b": ("t",), "c": (), "n": ("u",)}


def path_of(space: int, key: str) -> str:
    """A key of a namespace, as the model knows it."""
    return f"{NAMES[space]}/{key}"


def tags_of(space: int, tags: tuple[str, ...]) -> list[str]:
    """Tags of a namespace, as the model knows them."""
    hidden = ["inner/"] if space else []
    return [f"{NAMES[space]}/{tag}" for tag in tags] + hidden


class Driver:
    """A cache and the namespace in it, of either face, with a time of its own.

    Leases stay in the context of this driver.
    """

    def __init__(self, cache: Any, time: ManualTime, runner: asyncio.Runner | None) -> None:
        store = cache.sync() if runner is None and hasattr(cache, "sync") else cache
        self.time = time
        self.awaited = runner is not None
        self.spaces = [store, store.namespace(NAMES[1])]
        self.leases: dict[str, Any] = {}
        self.seen: list[dict[str, object]] = [{}]
        self._runner = runner
        self._context = contextvars.Context()

    def __call__(self, space: int, name: str, *args: Any, **kwargs: Any) -> Any:
        """Call a method, and wait for it as its face wants."""
        method = getattr(self.spaces[space], name)
        if self._runner is None:
            return self._context.run(functools.partial(method, *args, **kwargs))
        return self._runner.run(_awaited(method, args, kwargs), context=self._context)

    def scan(self, space: int) -> list[str]:
        """All keys of a namespace, sorted."""
        store = self.spaces[space]
        if self._runner is None:
            return sorted(store.scan())

        async def collect() -> list[str]:
            return sorted([key async for key in store.scan()])

        return self._runner.run(collect())

    def loader(self, value: object, meanwhile: Callable[[], Any]) -> Callable[[], Any]:
        """A loader that lets something happen between reading and returning."""

        def load() -> object:
            meanwhile()
            return value

        async def load_async() -> object:
            await _finish(meanwhile())
            return value

        return load if self._runner is None else load_async

    def close(self) -> None:
        """End of the cache."""
        self(0, "close" if self._runner is None else "aclose")


async def _awaited(method: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    return await _finish(method(*args, **kwargs))


async def _finish(result: Any) -> Any:
    if isinstance(result, Awaitable) or inspect.isawaitable(result):
        return await result
    return result
