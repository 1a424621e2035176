"""Functions that write to the source: what their calls do to the cache, before and after."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

from armature_cache._runtime.ready import run_ready
from armature_cache.decorator.calls import check_function, face_of_function, receiver_of
from armature_cache.decorator.conditions import ArgumentTest, OnArguments
from armature_cache.decorator.functions import AsyncCachedFunction, CachedFunction
from armature_cache.decorator.located import Arguments, Located, Named
from armature_cache.decorator.names import RESULT, Bound, Target
from armature_cache.decorator.store import Store
from armature_cache.errors import BackendError, ConfigError, InvalidationError
from armature_cache.keys import Receiver
from armature_cache.keys.binding import Parameters
from armature_cache.keys.origin import Origin
from armature_cache.stores.primitives import logger

F = TypeVar("F")


class Write(ABC):
    """What one call of a writing function does to the cache."""

    @abstractmethod
    async def before(self) -> None:
        """What is done before the function runs."""

    @abstractmethod
    async def after(self, result: Any) -> None:
        """What is done when it has returned."""

    @abstractmethod
    async def failed(self) -> None:
        """What is done when it has raised."""


class Writer(Located, ABC):
    """What all calls of one writing function do to the cache."""

    __slots__ = ("_strict", "_when", "parameters")

    def __init__(
        self,
        function: Callable[..., Any],
        receiver: Receiver | None,
        using: Store | None,
        *,
        when: OnArguments | None,
        strict: bool,
    ) -> None:
        self._strict = strict
        self.parameters = Parameters(function, has_receiver=receiver is not None)
        self._when = None if when is None else ArgumentTest(when, self.parameters)
        super().__init__(Origin(function).place, face_of_function(function), using)
        self.find_by(receiver, self.parameters.receiver)

    @abstractmethod
    def begin(self, args: Arguments, kwargs: Named) -> Write | None:
        """A call; None for one that is no concern of the cache.

        Raises `CacheKeyError` for arguments that make no key or tag, before anything is written.
        """

    def concerns(self, args: Arguments, kwargs: Named) -> bool:
        """Whether a call is a concern of the cache."""
        return self._when is None or self._when.holds(args, kwargs)

    def with_result(self, bound: Bound, result: object) -> Bound:
        """The arguments and the result, for templates; a parameter of that name comes first."""
        return {RESULT: result, **bound}

    async def attempt(
        self, work: Coroutine[Any, Any, None], *, returned: bool = True, silent: bool = False
    ) -> None:
        """Do something to the cache; what the function does, or did, does not fail with it.

        What was not acknowledged stays queued, and is raised where that was asked for.
        """
        try:
            await work
        except Exception as error:
            if returned and not silent:
                error.add_note("The function itself has returned.")
            unreached = isinstance(error, InvalidationError | BackendError)
            if not unreached or (self._strict and not silent):
                raise
            logger.error("%s: the cache did not acknowledge: %s", self.name, error)

    def check_target(self, target: Target) -> None:
        """Refuse a cached function of the other face."""
        if target.calls.face != self.face:
            raise ConfigError(
                f"{self.name}: {target.calls.name} is of the other face (plain function, coroutine "
                "function); give a key template or a tag",
                field="key",
            )

    def check_moments(self, field: str, *, early: bool, late: bool) -> None:
        """Refuse templates that need the result where there is none yet."""
        if early and late:
            raise ConfigError(
                f"{self.name}: {field}=True goes with no {{{RESULT}}}: there is none yet",
                field=field,
            )


Make = Callable[[Callable[..., Any], "Receiver | None"], Writer]


class WriteDecorator(Protocol):
    """Turns a function that writes into one that tells the cache; its type stays the same."""

    def __call__(self, function: F, /) -> F: ...


def write_decorator(make: Make) -> WriteDecorator:
    """What decorates functions, methods, classmethods and staticmethods with such writers."""

    def decorate(target: F, /) -> F:
        found: Any = target
        if isinstance(found, classmethod):
            return classmethod(_wrapped(found.__func__, make, lambda _: "cls"))  # type: ignore[return-value]
        if isinstance(found, staticmethod):
            return staticmethod(_wrapped(found.__func__, make, lambda _: None))  # type: ignore[return-value]
        return _wrapped(found, make, receiver_of)  # type: ignore[no-any-return]

    return decorate


def _wrapped(
    function: Any,
    make: Make,
    receiver: Callable[[Any], Receiver | None],
) -> Any:
    check_function(function)
    if isinstance(function, CachedFunction | AsyncCachedFunction):
        raise ConfigError(
            f"{function!r} is cached and does not always run: decorate a function that writes",
            field="function",
        )
    writer = make(function, receiver(function))
    wrapped = _awaiting(function, writer) if writer.face == "async" else _calling(function, writer)
    return functools.update_wrapper(wrapped, function)


def _awaiting(function: Callable[..., Any], writer: Writer) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> Any:
        write = writer.begin(args, kwargs)
        if write is None:
            return await function(*args, **kwargs)
        await write.before()
        try:
            result = await function(*args, **kwargs)
        except GeneratorExit:  # nothing can be awaited in a coroutine that is being closed
            raise
        except BaseException:
            await write.failed()
            raise
        await write.after(result)
        return result

    return call


def _calling(function: Callable[..., Any], writer: Writer) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        write = writer.begin(args, kwargs)
        if write is None:
            return function(*args, **kwargs)
        run_ready(write.before())
        try:
            result = function(*args, **kwargs)
        except BaseException:
            run_ready(write.failed())
            raise
        run_ready(write.after(result))
        return result

    return call
