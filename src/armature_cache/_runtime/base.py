"""What threads and event loops do differently, behind one contract."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Shared(Protocol[T_co]):
    """One computation that any number of callers wait for.

    It starts with the first `join`. A caller who is cancelled leaves the others waiting; when
    the last one has left, the computation is cancelled. An error goes to all who wait.
    """

    async def join(self) -> T_co:
        """Wait for the outcome and return or raise it."""
        ...

    @property
    def finished(self) -> bool:
        """Whether there is an outcome, or nobody is left to wait for one."""
        ...


class Later(Protocol):
    """Work that is to run after a while."""

    def take(self) -> bool:
        """Take the work back; False if it has begun."""
        ...


class Runtime(Protocol):
    """How this face waits."""

    blocking: bool

    def shared(self, work: Callable[[], Coroutine[Any, Any, T]]) -> Shared[T]:
        """A computation to be shared by its callers."""
        ...

    def scope(self) -> int:
        """Callers of one scope can wait for one another: an event loop, or a process's threads."""
        ...

    async def call(self, function: Callable[[], T | Awaitable[T]]) -> T:
        """The result of a function that may be a coroutine function."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        ...

    def later(self, seconds: float, work: Callable[[], Coroutine[Any, Any, None]]) -> Later:
        """Run `work` after a while, in the background; an error in it is the work's own affair."""
        ...

    async def gather(self, works: Sequence[Coroutine[Any, Any, T]]) -> list[T | Exception]:
        """The outcomes of several computations, side by side where this face can."""
        ...
