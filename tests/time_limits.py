"""Ends a test that hangs, where it hangs.

pytest-timeout alone raises out of the event loop, and leaves the test's coroutine waiting in it:
the teardown of an async fixture then queues behind that coroutine for ever. So a coroutine is
cancelled from inside, a little earlier. A teardown that still hangs ends its process, after every
thread's stack: xdist reports the test and starts another worker.
"""

from __future__ import annotations

import asyncio
import faulthandler
import functools
import inspect
from collections.abc import Awaitable, Callable, Iterator

import pytest
from _pytest.faulthandler import fault_handler_stderr_fd_key

EARLIER = 10.0
TEARDOWN = 120.0


def pytest_runtest_call(item: pytest.Item) -> None:
    if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
        item.obj = _within(_limit_of(item) - EARLIER, item.obj)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    # Not pytest's own such watch, which ends with the failure of a test. Its file is not captured.
    output = item.config.stash[fault_handler_stderr_fd_key]
    faulthandler.dump_traceback_later(TEARDOWN, exit=True, file=output)
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


def _limit_of(item: pytest.Item) -> float:
    marker = item.get_closest_marker("timeout")
    return float(marker.args[0] if marker else item.config.getini("timeout"))


def _within(seconds: float, test: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    @functools.wraps(test)
    async def bounded(*args: object, **kwargs: object) -> None:
        async with asyncio.timeout(seconds):
            await test(*args, **kwargs)

    return bounded
