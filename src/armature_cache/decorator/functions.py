"""Decorated functions: they are called like the original, and know their entries."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Protocol, Self, TypeVar, overload

from armature_cache.decorator.calls import AsyncRun, Calls, FunctionStats, Run
from armature_cache.decorator.scoped import reading
from armature_cache.decorator.ways import async_call_of, call_of
from armature_cache.errors import ConfigError

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)

if TYPE_CHECKING:

    class _Partial(Generic[P, R]):
        __name__: str
        __qualname__: str
        args: tuple[Any, ...]
        func: Any

    class _OfClasses(Protocol[Q, R_co]):
        """A function whose first parameter takes any class: a classmethod."""

        def __call__(self, cls: type[Any], /, *args: Q.args, **kwargs: Q.kwargs) -> R_co: ...

    class _Of(Protocol[T_contra, Q, R_co]):
        """A function whose first parameter takes a `T_contra`: a method of it."""

        def __call__(self, target: T_contra, /, *args: Q.args, **kwargs: Q.kwargs) -> R_co: ...

else:
    _Partial = functools.partial


_new: Any = functools.partial.__new__


class _Doc:
    """The docstring of the class, and of each instance."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __get__(self, instance: _Cached[..., Any] | None, owner: type) -> str | None:
        return self._text if instance is None else instance.func.root.__doc__


class _Cached(_Partial[P, R]):
    """A decorated function, unbound (`args` is empty) or bound to what a method is called on.

    It is a `functools.partial` of a true function: frameworks look into partials to tell
    coroutine functions, and calling one costs less than calling an object with `__call__`.
    """

    __wrapped__: Callable[P, Any]

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        if instance is None or self.args:
            return self
        return _new(self.__class__, self.func, instance)

    def __set_name__(self, owner: type, name: str) -> None:
        own = (owner.__module__, f"{owner.__qualname__}.{name}")
        if own == (self.__module__, self.__qualname__) and not self._calls.has_receiver:
            self._calls.receive("self")

    @property
    def _calls(self) -> Calls:
        calls: Calls = self.func.calls
        return calls

    def _given(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return (*self.args, *args) if self.args else self._calls.complete(args)

    def key_for(self, /, *args: P.args, **kwargs: P.kwargs) -> str:
        """The key of the entry of this call."""
        return self._calls.key(self._given(args), kwargs)

    def tags_for(self, /, *args: P.args, **kwargs: P.kwargs) -> tuple[str, ...]:
        """The tags that the entry of this call has or would get."""
        return self._calls.tags(self._given(args), kwargs)

    def stats(self) -> FunctionStats:
        """The counts of this function, over all instances and stores."""
        return self._calls.stats()

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            root = self.func.root
            if root is self:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            if name == "__signature__":  # a bound one has a parameter less
                raise AttributeError(name)
            if name == "__wrapped__":
                return types.MethodType(root.__wrapped__, self.args[0])
            if name == "__self__":
                return self.args[0]
            return root if name == "__func__" else getattr(root, name)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Cached):
            return NotImplemented
        return self.func is other.func and [*map(id, self.args)] == [*map(id, other.args)]

    def __hash__(self) -> int:
        return hash((self.func, *map(id, self.args)))

    def __repr__(self) -> str:
        bound = f" of {self.args[0]!r}" if self.args else ""
        return f"<{type(self).__name__} {self._calls.name}{bound}>"

    def __reduce__(self) -> Any:
        if self.args:
            return getattr, (self.args[0], self.__name__)
        return self.__qualname__


