"""Hits of resident entries, written out: a function call more would cost a tenth of one.

What stands in the way of a plain hit is left to the method that a function here stands in for:
an entry that has to be looked at again, a lease, a type, a consistency, a bad key. Parameters that
go by name alone would cost as much as the look at the clock; type checkers hold users to that.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from armature_cache._missing import UNSET, Unset
from armature_cache.leases import held

if TYPE_CHECKING:
    from armature_cache._time import TimeSource
    from armature_cache.clocks.replica import Replica
    from armature_cache.entry import Entry
    from armature_cache.options import Consistency
    from armature_cache.stores.stats import Counters

Peek = Callable[[str], "Entry | None"]
Get = Callable[..., Any]


class Facts(NamedTuple):
    """What a function needs that does nothing but find residents; such a `_peek` has it as `facts`.

    An entry of the replica's generation answers before its `check_at`, within the bound.
    """

    find: Peek
    time: TimeSource
    replica: Replica
    bound: float
    counters: Counters


def hold(holder: Any, whole: Get, make: Callable[[Any, Get, Facts], Get]) -> None:
    """Have a `get` at hand that is a hit written out, unless a subclass has one of its own.

    It goes by the `_peek` that the holder has now. One that somebody has taken out of the holder
    before does without from then on.
    """
    drop(holder)
    facts = getattr(holder._peek, "facts", None)
    if facts is not None and type(holder).get is whole:
        get: Any = functools.update_wrapper(make(holder, whole, facts), whole)
        del get.__wrapped__  # it has a signature of its own, without `self`
        vars(holder)["get"] = get


def drop(holder: Any) -> None:
    """Let `get` be the method again."""
    get = vars(holder).pop("get", None)
    retire = getattr(get, "retire", None)
    if retire is not None:
        retire()


def _nothing(_key: str) -> None:
    return None


def async_get(holder: Any, whole: Get, facts: Facts) -> Get:
    """`get` of a store of the async face."""
    find, time, replica, bound, counters = facts

    async def get(
        key: str,
        default: object = None,
        type: object = None,
        consistency: Consistency | Unset = UNSET,
    ) -> Any:
        if consistency is UNSET and type is None and not held():
            try:
                entry = find(key)
            except TypeError:
                entry = None
            if entry is not None and entry.generation == replica.generation:
                now = time()
                if now < entry.check_at and now - replica.synced_at < bound:
                    entry.visits += 1
                    counters.hits += 1
                    return entry.value
        return await whole(holder, key, default, type=type, consistency=consistency)

    def retire() -> None:
        nonlocal find
        find = _nothing

    get.retire = retire  # type: ignore[attr-defined]
    return get


def sync_get(holder: Any, whole: Get, facts: Facts) -> Get:
    """`get` of a store of the sync face."""
    find, time, replica, bound, counters = facts

    def get(
        key: str,
        default: object = None,
        type: object = None,
        consistency: Consistency | Unset = UNSET,
    ) -> Any:
        if consistency is UNSET and type is None and not held():
            try:
                entry = find(key)
            except TypeError:
                entry = None
            if entry is not None and entry.generation == replica.generation:
                now = time()
                if now < entry.check_at and now - replica.synced_at < bound:
                    entry.visits += 1
                    counters.hits += 1
                    return entry.value
        return whole(holder, key, default, type=type, consistency=consistency)

    def retire() -> None:
        nonlocal find
        find = _nothing

    get.retire = retire  # type: ignore[attr-defined]
    return get
