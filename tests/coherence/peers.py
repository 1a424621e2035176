"""Another process that uses the same cache, driven from a test."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator, Mapping
from multiprocessing.connection import Connection
from typing import Any

from armature_cache import TaggedCache, TieredCacheConfig, open_cache

BOUND = 0.1


def build(
    url: str,
    namespace: str,
    *,
    hints: bool = True,
    settings: Mapping[str, Any] | None = None,
    **tiers: Any,
) -> TaggedCache:
    """The recommended stack, with hints or without; `settings` are those of the shared store."""
    own = {"operation_timeout": 1.0, **(settings or {})}
    return open_cache(
        url, namespace=namespace, hints=hints, tiers=TieredCacheConfig(**tiers), **own
    )


async def _watch(cache: TaggedCache, key: str, old: object, for_seconds: float) -> list[float]:
    """When reads began that still gave the old value."""
    began: list[float] = []
    end = time.monotonic() + for_seconds
    while (now := time.monotonic()) < end:
        if await cache.get(key) == old:
            began.append(now)
        await asyncio.sleep(0)
    return began


async def _serve(pipe: Connection, url: str, namespace: str, options: dict[str, Any]) -> None:
    loop = asyncio.get_running_loop()
    async with build(url, namespace, **options) as cache:
        while True:
            name, args, kwargs = await loop.run_in_executor(None, pipe.recv)
            if name == "stop":
                return
            if name == "watch":
                pipe.send(None)
                outcome: Any = await _watch(cache, *args)
            elif name == "stats":
                outcome = cache.stats()
            else:
                outcome = await getattr(cache, name)(*args, **kwargs)
            pipe.send((outcome, time.monotonic()))


def _main(pipe: Connection, url: str, namespace: str, options: dict[str, Any]) -> None:
    options.pop("prepare", lambda: None)()
    with contextlib.suppress(EOFError, KeyboardInterrupt):
        asyncio.run(_serve(pipe, url, namespace, options))


class Peer:
    """A process with a cache of its own; every call waits for its answer.

    Options are those of `build`; a function `prepare` is called in the process first.
    """

    def __init__(self, url: str, namespace: str, **options: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_main, args=(theirs, url, namespace, options), daemon=True
        )
        self._process.start()
        theirs.close()

    def __call__(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Call a method of the peer's cache."""
        self._pipe.send((name, args, kwargs))
        return self._answer()

    def watch(self, key: str, old: object, for_seconds: float) -> Iterator[list[float]]:
        """Let the peer read a key in a loop, from the first `next` to the second."""
        self._pipe.send(("watch", (key, old, for_seconds), {}))
        assert self._pipe.recv() is None
        yield []
        yield self._answer()

    def _answer(self) -> Any:
        if not self._pipe.poll(30):
            raise TimeoutError("the peer does not answer")
        outcome, _ = self._pipe.recv()
        return outcome

    def freeze(self) -> None:
        """Stop the process where it is."""
        os.kill(self._pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self._pid, signal.SIGCONT)

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()
        self._process.join()
        self._pipe.close()

    @property
    def _pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def close(self) -> None:
        """End the process."""
        with contextlib.suppress(OSError):
            self._pipe.send(("stop", (), {}))
        self._process.join(5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._pipe.close()