class CachedFunction(_Cached[P, R]):
    """A plain function whose results are cached."""

    if TYPE_CHECKING:

        @overload
        def __get__(
            self: _OfClasses[Q, R], instance: object, owner: type | None = None
        ) -> CachedFunction[Q, R]: ...
        @overload
        def __get__(self, instance: None, owner: type | None = None) -> Self: ...
        @overload
        def __get__(
            self: _Of[T, Q, R], instance: T, owner: type | None = None
        ) -> CachedFunction[Q, R]: ...
        @overload
        def __get__(self, instance: object, owner: type | None = None) -> Self: ...
        def __get__(self, instance: object, owner: type | None = None) -> Any: ...

        def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R: ...

    def invalidate(self, /, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Delete the entry of exactly this call; whether there was one."""
        given, calls = self._given(args), self._calls
        read = reading(calls, given, kwargs)
        if calls.scope == "request":
            return read is not None and read.forget()
        return bool(calls.store_of(given, kwargs).delete(calls.key(given, kwargs)))

    def refresh(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function, whatever is cached, and cache and return its result."""
        given, calls = self._given(args), self._calls
        read, run = reading(calls, given, kwargs), Run(calls, given, kwargs)
        result: R
        if calls.scope == "request":
            result = run()
        else:
            store, key = calls.store_of(given, kwargs), calls.key(given, kwargs)
            tags = calls.tags(given, kwargs)
            result = store.refresh(key, run, tags=tags, **calls.storing(store))
        if read is not None:
            read.keep(result)
        return result


class AsyncCachedFunction(_Cached[P, R]):
    """A coroutine function whose results are cached."""

    if TYPE_CHECKING:

        @overload
        def __get__(
            self: _OfClasses[Q, Coroutine[Any, Any, R]], instance: object, owner: type | None = None
        ) -> AsyncCachedFunction[Q, R]: ...
        @overload
        def __get__(self, instance: None, owner: type | None = None) -> Self: ...
        @overload
        def __get__(
            self: _Of[T, Q, Coroutine[Any, Any, R]], instance: T, owner: type | None = None
        ) -> AsyncCachedFunction[Q, R]: ...
        @overload
        def __get__(self, instance: object, owner: type | None = None) -> Self: ...
        def __get__(self, instance: object, owner: type | None = None) -> Any: ...

        def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]: ...

    async def invalidate(self, /, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Delete the entry of exactly this call; whether there was one."""
        given, calls = self._given(args), self._calls
        read = reading(calls, given, kwargs)
        if calls.scope == "request":
            return read is not None and read.forget()
        return bool(await calls.store_of(given, kwargs).delete(calls.key(given, kwargs)))

    async def refresh(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function, whatever is cached, and cache and return its result."""
        given, calls = self._given(args), self._calls
        read, run = reading(calls, given, kwargs), AsyncRun(calls, given, kwargs)
        result: R
        if calls.scope == "request":
            result = await run()
        else:
            store, key = calls.store_of(given, kwargs), calls.key(given, kwargs)
            tags = calls.tags(given, kwargs)
            result = await store.refresh(key, run, tags=tags, **calls.storing(store))
        if read is not None:
            read.keep(result)
        return result


class CachedClassMethod(classmethod):  # type: ignore[type-arg]
    """`@cache` above `@classmethod`: binds to the class."""

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        function: Any = self.__func__
        return function.__get__(type(instance) if owner is None else owner)


for _class in (CachedFunction, AsyncCachedFunction):
    _class.__doc__ = _Doc(_class.__doc__ or "")  # type: ignore[assignment]


def cached_function(calls: Calls) -> CachedFunction[..., Any] | AsyncCachedFunction[..., Any]:
    """The function that users call and ask."""
    function = calls.function
    if isinstance(function, _Cached):
        raise ConfigError(f"{calls.name} is cached already", field="function")
    is_async = calls.face == "async"
    call: Any = async_call_of(calls) if is_async else call_of(calls)
    kind: Any = AsyncCachedFunction if is_async else CachedFunction
    return rooted(calls, call, kind, function)  # type: ignore[no-any-return]


def rooted(calls: Calls, call: Any, kind: Any, function: Callable[..., Any]) -> Any:
    """A decorated function of this kind, which is called by `call` and looks like `function`."""
    functools.update_wrapper(call, function)
    root = kind(call)
    functools.update_wrapper(root, function)
    root.__globals__ = getattr(function, "__globals__", {})
    call.calls, call.root = calls, root
    return root
