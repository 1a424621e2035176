"""One part of the cache: a dictionary, its lock, its order of eviction and its timer wheel."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import cast

from armature_cache.engine.expiry import HEADS, TimerWheel
from armature_cache.engine.policy import Policy
from armature_cache.entry import Entry

_EFFORT = 16


class Budget:
    """What all shards together may hold, and what they hold."""

    __slots__ = ("count", "lock", "max_bytes", "max_entries", "weight")

    def __init__(self, max_entries: int, max_bytes: int | None) -> None:
        self.max_entries = max_entries
        self.max_bytes = max_bytes
        self.count = 0
        self.weight = 0
        self.lock = threading.Lock()

    def charge(self, count: int, weight: int) -> bool:
        """Note that so much came, or left when negative; whether something must leave now."""
        with self.lock:
            self.count += count
            self.weight += weight
            return self.exceeded

    def fits(self, weight: int) -> bool:
        """Whether an entry of this weight may be kept at all."""
        return self.max_bytes is None or weight <= self.max_bytes

    @property
    def exceeded(self) -> bool:
        """Whether something must leave."""
        return self.count > self.max_entries or (
            self.max_bytes is not None and self.weight > self.max_bytes
        )


class Shard:
    """The residents whose keys fall to this shard; all changes are made under its lock.

    What is removed stays referenced until the lock is released: a finaliser may use the cache.
    """

    def __init__(self, budget: Budget) -> None:
        self.table: dict[str, Entry] = {}
        self.next_expiry = math.inf
        self.evictions = 0
        self.expirations = 0
        self._budget = budget
        self.lock = threading.Lock()
        self._entries: list[Entry | None] = [None] * HEADS
        self._free: list[int] = []
        self._policy = Policy(self._entries)
        self._wheel = TimerWheel(self._entries)

    def put(
        self,
        entry: Entry,
        now: float,
        guard: Callable[[Entry | None], bool] | None,
        evicted: list[Entry],
    ) -> bool:
        """Insert or replace; the entries that had to leave are appended to `evicted`."""
        dropped: list[Entry] = []
        with self.lock:
            old = self.table.get(entry.key)
            if guard is not None and not guard(None if old is None or old.dead_at <= now else old):
                return False
            if now >= self.next_expiry:
                self._purge(now, _EFFORT, dropped)
                old = self.table.get(entry.key)
            if entry.dead_at <= now or not self._budget.fits(entry.weight):
                if old is not None:
                    self._remove(old)
                return False
            if entry.dead_at != math.inf:
                self._wheel.start(now)
            if old is None:
                self._insert(entry, evicted)
            elif old is not entry:
                self._replace(old, entry, evicted)
            self.next_expiry = min(self.next_expiry, entry.dead_at)
            return True

    def discard(self, key: str, only: Entry | None) -> Entry | None:
        """Remove the entry of a key; with `only`, just if it is that very object."""
        with self.lock:
            entry = self.table.get(key)
            if entry is None or (only is not None and entry is not only):
                return None
            self._remove(entry)
            return entry

    def touch_expiry(self, entry: Entry, dead_at: float) -> None:
        """Change when an entry dies."""
        with self.lock:
            resident = self.table.get(entry.key) is entry
            before, entry.dead_at = entry.dead_at, dead_at
            if resident:
                slot = cast("int", entry.place)
                self._wheel.cancel(slot, before)
                self._wheel.schedule(slot, dead_at)
                self.next_expiry = min(self.next_expiry, dead_at)

    def expire(self, now: float, limit: int | None) -> int:
        """Remove at most `limit` dead entries, all when None; how many were removed."""
        dropped: list[Entry] = []
        with self.lock:
            if now >= self.next_expiry:
                self._purge(now, limit, dropped)
        return len(dropped)

    def evict(self, evicted: list[Entry]) -> bool:
        """Make one entry leave; False if there is none."""
        with self.lock:
            return self._evict(evicted)

    def clear(self) -> None:
        """Remove everything."""
        with self.lock:
            dropped = list(self.table.values())
            self._budget.charge(-len(dropped), -sum(entry.weight for entry in dropped))
            self.table.clear()
            del self._entries[HEADS:]
            self._free.clear()
            self._policy.clear()
            self._wheel.clear()
            self.next_expiry = math.inf

    def snapshot(self) -> list[str]:
        """List the keys."""
        with self.lock:
            return list(self.table)

    def _insert(self, entry: Entry, evicted: list[Entry]) -> None:
        if self._budget.charge(1, entry.weight):
            self._make_room(evicted)
        slot = self._take_slot()
        self._entries[slot] = entry
        entry.place = slot
        entry.visits = 0
        self._policy.add(slot, entry)
        if entry.dead_at != math.inf:
            self._wheel.schedule(slot, entry.dead_at)
        self.table[entry.key] = entry

    def _replace(self, old: Entry, entry: Entry, evicted: list[Entry]) -> None:
        slot = cast("int", old.place)
        self._wheel.cancel(slot, old.dead_at)
        old.place = None
        entry.place = slot
        entry.visits = old.visits
        self._entries[slot] = entry
        self._wheel.schedule(slot, entry.dead_at)
        self.table[entry.key] = entry
        if self._budget.charge(0, entry.weight - old.weight):
            queue = self._policy.detach(slot)
            self._make_room(evicted)
            self._policy.attach(slot, queue)

    def _make_room(self, evicted: list[Entry]) -> None:
        while self._evict(evicted) and self._budget.exceeded:
            pass

    def _take_slot(self) -> int:
        if self._free:
            return self._free.pop()
        self._entries.append(None)
        self._policy.grow()
        self._wheel.grow()
        return len(self._entries) - 1

    def _evict(self, evicted: list[Entry]) -> bool:
        if not len(self._policy):
            return False
        entry = self._entries[self._policy.victim()]
        if entry is None:
            return False
        self._remove(entry)
        self.evictions += 1
        evicted.append(entry)
        return True

    def _remove(self, entry: Entry) -> None:
        slot = cast("int", entry.place)
        del self.table[entry.key]
        entry.place = None
        self._entries[slot] = None
        self._free.append(slot)
        self._policy.detach(slot)
        if entry.dead_at != math.inf:
            self._wheel.cancel(slot, entry.dead_at)
        self._budget.charge(-1, -entry.weight)

    def _purge(self, now: float, limit: int | None, dropped: list[Entry]) -> None:
        wheel = self._wheel
        wheel.turn(now)
        effort = len(self._entries) if limit is None else _EFFORT
        while limit is None or len(dropped) < limit:
            slot = wheel.pop(now, effort)
            entry = None if slot is None else self._entries[slot]
            if entry is None:
                break
            self._remove(entry)
            dropped.append(entry)
        self.expirations += len(dropped)
        self.next_expiry = wheel.earliest()
