"""What a store implements: few operations on entries, from which all the others are made."""

from __future__ import annotations

import copy
import logging
import math
import weakref
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Final, Protocol, Self

from armature_cache.errors import InvalidationError
from armature_cache.events import BackendFailed, Event, Hit, Hook, InvalidationFailed
from armature_cache.policy import DEFAULT_POLICY, LoadPolicy
from armature_cache.stores.breaker import Spared
from armature_cache.stores.stats import CacheStats, Counters

if TYPE_CHECKING:
    from armature_cache._runtime.base import Runtime, Signal
    from armature_cache._time import TimeSource
    from armature_cache.advice import Advice
    from armature_cache.claims import Claim, Holder
    from armature_cache.clocks.base import Clock
    from armature_cache.entry import Entry
    from armature_cache.loading import Flights
    from armature_cache.stores.draft import Draft, Prepared

logger = logging.getLogger("armature_cache")

COMPLAINT_GAP: Final = 10.0
"""Seconds between two warnings of one store about its shared store."""


class Follower(Protocol):
    """Something that has a store's `_peek` at hand."""

    def _follow_peek(self) -> None: ...


class EntryStore(ABC):
    """The entry-level half of a store.

    Keys and tags that arrive here are checked. Whatever returns an entry has judged it by the
    store's clock. `bound` is the staleness bound in seconds, `max_ttl` the longest lifetime (None:
    unbounded), `max_load_time` the longest load whose result is still stored.
    """

    runtime: Runtime
    clock: Clock
    time: TimeSource
    counters: Counters
    bound: float
    default_ttl: float | None
    max_ttl: float | None
    max_load_time: float
    path: str = ""
    """What comes before a key where the clock knows it."""
    supports_tags: bool = False
    strong: bool = False
    """Whether reads that say nothing of consistency are strong."""
    _complained_at: float = -math.inf
    tolerant: bool = False
    """Whether reads survive a failing shared store as misses."""
    isolates: bool = False
    """Whether every reader gets an object of his own."""
    policy: LoadPolicy = DEFAULT_POLICY
    hook: Hook
    _flights: Flights
    _origin: EntryStore
    """Of a store with a policy of its own: the one that it follows."""

    def _complain(self, what: str, error: Exception) -> None:
        """Log a failure that the caller does not see, at most once in ten seconds."""
        now = self.time()
        if now - self._complained_at >= COMPLAINT_GAP:
            self._complained_at = now
            logger.warning("%s: %s", what, error)

    def _followed_by(self, follower: Follower) -> None:
        """Tell a store or face whenever `_peek` is another function than before."""
        followers = self.__dict__.setdefault("_followers", weakref.WeakSet())
        followers.add(follower)

    def _follow_peek(self) -> None:
        """Have `_peek` at hand anew, where it is kept at hand."""
        self._tell_followers()

    def _twin(self) -> Self:
        """A copy that nobody follows, and that has nothing at hand but `_peek`."""
        twin = copy.copy(self)
        for name in ("_followers", "get"):
            twin.__dict__.pop(name, None)
        return twin

    def _tell_followers(self) -> None:
        for follower in list(self.__dict__.get("_followers", ())):
            follower._follow_peek()

    def _failed(self, what: str, error: Exception) -> None:
        """Note a failure of the shared store that the caller does not see."""
        self.counters.errors += 1
        if not isinstance(error, Spared):
            self._complain(what, error)
            self._tell(BackendFailed(error))

    def _tell(self, event: Event) -> None:
        """Tell those who listen; where events are many, ask for listeners before making one."""
        if self.hook.listeners:
            self.hook.emit(event)

    @contextmanager
    def _telling_failure(self) -> Iterator[None]:
        """Tell those who listen of an invalidation that is not acknowledged."""
        try:
            yield
        except InvalidationError as error:
            self._tell(InvalidationFailed(error.tags, error.keys, error))
            raise

    def _tell_hits(self, entries: Iterable[Entry], now: float, store: str) -> None:
        """Tell those who listen of the fresh entries among these."""
        if self.hook.listeners:
            for entry in entries:
                if now < entry.fresh_until:
                    self.hook.emit(Hit(entry.key, store))

    def _tag_paths(self, tags: tuple[str, ...]) -> tuple[str, ...]:
        """Tags as the clock knows them, with those that this store adds."""
        return tags

    async def _ensure(self, *, strong: bool) -> None:
        """Trust the clock, by a sync if need be; raises `BackendError`."""
        await self.clock.ensure(self.bound, strong=strong)

    @abstractmethod
    def _peek(self, key: str) -> Entry | None:
        """The entry, if it is resident in this process and valid; counts a hit. No I/O."""

    @abstractmethod
    def _remnant(self, key: str) -> Entry | None:
        """The entry, if it is resident and valid, fresh or stale; no count, no I/O."""

    @abstractmethod
    def _fits(self, entry: Entry, want: object) -> bool:
        """Whether a resident entry is what decoding to this type would give."""

    @abstractmethod
    async def _fetch(
        self, keys: Sequence[str], want: object, *, strong: bool, stale: bool = False
    ) -> dict[str, Entry]:
        """The fresh entries among these keys, with `stale` those past their lifetime, too.

        Counts hits and misses, a stale entry as a miss, and promotes.

        The clock is trusted when this returns, by a sync sent within the bound before the call
        or, if `strong`, after its start.
        """

    @abstractmethod
    async def _claim(
        self, keys: Sequence[str], mine: Holder, life: float, *, instead_of: str = ""
    ) -> list[Claim]:
        """Claim the loads of keys for `life` seconds, where they are free or `instead_of` has them.

        Raises `BackendError`.
        """

    @abstractmethod
    async def _release(self, keys: Sequence[str], nonce: str) -> None:
        """Give claims up, and wake those who wait for them; raises `BackendError`."""

    @abstractmethod
    def _listening(self, key: str) -> AbstractContextManager[Signal]:
        """A signal that is given, most likely, when the claim of a key is given up."""

    @abstractmethod
    async def _probe(self, keys: Sequence[str]) -> dict[str, Entry]:
        """The fresh entries among these keys, without values, counts or promotion."""

    @abstractmethod
    def _prepare(self, value: object, want: object) -> Prepared:
        """The value as it will be read back, encoded where this store encodes."""

    @abstractmethod
    async def _write(self, drafts: Sequence[Draft]) -> list[bool]:
        """Store values; False for a fill that was refused."""

    @abstractmethod
    async def _add(self, draft: Draft) -> bool:
        """Store a value where none is valid, as one step."""

    @abstractmethod
    async def _remove(self, keys: Sequence[str]) -> list[bool]:
        """Delete keys, against loads in flight too; whether each had a valid entry."""

    @abstractmethod
    async def _restamp(self, key: str, ttl: float | None) -> bool:
        """Give a valid entry a new lifetime; False where there is none."""

    @abstractmethod
    async def _increment(
        self, key: str, delta: int, ttl: float | None, tags: tuple[str, ...]
    ) -> int:
        """Add to an integer, as one step; creates it with `ttl` and `tags`."""

    @abstractmethod
    async def _invalidate(self, tags: Sequence[str]) -> None:
        """Make every entry with one of these tags invalid."""

    async def _invalidate_and_remove(self, tags: Sequence[str], keys: Sequence[str]) -> list[bool]:
        """`_invalidate` and `_remove`, in one round trip where the store can."""
        try:
            if tags:
                await self._invalidate(tags)
        finally:
            had = await self._remove(keys) if keys else []
        return had

    def _rooted(
        self, tags: tuple[str, ...], keys: tuple[str, ...]
    ) -> tuple[EntryStore, tuple[str, ...], tuple[str, ...]]:
        """The innermost store that wrappers share, and what it calls these tags and keys."""
        return self, tags, keys

    @abstractmethod
    async def _restart(self) -> None:
        """Make every entry of the whole namespace invalid, and free what this process holds."""

    @abstractmethod
    def _scan(self, prefix: str) -> AsyncIterator[str]:
        """The keys of valid entries that begin with `prefix`, in no order."""

    @abstractmethod
    async def _tagged_keys(self, tag: str, *, exact: bool) -> list[str]:
        """The keys of valid entries with this tag; `exact` looks at every entry there is."""

    @abstractmethod
    async def _live_tags(self) -> list[str]:
        """The tags of valid entries, hidden ones included."""

    @abstractmethod
    def _snapshot(self) -> CacheStats:
        """The counts of this store and of the tiers below."""

    async def _advise(self) -> tuple[Advice, ...]:
        """What is dangerous about how this store and what it works on are set up."""
        return ()

    @abstractmethod
    async def _ping(self) -> None:
        """Reach the shared store once; raises `BackendError`."""

    @abstractmethod
    async def _close(self) -> None:
        """Let go of connections and background work."""

    @abstractmethod
    def _blocking(self) -> Self:
        """The same store for threads: shares residents and clock."""
