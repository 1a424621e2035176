"""What threads and event loops do differently, behind one contract."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Overdue(Exception):
    """A computation that takes longer than its caller wanted to wait; it goes on."""


class Shared(Protocol[T_co]):
    """One computation that any number of callers wait for.

    It starts with the first `join`, or with `launch`. A caller who is cancelled leaves the others
    waiting; when the last one has left, the computation is cancelled, unless it was launched or
    somebody lost patience with it. An error goes to all who wait.
    """

    async def join(self, patience: float | None = None) -> T_co:
        """Wait for the outcome and return or raise it; `Overdue` after so many seconds."""
        ...

    def launch(self) -> bool:
        """Start it in the background; False where there is no room for that now."""
        ...

    def cancel(self) -> None:
        """Cancel it if it goes on in the background, where this face can."""
        ...

    @property
    def begun(self) -> bool:
        """Whether anybody has started it."""
        ...

    @property
    def finished(self) -> bool:
        """Whether there is an outcome, or nobody is left to wait for one."""
        ...


class Signal(Protocol):
    """Something to wait for, that any thread can give."""

    def give(self) -> None:
        """Wake whoever waits, now or later."""
        ...

    async def wait(self, seconds: float) -> bool:
        """Wait until it is given, for so many seconds at the most; whether it was."""
        ...


class Later(Protocol):
    """Work that is to run after a while."""

    def take(self) -> bool:
        """Take the work back; False if it has begun."""
        ...


class Runtime(Protocol):
    """How this face waits."""

    blocking: bool

    def shared(
        self, work: Callable[[], Coroutine[Any, Any, T]], *, apart: bool = False
    ) -> Shared[T]:
        """A computation to be shared by its callers.

        With `apart` even the one who starts it can lose patience with it.
        """
        ...

    def signal(self) -> Signal:
        """Something to wait for."""
        ...

    def scope(self) -> int:
        """Callers of one scope can wait for one another: an event loop, or a process's threads."""
        ...

    async def call(self, function: Callable[[], T | Awaitable[T]]) -> T:
        """The result of a function that may be a coroutine function."""
        ...

    async def offload(self, work: Callable[[], T]) -> T:
        """The result of work that takes long but does not wait; where that matters, elsewhere."""
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
