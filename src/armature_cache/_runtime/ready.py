"""Drives a coroutine that never waits."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run_ready(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that finishes without suspending; else `RuntimeError`."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    coroutine.close()
    raise RuntimeError("a coroutine waited on an event loop under the blocking runtime")
