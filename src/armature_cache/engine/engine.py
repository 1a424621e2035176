"""The engine: what the in-process cache holds, in one dictionary or in several."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence

from armature_cache import _forking
from armature_cache.engine.shards import Budget, Shard
from armature_cache.entry import Entry

_SINGLE = 65_536
_SHARD = 16_384
_MOST_SHARDS = 256


def _shard_count(max_entries: int) -> int:
    if max_entries <= _SINGLE:
        return 1
    return min(1 << (max_entries // _SHARD - 1).bit_length(), _MOST_SHARDS)


def _finder(shards: Sequence[Shard]) -> Callable[[str], Entry | None]:
    if len(shards) == 1:
        return shards[0].table.get
    lookups = tuple(shard.table.get for shard in shards)
    mask = len(shards) - 1

    def find(key: str) -> Entry | None:
        return lookups[hash(key) & mask](key)

    return find


class Engine:
    """Entries by key, within bounds of number and weight, each until its time is up.

    `find` takes no lock. A hit is noted by its caller, with `entry.visits += 1` and nothing else;
    the engine looks at it when something must leave. `next_expiry` is a time before which no entry
    dies. `on_evict` hears of entries that left for want of room, after the locks are released.

    While an entry is resident its key, weight and `place` must not be changed, nor its `dead_at`
    but by `touch_expiry`.

    Up to 65,536 entries are kept in one dictionary; more in several, since Python rebuilds a
    dictionary of a million keys in one go, in some twenty milliseconds. The bounds hold for all
    shards together: a full cache evicts from the shard that grows, or from the next when that one
    has nothing else to give.
    """

    def __init__(
        self,
        *,
        max_entries: int,
        max_bytes: int | None = None,
        on_evict: Callable[[Entry], None] | None = None,
    ) -> None:
        if max_entries < 1 or (max_bytes is not None and max_bytes < 1):
            message = "max_entries and max_bytes must be at least 1"
            raise ValueError(message)
        self._budget = Budget(max_entries, max_bytes)
        count = _shard_count(max_entries)
        self._mask = count - 1
        self._shards = tuple(Shard(self._budget) for _ in range(count))
        self._on_evict = on_evict
        self._expiry_lock = threading.Lock()
        self.next_expiry = math.inf
        self.find = _finder(self._shards)
        _forking.register(self)

    def fork_locks(self) -> list[_forking.Lock]:
        """What may not be held while the process forks."""
        shards = [shard.lock for shard in self._shards]
        return [*shards, self._budget.lock, self._expiry_lock]

    def after_fork(self) -> None:
        """A child keeps what was here."""

    def put(
        self,
        entry: Entry,
        now: float,
        *,
        guard: Callable[[Entry | None], bool] | None = None,
    ) -> bool:
        """Insert or replace the entry of `entry.key`, making room where needed.

        `guard` sees the present entry, None when absent or expired, and refuses by returning
        False; it runs under the lock. An entry that is too heavy or already dead is not kept, nor
        is the one that it would have replaced.
        """
        index = hash(entry.key) & self._mask
        shard = self._shards[index]
        evicted: list[Entry] = []
        bound = shard.next_expiry
        kept = shard.put(entry, now, guard, evicted)
        if self._mask and self._budget.exceeded:
            self._evict_elsewhere(index, evicted)
        if bound <= now and bound <= self.next_expiry:
            self._renew_expiry()
        elif kept and entry.dead_at < self.next_expiry:
            self._lower_expiry(entry.dead_at)
        if evicted and self._on_evict is not None:
            for victim in evicted:
                self._on_evict(victim)
        return kept

    def discard(self, key: str, *, only: Entry | None = None) -> Entry | None:
        """Remove and return the entry of a key; with `only`, just if it is that very object."""
        return self._shards[hash(key) & self._mask].discard(key, only)

    def touch_expiry(self, entry: Entry, dead_at: float) -> None:
        """Change when a resident entry dies."""
        self._shards[hash(entry.key) & self._mask].touch_expiry(entry, dead_at)
        if dead_at < self.next_expiry:
            self._lower_expiry(dead_at)

    def expire(self, now: float, limit: int | None = None) -> int:
        """Remove dead entries, at most `limit`, all when None; how many were removed."""
        if now < self.next_expiry:
            return 0
        removed = 0
        for shard in self._shards:
            left = None if limit is None else limit - removed
            removed += shard.expire(now, left)
            if limit is not None and removed >= limit:
                break
        self._renew_expiry()
        return removed

    def clear(self) -> None:
        """Remove everything."""
        for shard in self._shards:
            shard.clear()
        self._renew_expiry()

    def keys(self) -> list[str]:
        """A snapshot of the keys, the expired but not yet removed ones included."""
        return [key for shard in self._shards for key in shard.snapshot()]

    def __len__(self) -> int:
        return sum(len(shard.table) for shard in self._shards)

    @property
    def weight(self) -> int:
        """The weight of all entries together."""
        return self._budget.weight

    @property
    def evictions(self) -> int:
        """How many entries have left for want of room."""
        return sum(shard.evictions for shard in self._shards)

    @property
    def expirations(self) -> int:
        """How many entries were removed because they were dead."""
        return sum(shard.expirations for shard in self._shards)

    def _evict_elsewhere(self, index: int, evicted: list[Entry]) -> None:
        others = self._shards[index + 1 :] + self._shards[:index]
        found = True
        while found and self._budget.exceeded:
            found = False
            for shard in others:
                if self._budget.exceeded:
                    found |= shard.evict(evicted)

    def _lower_expiry(self, dead_at: float) -> None:
        with self._expiry_lock:
            self.next_expiry = min(self.next_expiry, dead_at)

    def _renew_expiry(self) -> None:
        with self._expiry_lock:
            self.next_expiry = min(shard.next_expiry for shard in self._shards)
