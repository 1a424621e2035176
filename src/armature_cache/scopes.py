"""Requests: what one of them has read, so that all of its code sees the same until it ends."""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from armature_cache import _forking
from armature_cache.clocks.replica import Replica
from armature_cache.errors import ConfigError
from armature_cache.flight import Joint
from armature_cache.options import check_count

MOST_KEPT: Final = 1_000

Slot = tuple[int, str]
"""A key as its clock knows it: the identity of the clock's replica, and the key's path."""

Reader = tuple[Hashable, int]
"""A function that reads, and where: those of one place can wait for one another."""


class Memo(NamedTuple):
    """A value that was read; `tags` None where it is not known which ones its entry carries."""

    value: Any
    replica: Replica
    tags: frozenset[str] | None


class _Reading(NamedTuple):
    joint: Joint[Any]
    replica: Replica


class RequestScope:
    """What one request has read; made by `request_scope()`."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._memos: OrderedDict[Slot, dict[Hashable, Memo]] = OrderedDict()
        self._readings: dict[Slot, dict[Reader, _Reading]] = {}
        self._open = False
        self._outer: RequestScope | None = None
        self._token: Token[RequestScope | None] | None = None
        self._lock = threading.Lock()
        _forking.register(self)

    def fork_locks(self) -> tuple[_forking.Lock, ...]:
        """What may not be held while the process forks."""
        return (self._lock,)

    def after_fork(self) -> None:
        """A child goes on with what was read, but nothing is being read in it."""
        self._readings.clear()

    def __len__(self) -> int:
        return len(self._memos)

    # -- for functions that read ---------------------------------------------------------------

    def find(self, slot: Slot, function: Hashable) -> Memo | None:
        """What a function has read of a key."""
        memos = self._memos.get(slot)
        return None if memos is None else memos.get(function)

    def reading(
        self, slot: Slot, reader: Reader, replica: Replica, begin: Callable[[], Joint[Any]]
    ) -> tuple[Joint[Any], bool]:
        """A reading of a key that is under way, or a new one; whether it is new."""
        with self._lock:
            readings = self._readings.setdefault(slot, {})
            known = readings.get(reader)
            if known is not None and not known.joint.finished:
                return known.joint, False
            joint = begin()
            readings[reader] = _Reading(joint, replica)
            return joint, True

    def settle(self, slot: Slot, reader: Reader, joint: Joint[Any], memo: Memo | None) -> None:
        """End a reading, and keep what it brought unless that was invalidated meanwhile."""
        with self._lock:
            readings = self._readings.get(slot, {})
            known = readings.get(reader)
            if known is None or known.joint is not joint:
                return
            del readings[reader]
            if not readings:
                del self._readings[slot]
            if memo is not None:
                self._keep(slot, reader[0], memo)

    def keep(self, slot: Slot, function: Hashable, memo: Memo) -> None:
        """Let a function have read this, whatever it has read before."""
        self._forget(memo.replica, (slot[1],), frozenset())
        with self._lock:
            self._keep(slot, function, memo)

    def _keep(self, slot: Slot, function: Hashable, memo: Memo) -> None:
        if self._open:
            self._memos.setdefault(slot, {}).setdefault(function, memo)
            if len(self._memos) > self._most:
                self._memos.popitem(last=False)

    # -- what the request itself invalidates ---------------------------------------------------

    def _forget(self, replica: Replica, keys: Iterable[str], tags: frozenset[str]) -> bool:
        found = False
        with self._lock:
            for key in keys:
                slot = (id(replica), key)
                self._readings.pop(slot, None)
                found |= self._memos.pop(slot, None) is not None
            if tags:
                self._drop(
                    replica, lambda memo: memo.tags is None or not tags.isdisjoint(memo.tags)
                )
        return found

    def _forget_all(self, replica: Replica) -> None:
        with self._lock:
            self._drop(replica, lambda _: True)

    def _drop(self, replica: Replica, is_dead: Callable[[Memo], bool]) -> None:
        """Drop memos of a clock; of what is being read nobody knows the tags yet."""
        for slot in [slot for slot in self._readings if slot[0] == id(replica)]:
            del self._readings[slot]
        for slot, memos in list(self._memos.items()):
            if slot[0] == id(replica):
                left = {function: memo for function, memo in memos.items() if not is_dead(memo)}
                if not left:
                    del self._memos[slot]
                elif len(left) < len(memos):
                    self._memos[slot] = left

    # -- the block -----------------------------------------------------------------------------

    def __enter__(self) -> Self:
        if self._open:
            raise ConfigError("a request scope is one block: call request_scope() for each")
        self._outer = _current.get()
        self._token = _current.set(self)
        self._open = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._lock:
            self._open = False
            self._memos.clear()
            self._readings.clear()
        if self._token is not None:
            with contextlib.suppress(ValueError):  # it began in another context, a copy's
                _current.reset(self._token)
            self._token = None

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, traceback)


_current: ContextVar[RequestScope | None] = ContextVar("armature_cache_request", default=None)

innermost: Final = _current.get
"""The request that began last around this code, ended or not; None for none."""


def request_scope(*, max_entries: int = MOST_KEPT) -> RequestScope:
    """The block of code that is one request, for `with` and for `async with`.

    Functions decorated with `@cache(scope="request")` or `scope="both"` run at most one load per
    key in it, and return the same value to all its code: tasks, and threads that copy the context.
    What the request itself deletes, sets or invalidates is read anew, what others change is not.
    All of it is dropped when the block ends. A block within another one is a request of its own,
    which begins with nothing; a task that outlives its block is outside of it. The values of
    `max_entries` keys are kept, then the oldest are dropped.
    """
    return RequestScope(check_count("max_entries", max_entries))


def current() -> RequestScope | None:
    """The innermost request that this code is in and that has not ended."""
    scope = _current.get()
    while scope is not None and not scope._open:  # noqa: SLF001 - scopes know one another
        scope = scope._outer  # noqa: SLF001
    return scope


def forget(replica: Replica, *, keys: Iterable[str] = (), tags: Iterable[str] = ()) -> bool:
    """The request invalidates these: it and those around it read them anew; whether it had one.

    Keys and tags are named as their clock knows them.
    """
    scope = _current.get()
    if scope is None:
        return False
    dead, had = frozenset(tags), False
    names = tuple(keys)
    while scope is not None:
        had |= scope._forget(replica, names, dead)  # noqa: SLF001
        scope = scope._outer  # noqa: SLF001
    return had


def forget_all(replica: Replica) -> None:
    """The request invalidates everything under this clock."""
    scope = _current.get()
    while scope is not None:
        scope._forget_all(replica)  # noqa: SLF001
        scope = scope._outer  # noqa: SLF001
