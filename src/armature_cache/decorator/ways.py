"""The call of a decorated function whose options ask for more than a look into the store."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from armature_cache._missing import MISSING
from armature_cache._runtime.ready import run_ready
from armature_cache.decorator.calls import AsyncRun, Calls, Load, Run
from armature_cache.decorator.hits import async_call, load, load_async, sync_call
from armature_cache.decorator.located import Arguments, Named
from armature_cache.decorator.scoped import Fresh, reading
from armature_cache.decorator.store import Store

Call = Callable[..., Any]
AsyncCall = Callable[..., Coroutine[Any, Any, Any]]


def call_of(calls: Calls, loading: Load = load, unstored: Fresh | None = None) -> Call:
    """The call of a plain function.

    `loading` answers what is not resident, and `unstored` where no store is to be asked.
    """
    calls.load = loading
    call = _strong(calls) if calls.strong else sync_call(calls)
    if calls.scope != "shared":
        call = _scoped(calls, call, unstored or _runs(calls))
    return call if calls.when is None else _conditional(calls, call)


def async_call_of(
    calls: Calls, loading: Load = load_async, unstored: Fresh | None = None
) -> AsyncCall:
    """The call of a coroutine function; see `call_of`."""
    calls.load = loading
    call = _strong_async(calls) if calls.strong else async_call(calls)
    if calls.scope != "shared":
        call = _scoped_async(calls, call, unstored or _runs_async(calls))
    return call if calls.when is None else _conditional_async(calls, call)


# -- strong reads: nothing that is resident will do by itself ---------------------------------


def _strong(calls: Calls) -> Call:
    def call(*args: Any, **kwargs: Any) -> Any:
        store = calls.store_of(args, kwargs)
        return calls.load(calls, store, calls.key(args, kwargs), args, kwargs)

    return call


def _strong_async(calls: Calls) -> AsyncCall:
    async def call(*args: Any, **kwargs: Any) -> Any:
        store = calls.store_of(args, kwargs)
        return await calls.load(calls, store, calls.key(args, kwargs), args, kwargs)

    return call


# -- conditions on arguments ------------------------------------------------------------------


def _conditional(calls: Calls, inner: Call) -> Call:
    def call(*args: Any, **kwargs: Any) -> Any:
        if calls.when is None or calls.when.holds(args, kwargs):
            return inner(*args, **kwargs)
        return calls.function(*args, **kwargs)

    return call


def _conditional_async(calls: Calls, inner: AsyncCall) -> AsyncCall:
    async def call(*args: Any, **kwargs: Any) -> Any:
        if calls.when is None or calls.when.holds(args, kwargs):
            return await inner(*args, **kwargs)
        return await calls.function(*args, **kwargs)

    return call


# -- requests ---------------------------------------------------------------------------------


def _runs(calls: Calls) -> Fresh:
    async def run(_store: Store, _key: str, args: Arguments, kwargs: Named) -> Any:
        return Run(calls, args, kwargs)()

    return run


def _runs_async(calls: Calls) -> Fresh:
    async def run(_store: Store, _key: str, args: Arguments, kwargs: Named) -> Any:
        return await AsyncRun(calls, args, kwargs)()

    return run


def _scoped(calls: Calls, stored: Call, unstored: Fresh) -> Call:
    async def ask(_store: Store, _key: str, args: Arguments, kwargs: Named) -> Any:
        return stored(*args, **kwargs)

    fresh = unstored if calls.scope == "request" else ask

    def call(*args: Any, **kwargs: Any) -> Any:
        read = reading(calls, args, kwargs)
        if read is None and calls.scope == "both":
            return stored(*args, **kwargs)
        if read is None:
            store, key = calls.store_of(args, kwargs), calls.key(args, kwargs)
            return run_ready(unstored(store, key, args, kwargs))
        known = read.known()
        return run_ready(read.value(fresh)) if known is MISSING else known

    return call


def _scoped_async(calls: Calls, stored: AsyncCall, unstored: Fresh) -> AsyncCall:
    async def ask(_store: Store, _key: str, args: Arguments, kwargs: Named) -> Any:
        return await stored(*args, **kwargs)

    fresh = unstored if calls.scope == "request" else ask

    async def call(*args: Any, **kwargs: Any) -> Any:
        read = reading(calls, args, kwargs)
        if read is None and calls.scope == "both":
            return await stored(*args, **kwargs)
        if read is None:
            store, key = calls.store_of(args, kwargs), calls.key(args, kwargs)
            return await unstored(store, key, args, kwargs)
        known = read.known()
        return await read.value(fresh) if known is MISSING else known

    return call
