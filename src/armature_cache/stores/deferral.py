"""Invalidations that wait: for the end of a block, or for the commit of a transaction."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextvars import ContextVar, Token
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from armature_cache import _forking, leases, scopes
from armature_cache.clocks.digest import hardly
from armature_cache.errors import CacheError, InvalidationError
from armature_cache.events import Deleted, Hook, Invalidated

if TYPE_CHECKING:
    from armature_cache.stores.base import CacheStore
    from armature_cache.stores.primitives import EntryStore
    from armature_cache.stores.repeats import Repeats

_Slot = tuple[int, str]
_NONE: Final[Mapping[_Slot, Block]] = MappingProxyType({})
_blocks: ContextVar[Mapping[_Slot, Block]] = ContextVar("armature_cache_blocks", default=_NONE)


class Wish(NamedTuple):
    """What is to be invalidated of one cache; tags by the names that the clock has for them.

    `wait` is that of `invalidate_tag`; `again` repeats tags after so many seconds. `memos` are keys
    that only requests hold: the one under way forgets them, and nothing is sent.
    """

    tags: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    wait: bool = False
    again: tuple[tuple[float, tuple[str, ...]], ...] = ()
    memos: tuple[str, ...] = ()


@dataclasses.dataclass(slots=True)
class _Part:
    """What one store is to do; `said` are the tags as its caches call them."""

    store: EntryStore
    tags: dict[str, None]
    keys: dict[str, None]
    said: dict[str, None]
    memos: dict[str, None]
    wait: bool = False


class Batch:
    """Tags to invalidate and keys to delete, of any number of caches, each once.

    Caches over one store, such as its namespaces, are served by one round trip.
    """

    __slots__ = ("_again", "_parts")

    def __init__(self) -> None:
        self._parts: dict[int, _Part] = {}
        self._again: dict[tuple[Repeats, float, tuple[str, ...]], None] = {}

    def __len__(self) -> int:
        return sum(
            len(part.tags) + len(part.keys) + len(part.memos) for part in self._parts.values()
        )

    def add(self, cache: CacheStore, wish: Wish) -> None:
        """Add what is wished of a cache; `again` needs a `TaggedCache`."""
        store, tags, keys = cache._rooted(wish.tags, wish.keys)
        _, _, memos = cache._rooted((), wish.memos)
        named, said, read = map(dict.fromkeys, (tags, wish.tags, memos))
        self._add(_Part(store, named, dict.fromkeys(keys), said, read, wish.wait))
        if wish.again:
            repeats: Repeats = cache._repeats  # type: ignore[attr-defined]
            self._again |= {(repeats, delay, tags): None for delay, tags in wish.again}

    def merge(self, other: Batch) -> None:
        """Add all that another batch holds."""
        for part in other._parts.values():
            self._add(part)
        self._again |= other._again

    def _add(self, part: _Part) -> None:
        if part.tags or part.keys or part.memos:
            mine = self._parts.setdefault(id(part.store), _Part(part.store, {}, {}, {}, {}))
            mine.tags |= part.tags
            mine.keys |= part.keys
            mine.said |= part.said
            mine.memos |= part.memos
            mine.wait |= part.wait

    async def send(self) -> None:
        """Invalidate and delete all of it.

        Each store is tried, also after a failure or a cancellation on the way, so that each keeps
        in its queue what was not acknowledged. Raises `InvalidationError` for all of them.
        """
        for repeats, delay, tags in self._again:
            repeats.schedule(delay, tags)
        failures: list[CacheError] = []
        interrupted: BaseException | None = None
        for part in self._parts.values():
            try:
                await _send(part)
            except CacheError as error:
                failures.append(error)
            except BaseException as error:  # noqa: BLE001 - raised below
                interrupted = interrupted or error
        if interrupted is not None:
            raise interrupted
        if failures:
            raise _together(failures)
        for part in self._parts.values():
            if part.wait and (part.tags or part.keys):
                await part.store.clock.settle()


async def _send(part: _Part) -> None:
    store, tags, keys = part.store, tuple(part.tags), tuple(part.keys)
    replica = store.clock.replica
    if tags:
        leases.withdraw_all(replica)
    for key in keys:
        leases.withdraw(replica, key)
    scopes.forget(replica, keys=(*keys, *part.memos), tags=[hardly(name) for name in tags])
    if not (tags or keys):
        return
    store.counters.invalidations += len(tags)
    with store._telling_failure():
        had = await store._invalidate_and_remove(tags, keys)
    store.counters.deletes += sum(had)
    tell_invalidated(store.hook, tuple(part.said))
    if store.hook.listeners:
        for key in keys:
            store.hook.emit(Deleted(key))


def tell_invalidated(hook: Hook, names: tuple[str, ...]) -> None:
    """Tell those who listen of tags that were invalidated, by their names in the clock."""
    if not hook.listeners:
        return
    for soft in (False, True):
        tags = tuple(hardly(name) for name in names if (hardly(name) != name) is soft)
        if tags:
            hook.emit(Invalidated(tags, soft))


def _together(failures: list[CacheError]) -> CacheError:
    """One error for the failures of several stores."""
    if len(failures) == 1:
        return failures[0]
    parts = [failure for failure in failures if isinstance(failure, InvalidationError)]
    whole = InvalidationError(
        f"{len(failures)} stores did not acknowledge: {'; '.join(map(str, failures))}",
        tags=tuple(tag for part in parts for tag in part.tags),
        keys=tuple(key for part in parts for key in part.keys),
    )
    whole.__cause__ = failures[0]
    return whole


class Block(ABC):
    """Takes over the invalidations of one cache that are made within it, through either face.

    It follows `contextvars`: tasks and threads that copy the context belong to it while it is
    open, and invalidate at once afterwards.
    """

    def __init__(self, cache: CacheStore) -> None:
        self._cache = cache
        self._slot = (id(cache.clock.replica), cache.path)
        self._outer: Block | None = None
        self._open = False
        self._token: Token[Mapping[_Slot, Block]] | None = None
        self._lock = threading.Lock()
        _forking.register(self)

    def fork_locks(self) -> tuple[_forking.Lock, ...]:
        """What may not be held while the process forks."""
        return (self._lock,)

    def after_fork(self) -> None:  # noqa: B027 - no block has anything to do
        """A child that goes on in the block sends what its parent sends: no harm in that."""

    @abstractmethod
    def _absorb(self, wish: Wish) -> None:
        """Take over what is to be invalidated."""

    def take(self, wish: Wish) -> bool:
        """Take over what is to be invalidated, if this block is open, or one around it."""
        with self._lock:
            if self._open:
                self._absorb(wish)
                return True
        return self._outer is not None and self._outer.take(wish)

    def _begin(self) -> None:
        held = _blocks.get()
        self._outer = held.get(self._slot)
        self._token = _blocks.set({**held, self._slot: self})
        self._open = True

    def _end(self) -> None:
        with self._lock:
            self._open = False
        if self._token is not None:
            with contextlib.suppress(ValueError):  # it began in another context, a copy's
                _blocks.reset(self._token)
            self._token = None


def forget(cache: CacheStore, keys: Sequence[str]) -> bool:
    """Let the request under way forget keys that only it holds; whether it had one.

    A block that the caller is in lets it forget them once more when it ends.
    """
    if not keys:
        return False
    defer(cache, Wish(memos=tuple(keys)))
    return scopes.forget(cache.clock.replica, keys=[cache.path + key for key in keys])


def defer(cache: CacheStore, wish: Wish) -> bool:
    """Leave a wish to the block that the caller is in; False where there is none."""
    block = _blocks.get().get((id(cache.clock.replica), cache.path))
    return block is not None and block.take(wish)


class Deferral(Block):
    """Holds invalidations back until it ends; made by `deferred_invalidation()`."""

    def __init__(self, cache: CacheStore) -> None:
        super().__init__(cache)
        self._tags: dict[str, None] = {}
        self._keys: dict[str, None] = {}
        self._wait = False
        self._again: dict[tuple[float, tuple[str, ...]], None] = {}
        self._memos: dict[str, None] = {}

    def _absorb(self, wish: Wish) -> None:
        self._tags.update(dict.fromkeys(wish.tags))
        self._keys.update(dict.fromkeys(wish.keys))
        self._wait |= wish.wait
        self._again.update(dict.fromkeys(wish.again))
        self._memos.update(dict.fromkeys(wish.memos))

    async def __aenter__(self) -> Self:
        self._begin()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()
        wish = Wish(
            tuple(self._tags),
            tuple(self._keys),
            self._wait,
            tuple(self._again),
            tuple(self._memos),
        )
        if kind is not None or (self._outer is not None and self._outer.take(wish)):
            return
        batch = Batch()
        batch.add(self._cache, wish)
        await batch.send()
