"""`@cache`, with or without options."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from typing import Any, ParamSpec, Protocol, TypeVar, Unpack, overload

from armature_cache._missing import UNSET, Unset
from armature_cache.decorator.calls import Calls, check_function, receiver_of
from armature_cache.decorator.conditions import OnArguments, OnResult
from armature_cache.decorator.functions import (
    AsyncCachedFunction,
    CachedClassMethod,
    CachedFunction,
    cached_function,
)
from armature_cache.decorator.options import CacheOptions, Scope
from armature_cache.decorator.store import Store
from armature_cache.keys import Receiver
from armature_cache.options import TTL, Consistency
from armature_cache.policy import LoadKeywords

P = ParamSpec("P")
R = TypeVar("R")


class CacheDecorator(Protocol):
    """Turns a function into a cached one."""

    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, function: Callable[P, Coroutine[Any, Any, R]], /
    ) -> AsyncCachedFunction[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> CachedFunction[P, R]: ...


@overload
def cache(  # type: ignore[overload-overlap]
    function: Callable[P, Coroutine[Any, Any, R]], /
) -> AsyncCachedFunction[P, R]: ...
@overload
def cache(function: Callable[P, R], /) -> CachedFunction[P, R]: ...
@overload
def cache(
    *,
    ttl: TTL | Unset = UNSET,
    key: str | None = None,
    tag: str | None = None,
    tags: str | Iterable[str] = (),
    using: Store | None = None,
    ignore: str | Iterable[str] = (),
    type: object = None,
    cache_none: bool = True,
    when: OnArguments | None = None,
    unless: OnResult | None = None,
    consistency: Consistency | Unset = UNSET,
    scope: Scope = "shared",
    **policy: Unpack[LoadKeywords],
) -> CacheDecorator: ...
def cache(
    function: Any = None,
    /,
    *,
    ttl: TTL | Unset = UNSET,
    key: str | None = None,
    tag: str | None = None,
    tags: str | Iterable[str] = (),
    using: Store | None = None,
    ignore: str | Iterable[str] = (),
    type: object = None,
    cache_none: bool = True,
    when: OnArguments | None = None,
    unless: OnResult | None = None,
    consistency: Consistency | Unset = UNSET,
    scope: Scope = "shared",
    **policy: Unpack[LoadKeywords],
) -> Any:
    """Cache what a function returns: `@cache`, or `@cache(ttl=300, key="user:{user_id}")`.

    Plain functions, coroutine functions, methods, classmethods and staticmethods are decorated
    alike, in either order. An exception is never cached; `None` is, unless `cache_none` is False.

    Args:
        function: The function, when there are no options.
        ttl: Lifetime in seconds, or a `timedelta`; None is no expiry. Default: the store's.
        key: A key template such as `"user:{user_id}"`, `"user:{user.id}"` or `"user:{}"`; see
            `Template` for what is escaped. Default: the function's name and its arguments, typed.
        tag: One tag template, such as `"users"` or `"user:{user_id}"`.
        tags: One or more of them, in addition. The store must support tags.
        using: The store. Default: the attribute `cache` of what a method is called on, if that is
            a store; else that of `set_default_cache`; else one of this process.
        ignore: Names of arguments (and closure variables) that stay out of the key.
        type: What the result is decoded to, where it is stored as bytes. Default: the return
            annotation, if its names can be found.
        cache_none: Whether a result of `None` is cached.
        when: A condition on the arguments, such as `lambda user_id: user_id > 0`, which takes those
            that it names. Where it is false, the function is simply called.
        unless: A condition on the result: where it is true, the result is not stored.
        consistency: That of reads: `"strong"` asks the shared store at each call. Default: the
            store's.
        scope: `"request"` keeps results for the `request_scope()` under way and stores nothing;
            `"both"` keeps them there as well, so that a request sees the same value throughout.
        policy: The fields of `LoadPolicy`, such as `stale_for=3600` or `jitter=0.1`. Default: the
            store's policy.

    Raises:
        ConfigError: An option or template does not fit the function, or the store is of the other
            face. With a default store this shows at the first call.
        InvalidTTL: `ttl` is not a lifetime.
        InvalidTag: A tag without fields is not a tag.

    A call raises `CacheKeyError` for an argument that has no stable key, such as a session.
    """
    options = CacheOptions.checked(
        ttl=ttl,
        key=key,
        tag=tag,
        tags=tags,
        using=using,
        ignore=ignore,
        type=type,
        cache_none=cache_none,
        when=when,
        unless=unless,
        consistency=consistency,
        scope=scope,
        policy=policy,
    )
    if function is None:
        return lambda target: _decorated(target, options)
    return _decorated(function, options)


def cached(
    store: Store,
    *,
    ttl: TTL | Unset = UNSET,
    key: str | None = None,
    tag: str | None = None,
    tags: str | Iterable[str] = (),
    ignore: str | Iterable[str] = (),
    type: object = None,
    cache_none: bool = True,
    when: OnArguments | None = None,
    unless: OnResult | None = None,
    consistency: Consistency | Unset = UNSET,
    scope: Scope = "shared",
    **policy: Unpack[LoadKeywords],
) -> CacheDecorator:
    """`cache` with the store given; see there."""
    return cache(
        ttl=ttl,
        key=key,
        tag=tag,
        tags=tags,
        using=store,
        ignore=ignore,
        type=type,
        cache_none=cache_none,
        when=when,
        unless=unless,
        consistency=consistency,
        scope=scope,
        **policy,
    )


def _decorated(target: Any, options: CacheOptions) -> Any:
    if isinstance(target, classmethod):
        return CachedClassMethod(_cached(target.__func__, options, lambda _: "cls"))
    if isinstance(target, staticmethod):
        return staticmethod(_cached(target.__func__, options, lambda _: None))
    return _cached(target, options, receiver_of)


def _cached(
    function: Any, options: CacheOptions, receiver: Callable[[Any], Receiver | None]
) -> Any:
    check_function(function)
    return cached_function(Calls(function, options, receiver=receiver(function)))
