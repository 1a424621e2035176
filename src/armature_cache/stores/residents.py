"""Entries in this process: how they are found, judged and listed."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final

from armature_cache.clocks.replica import Replica
from armature_cache.engine import Engine
from armature_cache.entry import UNTOUCHED_PART, Entry
from armature_cache.errors import ConfigError
from armature_cache.events import Hit, Hook
from armature_cache.stores.base import CacheStore
from armature_cache.stores.hits import Facts

if TYPE_CHECKING:
    from armature_cache.clocks.base import Clock
    from armature_cache.stores.isolation import Care

OVERHEAD: Final = 200


class Residents(CacheStore):
    """The reading half of `InMemoryCache`."""

    clock: Clock
    _replica: Replica
    _engine: Engine
    _care: Care | None
    _weighs: bool
    _adopted: bool
    _still_valid: Callable[[Entry], bool]

    @property
    def hits(self) -> int:
        """How many reads this store, and those that share its residents, have answered."""
        return self.counters.hits

    def adopt(self, clock: Clock, bound: float) -> None:
        """Be the first tier over a shared store: be judged by its clock."""
        if not self._replica.own and clock.replica is not self._replica:
            raise ConfigError(
                "this InMemoryCache is already the first tier of another shared store; give each "
                "TieredCache an InMemoryCache of its own",
                field="l1",
            )
        if clock.replica is not self._replica:
            self._engine.clear()
        self._adopted = True
        clock.replica.copied = True
        self._follow(clock, bound)
        clock.replica.read_by(self)

    def _follow(self, clock: Clock, bound: float) -> None:
        self.clock, self._replica, self.bound = clock, clock.replica, bound
        owner = clock.replica.own and not self._adopted
        self._still_valid = clock.replica.original_valid if owner else clock.replica.copy_valid
        self._follow_peek()

    def _listen_to(self, hook: Hook) -> None:
        """Tell this hook what happens; while somebody listens, every hit is told."""
        self.hook = hook
        hook.when_changed(self._follow_peek)

    def _follow_peek(self) -> None:
        self._hold(self._peeker())

    def _peeker(self) -> Callable[[str], Entry | None]:
        """`_peek`, with all that it needs at hand."""
        find, discard, still_valid = self._engine.find, self._engine.discard, self._still_valid
        time, replica, bound, counters = self.time, self._replica, self.bound, self.counters

        def peek(key: str) -> Entry | None:
            entry = find(key)
            if entry is None:
                return None
            if entry.generation != replica.generation and not still_valid(entry):
                if not replica.recoverable(entry):
                    discard(key, only=entry)
                return None
            now = time()
            if now >= entry.check_at or now - replica.synced_at >= bound:
                return None
            entry.visits += 1
            counters.hits += 1
            return entry

        if self.hook.listeners:
            return told(peek, self.hook, "memory")
        peek.facts = Facts(find, time, replica, bound, counters)  # type: ignore[attr-defined]
        return peek

    def _peek(self, key: str) -> Entry | None:
        return self._peeker()(key)

    def _remnant(self, key: str) -> Entry | None:
        trusted = self.time() - self._replica.synced_at < self.bound
        return self.remnant(key) if trusted else None

    def resident(self, key: str) -> Entry | None:
        """The entry, if it may answer by what is known of the clock, trusted or not; no count."""
        entry = self.remnant(key)
        return entry if entry is not None and self.time() < entry.fresh_until else None

    def remnant(self, key: str) -> Entry | None:
        """The same, fresh or stale; what can be neither of them leaves."""
        entry = self._engine.find(key)
        if entry is None:
            return None
        if self.time() < entry.dead_at:
            if self._still_valid(entry):
                return entry
            if self._replica.recoverable(entry):
                return None
        self._engine.discard(key, only=entry)
        return None

    def held(self, key: str) -> Entry | None:
        """The entry, if it may answer once the clock has been asked."""
        entry = self.remnant(key) or self._engine.find(key)
        return entry if entry is not None and self.time() < entry.fresh_until else None

    def hold(self, entry: Entry) -> bool:
        """Keep an entry unless a newer one of its key is here."""
        if self._weighs:
            entry.weight = OVERHEAD + entry.weight if entry.weight > 1 else weigh(entry)
        if self._care is not None:
            self._care.take(entry)
        order = entry.stamp, entry.version
        return self._engine.put(
            entry,
            self.time(),
            guard=lambda had: had is None or (had.stamp, had.version) <= order,
        )

    def discard(self, key: str) -> None:
        """Let go of a key's entry, if there is one."""
        self._engine.discard(key)

    def drop_all(self) -> None:
        """Let go of every entry."""
        self._engine.clear()

    def _keys(self) -> list[str]:
        return self._engine.keys()

    def _fits(self, entry: Entry, want: object) -> bool:
        return True

    async def _fetch(
        self, keys: Sequence[str], want: object, *, strong: bool, stale: bool = False
    ) -> dict[str, Entry]:
        await self.clock.ensure(self.bound, strong=strong)
        now = self.time()
        if now >= self._engine.next_expiry:
            self._engine.expire(now, 64)
        found: dict[str, Entry] = {}
        for key in keys:
            entry = self.remnant(key)
            fresh = entry is not None and now < entry.fresh_until
            self.counters.hits += fresh
            self.counters.misses += not fresh
            if entry is not None and (fresh or stale):
                entry.visits += 1
                if fresh:
                    self._slide(entry, now)
                found[key] = entry
        self._tell_hits(found.values(), now, "memory")
        return found

    def _slide(self, entry: Entry, now: float) -> None:
        """Start the lifetime of a sliding entry anew."""
        window = entry.more.window
        if window:
            entry.fresh_until = now + window
            entry.check_at = now + window * UNTOUCHED_PART
            self._engine.touch_expiry(entry, now + window)

    async def _probe(self, keys: Sequence[str]) -> dict[str, Entry]:
        await self.clock.ensure(self.bound)
        found = {key: self.resident(key) for key in keys}
        return {key: entry for key, entry in found.items() if entry is not None}

    async def _scan(self, prefix: str) -> AsyncIterator[str]:
        await self.clock.ensure(self.bound)
        for key in self._keys():
            if key.startswith(prefix) and self.resident(key) is not None:
                yield key

    async def _tagged_keys(self, tag: str, *, exact: bool) -> list[str]:
        await self.clock.ensure(self.bound)
        residents = (self.resident(key) for key in self._keys())
        return [entry.key for entry in residents if entry is not None and tag in entry.tags]

    async def _live_tags(self) -> list[str]:
        await self.clock.ensure(self.bound)
        residents = (self.resident(key) for key in self._keys())
        return list({tag for entry in residents if entry is not None for tag in entry.tags})


def told(
    peek: Callable[[str], Entry | None], hook: Hook, store: str
) -> Callable[[str], Entry | None]:
    """The same function, of whose hits a hook is told."""

    def telling(key: str) -> Entry | None:
        entry = peek(key)
        if entry is not None:
            hook.emit(Hit(key, store))
        return entry

    return telling


def weigh(entry: Entry) -> int:
    """An estimate of an entry's size in bytes: its key and value, two levels deep."""
    return OVERHEAD + sys.getsizeof(entry.key) + _size(entry.value, 2)


def _size(value: object, depth: int) -> int:
    size = sys.getsizeof(value)
    if depth == 0:
        return size
    parts: Iterable[object]
    if isinstance(value, dict):
        parts = (*value.keys(), *value.values())
    elif isinstance(value, list | tuple | set | frozenset):
        parts = value
    else:
        parts = getattr(value, "__dict__", {}).values()
    return size + sum(_size(part, depth - 1) for part in parts)
