"""The call of a decorated function; what is done on a hit is done here, once for each face."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from armature_cache.decorator.calls import AsyncRun, Calls, Run
from armature_cache.decorator.located import NONE, Arguments, Named
from armature_cache.decorator.store import Store
from armature_cache.keys import PLAIN

_Known = tuple[Store | None, int, type | None]
"""A store, and the type id and class of a value of it that was found to fit."""

_NOTHING: _Known = (None, 0, None)


def sync_call(calls: Calls) -> Callable[..., Any]:  # noqa: C901 - a hit, written out
    """The call of a plain function."""
    known = _NOTHING

    def call(  # noqa: C901
        first: Any = NONE, second: Any = NONE, /, *rest: Any, **kwargs: Any
    ) -> Any:
        nonlocal known
        store = calls.slot.store
        if store is None:
            store = calls.locate(first, kwargs)
        key = None
        if second is NONE:
            plain = calls.plain_of_one
            if plain is not None and not kwargs and type(first) in PLAIN:
                key = plain.get(first)
        elif calls.plain is not None and not rest and not kwargs and type(second) in PLAIN:
            if calls.has_receiver:
                key = calls.plain.get(second)
            elif type(first) in PLAIN:
                key = calls.plain.get((first, second))
        if key is None:
            key = calls.key(_arguments(first, second, rest), kwargs)
        entry = store._peek(key)
        if entry is not None:
            value = entry.value
            known_store, known_id, known_class = known
            if (
                known_class is value.__class__
                and known_id == entry.type_id
                and known_store is store
            ):
                calls.hits += 1
                return value
            if calls.fits(store, entry):
                known = (store, entry.type_id, value.__class__)
                calls.hits += 1
                return value
        return calls.load(calls, store, key, _arguments(first, second, rest), kwargs)

    return call


def async_call(  # noqa: C901 - a hit, written out
    calls: Calls,
) -> Callable[..., Coroutine[Any, Any, Any]]:
    """The call of a coroutine function."""
    known = _NOTHING

    async def call(  # noqa: C901
        first: Any = NONE, second: Any = NONE, /, *rest: Any, **kwargs: Any
    ) -> Any:
        nonlocal known
        store = calls.slot.store
        if store is None:
            store = calls.locate(first, kwargs)
        key = None
        if second is NONE:
            plain = calls.plain_of_one
            if plain is not None and not kwargs and type(first) in PLAIN:
                key = plain.get(first)
        elif calls.plain is not None and not rest and not kwargs and type(second) in PLAIN:
            if calls.has_receiver:
                key = calls.plain.get(second)
            elif type(first) in PLAIN:
                key = calls.plain.get((first, second))
        if key is None:
            key = calls.key(_arguments(first, second, rest), kwargs)
        entry = store._peek(key)
        if entry is not None:
            value = entry.value
            known_store, known_id, known_class = known
            if (
                known_class is value.__class__
                and known_id == entry.type_id
                and known_store is store
            ):
                calls.hits += 1
                return value
            if calls.fits(store, entry):
                known = (store, entry.type_id, value.__class__)
                calls.hits += 1
                return value
        return await calls.load(calls, store, key, _arguments(first, second, rest), kwargs)

    return call


def _arguments(first: Any, second: Any, rest: Arguments) -> Arguments:
    if second is NONE:
        return () if first is NONE else (first,)
    return (first, second, *rest)


def load(calls: Calls, store: Store, key: str, args: Arguments, kwargs: Named) -> Any:
    """What a plain function returns, from the store or by a run of it."""
    run = Run(calls, args, kwargs)
    value = store.get_or_set(
        key,
        run,
        tags=calls.tags(args, kwargs),
        consistency=calls.consistency,
        **calls.storing(store),
    )
    if not run.happened:
        calls.hits += 1
    return value


async def load_async(calls: Calls, store: Store, key: str, args: Arguments, kwargs: Named) -> Any:
    """What a coroutine function returns, from the store or by a run of it."""
    run = AsyncRun(calls, args, kwargs)
    value = await store.get_or_set(
        key,
        run,
        tags=calls.tags(args, kwargs),
        consistency=calls.consistency,
        **calls.storing(store),
    )
    if not run.happened:
        calls.hits += 1
    return value
