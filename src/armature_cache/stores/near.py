"""L1 as the tier over a shared store: what it holds, for how long, and what it may answer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from armature_cache.entry import UNTOUCHED_PART, Entry, StoredEntry, rare_of
from armature_cache.stores.memory import InMemoryCache

if TYPE_CHECKING:
    from armature_cache.stores.draft import Draft
    from armature_cache.stores.tier_config import TieredCacheConfig

Fits = Callable[[Entry], bool]


class Near:
    """The in-process tier, by the rules of two tiers; `cache` is None where there is none."""

    def __init__(self, cache: InMemoryCache | None, config: TieredCacheConfig) -> None:
        self.cache = cache if config.enable_l1 else None
        self._config = config

    def confirmed(self, keys: Iterable[str], fits: Fits) -> dict[str, Entry]:
        """What answers for these keys, now that the shared store's clock was asked; counts hits."""
        cache = self.cache
        if cache is None:
            return {}
        residents = ((key, cache.resident(key)) for key in keys)
        found = {key: entry for key, entry in residents if entry is not None and fits(entry)}
        for entry in found.values():
            entry.visits += 1
        cache.counters.hits += len(found)
        return found

    def held(self, keys: Iterable[str], fits: Fits) -> list[Entry]:
        """What may answer for these keys, if the shared store's clock says so."""
        cache = self.cache
        if cache is None:
            return []
        found = map(cache.held, keys)
        return [entry for entry in found if entry is not None and fits(entry)]

    def remnants(self, keys: Iterable[str], fits: Fits) -> dict[str, Entry]:
        """What is valid of these keys, trusted or not, fresh or stale."""
        cache = self.cache
        if cache is None:
            return {}
        found = ((key, cache.remnant(key)) for key in keys)
        return {key: entry for key, entry in found if entry is not None and fits(entry)}

    def discard(self, keys: Iterable[str]) -> None:
        """Let go of these keys' entries."""
        if self.cache is not None:
            for key in keys:
                self.cache.discard(key)

    def promote(self, entry: Entry) -> None:
        """Copy an entry of the shared store."""
        cache = self.cache
        if cache is None or (isinstance(entry, StoredEntry) and entry.counter):
            return
        now = cache.time()
        copied = self._copied(entry, now)
        if copied.dead_at > now and cache.hold(copied) and isinstance(entry, StoredEntry):
            entry.copied = copied

    def write(self, draft: Draft, ttl: float | None) -> None:
        """Take what the shared store has accepted; without write-through, drop what it replaces.

        `ttl` is its lifetime there, in seconds.
        """
        cache = self.cache
        if cache is None:
            return
        if not self._config.write_through or draft.stamp is None or draft.counter:
            cache.discard(draft.key)
            return
        epoch, asof = draft.stamp
        now = cache.time()
        fresh_until = math.inf if ttl is None else now + ttl
        entry = StoredEntry(
            draft.key,
            draft.value,
            asof=asof,
            epoch=epoch,
            tags=draft.tags,
            created=now,
            fresh_until=fresh_until,
            dead_at=fresh_until + draft.keep if draft.keep else fresh_until,
            rare=rare_of(draft.cost, draft.window, draft.etag, draft.proof),
            seen=asof,
            type_id=draft.decoded_as,
            weight=len(draft.payload or b""),
            no_expiry=draft.ttl is None,
        )
        entry.check_at = min(fresh_until, now + draft.renew_after)
        self.promote(entry)

    def _copied(self, entry: Entry, now: float) -> Entry:
        """An entry for its part of the lifetime, and never beyond the end in the shared store.

        The copy of a sliding entry ends early, for the shared store has to learn that it is read.
        """
        created = entry.created if isinstance(entry, StoredEntry) else now
        part = (entry.fresh_until - created) * self._config.l1_ttl_fraction
        if entry.more.window:
            part = min(part, entry.more.window * UNTOUCHED_PART)
        fresh_until = min(entry.fresh_until, now + part)
        kept = entry.kept
        copied = Entry(
            entry.key,
            entry.value,
            asof=entry.asof,
            epoch=entry.epoch,
            tags=entry.tags,
            fresh_until=fresh_until,
            dead_at=min(entry.dead_at, max(fresh_until, now) + kept) if kept else fresh_until,
            rare=entry.rare,
            seen=entry.seen,
            type_id=entry.type_id,
            weight=entry.weight,
        )
        copied.arm(entry.check_at, entry.fresh_until)
        return copied
