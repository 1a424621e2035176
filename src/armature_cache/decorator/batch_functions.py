"""Decorated functions of many keys: they are called with single ones, and know their entries."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Generic, Protocol, Self, TypeVar, overload

from armature_cache._runtime.ready import run_ready
from armature_cache.decorator.functions import AsyncCachedFunction, CachedFunction

K = TypeVar("K")
V = TypeVar("V")
S = TypeVar("S")
D_co = TypeVar("D_co", covariant=True)


class BatchFunction(CachedFunction[[K], V], Generic[K, V]):
    """A function of many keys that is called with single ones; values are cached."""

    if TYPE_CHECKING:

        def many(self, keys: Iterable[K], /) -> dict[K, V]: ...

        def invalidate_many(self, keys: Iterable[K], /) -> int: ...

    else:

        def many(self, /, *args: Any) -> dict[Any, Any]:
            """The values of several keys, from the cache or by a run for what is missing.

            Keys that have none are left out. Raises `PartialLoadError`, which has the other values,
            where some could not be loaded.
            """
            *receiver, keys = self._given(args)
            return run_ready(self.func.batching.many(tuple(receiver), keys))

        def invalidate_many(self, /, *args: Any) -> int:
            """Delete the entries of several keys in one round trip; how many there were."""
            *receiver, keys = self._given(args)
            return run_ready(self.func.batching.invalidate(tuple(receiver), keys))


class AsyncBatchFunction(AsyncCachedFunction[[K], V], Generic[K, V]):
    """A coroutine function of many keys that is called with single ones; values are cached."""

    if TYPE_CHECKING:

        async def many(self, keys: Iterable[K], /) -> dict[K, V]: ...

        async def invalidate_many(self, keys: Iterable[K], /) -> int: ...

    else:

        async def many(self, /, *args: Any) -> dict[Any, Any]:
            """The values of several keys, from the cache or by a run for what is missing.

            Keys that have none are left out. Raises `PartialLoadError`, which has the other values,
            where some could not be loaded.
            """
            *receiver, keys = self._given(args)
            return await self.func.batching.many(tuple(receiver), keys)

        async def invalidate_many(self, /, *args: Any) -> int:
            """Delete the entries of several keys in one round trip; how many there were."""
            *receiver, keys = self._given(args)
            return await self.func.batching.invalidate(tuple(receiver), keys)


if TYPE_CHECKING:

    class BatchMethod(CachedFunction[[S, K], V], Generic[S, K, V]):
        """A `BatchFunction` that is called on something."""

        @overload  # type: ignore[override]
        def __get__(
            self: BatchMethod[type[Any], K, V], instance: object, owner: type[Any] | None = None
        ) -> BatchFunction[K, V]: ...
        @overload
        def __get__(self, instance: None, owner: type[Any] | None = None) -> Self: ...
        @overload
        def __get__(self, instance: S, owner: type[Any] | None = None) -> BatchFunction[K, V]: ...
        def __get__(self, instance: object, owner: type[Any] | None = None) -> Any: ...

        def many(self, receiver: S, keys: Iterable[K], /) -> dict[K, V]: ...

        def invalidate_many(self, receiver: S, keys: Iterable[K], /) -> int: ...

    class AsyncBatchMethod(AsyncCachedFunction[[S, K], V], Generic[S, K, V]):
        """An `AsyncBatchFunction` that is called on something."""

        @overload  # type: ignore[override]
        def __get__(
            self: AsyncBatchMethod[type[Any], K, V],
            instance: object,
            owner: type[Any] | None = None,
        ) -> AsyncBatchFunction[K, V]: ...
        @overload
        def __get__(self, instance: None, owner: type[Any] | None = None) -> Self: ...
        @overload
        def __get__(
            self, instance: S, owner: type[Any] | None = None
        ) -> AsyncBatchFunction[K, V]: ...
        def __get__(self, instance: object, owner: type[Any] | None = None) -> Any: ...

        async def many(self, receiver: S, keys: Iterable[K], /) -> dict[K, V]: ...

        async def invalidate_many(self, receiver: S, keys: Iterable[K], /) -> int: ...


class BatchDecorator(Protocol):
    """Turns a function of many keys into one that is called with single ones."""

    @overload
    def __call__(
        self, function: Callable[[list[K]], Coroutine[Any, Any, Mapping[K, V | Exception]]], /
    ) -> AsyncBatchFunction[K, V]: ...
    @overload
    def __call__(
        self, function: Callable[[list[K]], Mapping[K, V | Exception]], /
    ) -> BatchFunction[K, V]: ...
    @overload
    def __call__(
        self, function: Callable[[S, list[K]], Coroutine[Any, Any, Mapping[K, V | Exception]]], /
    ) -> AsyncBatchMethod[S, K, V]: ...
    @overload
    def __call__(
        self, function: Callable[[S, list[K]], Mapping[K, V | Exception]], /
    ) -> BatchMethod[S, K, V]: ...


class BatchDecoratorWith(Protocol[D_co]):
    """The same, where keys that the function leaves out have a value, too."""

    @overload
    def __call__(
        self, function: Callable[[list[K]], Coroutine[Any, Any, Mapping[K, V | Exception]]], /
    ) -> AsyncBatchFunction[K, V | D_co]: ...
    @overload
    def __call__(
        self, function: Callable[[list[K]], Mapping[K, V | Exception]], /
    ) -> BatchFunction[K, V | D_co]: ...
    @overload
    def __call__(
        self, function: Callable[[S, list[K]], Coroutine[Any, Any, Mapping[K, V | Exception]]], /
    ) -> AsyncBatchMethod[S, K, V | D_co]: ...
    @overload
    def __call__(
        self, function: Callable[[S, list[K]], Mapping[K, V | Exception]], /
    ) -> BatchMethod[S, K, V | D_co]: ...
