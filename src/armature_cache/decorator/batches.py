"""`@cache_batch`: a function of many keys, called with single ones that are gathered."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar, Unpack, overload

from armature_cache._missing import UNSET, Unset
from armature_cache._runtime.ready import run_ready
from armature_cache.decorator.batch_functions import (
    AsyncBatchFunction,
    BatchDecorator,
    BatchDecoratorWith,
    BatchFunction,
)
from armature_cache.decorator.batching import Batching, BatchOptions
from armature_cache.decorator.calls import Calls, check_function, receiver_of
from armature_cache.decorator.conditions import OnResult
from armature_cache.decorator.functions import (
    AsyncCachedFunction,
    CachedClassMethod,
    CachedFunction,
    rooted,
)
from armature_cache.decorator.options import CacheOptions, Scope
from armature_cache.decorator.returns import value_type
from armature_cache.decorator.singles import single
from armature_cache.decorator.store import Store
from armature_cache.decorator.ways import async_call_of, call_of
from armature_cache.errors import ConfigError
from armature_cache.keys import Receiver
from armature_cache.options import TTL, Consistency, check_count, check_seconds
from armature_cache.policy import LoadKeywords

D = TypeVar("D")

_WINDOW_OF_THREADS: Final = 0.002


@overload
def cache_batch(
    *,
    ttl: TTL | Unset = UNSET,
    key: str | None = None,
    tag: str | None = None,
    tags: str | Iterable[str] = (),
    using: Store | None = None,
    ignore: str | Iterable[str] = (),
    type: object = None,
    cache_none: bool = True,
    unless: OnResult | None = None,
    consistency: Consistency | Unset = UNSET,
    scope: Scope = "shared",
    window: float | None = None,
    max_size: int = 1_000,
    **policy: Unpack[LoadKeywords],
) -> BatchDecorator: ...
@overload
def cache_batch(
    *,
    absent: D,
    ttl: TTL | Unset = UNSET,
    key: str | None = None,
    tag: str | None = None,
    tags: str | Iterable[str] = (),
    using: Store | None = None,
    ignore: str | Iterable[str] = (),
    type: object = None,
    cache_none: bool = True,
    unless: OnResult | None = None,
    consistency: Consistency | Unset = UNSET,
    scope: Scope = "shared",
    window: float | None = None,
    max_size: int = 1_000,
    **policy: Unpack[LoadKeywords],
) -> BatchDecoratorWith[D]: ...
def cache_batch(
    *,
    absent: Any = UNSET,
    ttl: TTL | Unset = UNSET,
    key: str | None = None,
    tag: str | None = None,
    tags: str | Iterable[str] = (),
    using: Store | None = None,
    ignore: str | Iterable[str] = (),
    type: object = None,
    cache_none: bool = True,
    unless: OnResult | None = None,
    consistency: Consistency | Unset = UNSET,
    scope: Scope = "shared",
    window: float | None = None,
    max_size: int = 1_000,
    **policy: Unpack[LoadKeywords],
) -> Any:
    """Call a function of many keys with single ones, and cache its values by key.

    `@cache_batch(key="user:{user_id}")` over `async def get_users(user_ids: list[int]) ->
    dict[int, User]` gives a function of one `user_id`: calls that are made at the same time are
    gathered, looked up in one round trip, and answered by one run for those that are missing.
    Every key is loaded once at a time, across processes as a rule. `get_users.many(ids)` takes
    several at once.

    The function takes the list of keys and nothing else but `self` or `cls`, and returns a mapping
    of keys to values, which may be exceptions: those are raised for their keys alone. One that it
    raises is raised for all keys of the run.

    Args:
        absent: What keys get that the function leaves out; it is cached like other values. Default:
            `NotLoaded` is raised for them, each time after a run.
        ttl: As for `cache`.
        key: A key template over one key, named like the parameter without its final s:
            `{user_id}` for `user_ids`. Default: the function's name and the key.
        tag: As for `cache`, over one key.
        tags: As for `cache`, over one key.
        using: As for `cache`.
        ignore: As for `cache`.
        type: What values are decoded to. Default: the value type of the mapping in the return
            annotation.
        cache_none: As for `cache`.
        unless: A condition on a value: where it is true, that value is not stored.
        consistency: As for `cache`.
        scope: As for `cache`; with `"request"`, only calls of one request are gathered.
        window: For how many seconds calls are gathered. Default: one turn of the event loop; for
            plain functions, whose callers are threads that wait, 2 ms.
        max_size: The most keys of one run.
        policy: As for `cache`.

    Raises:
        ConfigError: An option or template does not fit the function, or it takes something else.
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
        when=None,
        unless=unless,
        consistency=consistency,
        scope=scope,
        policy=policy,
    )
    seconds = None if window is None else check_seconds("window", window)
    most = check_count("max_size", max_size)

    def decorate(target: Any) -> Any:
        def batched(function: Any, receiver: Callable[[Any], Receiver | None]) -> Any:
            return _batched(function, options, receiver, absent=absent, window=seconds, most=most)

        if isinstance(target, classmethod):
            return CachedClassMethod(batched(target.__func__, lambda _: "cls"))
        if isinstance(target, staticmethod):
            return staticmethod(batched(target.__func__, lambda _: None))
        return batched(target, receiver_of)

    return decorate


def _batched(
    function: Any,
    options: CacheOptions,
    receiver: Callable[[Any], Receiver | None],
    *,
    absent: object,
    window: float | None,
    most: int,
) -> Any:
    check_function(function)
    if isinstance(function, CachedFunction | AsyncCachedFunction):
        raise ConfigError(f"{function!r} is cached already", field="function")
    on = receiver(function)
    calls = Calls(
        single(function, on, absent),
        options,
        receiver=on,
        returns=lambda one: value_type(one, absent),
    )
    awaited = calls.face == "async"
    if window is None:
        window = 0.0 if awaited else _WINDOW_OF_THREADS
    batching = Batching(calls, function, BatchOptions(window, most, absent))
    kind: Any = AsyncBatchFunction if awaited else BatchFunction
    call: Any
    if awaited:
        call = async_call_of(calls, batching.load, batching.unstored)
    else:
        call = call_of(calls, lambda *args: run_ready(batching.load(*args)), batching.unstored)
    call.batching = batching
    return rooted(calls, call, kind, calls.function)
