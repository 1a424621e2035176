"""Two tiers: a store in this process over a shared one."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Final, Literal, Self, TypeVar, get_args

from armature_cache.config import DEFAULT_STALENESS_BOUND, check_bound
from armature_cache.entry import UNTOUCHED_PART, Entry, rare_of
from armature_cache.errors import BackendError, BackendUnavailable, ConfigError
from armature_cache.loading import Flights
from armature_cache.options import Consistency, check_consistency, check_seconds
from armature_cache.stores.base import CacheStore
from armature_cache.stores.draft import Draft, Prepared
from armature_cache.stores.memory import InMemoryCache
from armature_cache.stores.null import NullCache
from armature_cache.stores.stats import CacheStats, Counters, snapshot
from armature_cache.stores.tagged import TaggedCache

if TYPE_CHECKING:
    from armature_cache._runtime.base import Signal
    from armature_cache._time import TimeSource
    from armature_cache.claims import Claim, Holder

T = TypeVar("T")
OnL2Down = Literal["load", "serve_stale", "raise"]


@dataclasses.dataclass(frozen=True, slots=True)
class TieredCacheConfig:
    """How two tiers work together.

    `enable_l1` and `enable_l2` use a tier at all. `write_through` writes sets to L1 too, not only
    to L2. `promote_to_l1` copies L2 hits to L1. `l1_ttl_fraction` (above 0, at most 1) is L1's
    lifetime as a part of L2's. `staleness_bound` is how long, in seconds, L1 is trusted after its
    last contact with L2. `on_l2_down` says what reads of a key do when L2 fails: `load` (a miss),
    `raise`, or `serve_stale`: what L1 holds, for `serve_stale_for` seconds beyond trust, then a
    miss. Writes, listings and scans raise under each of them. `consistency` is that of reads which
    say nothing of it: with `strong`, which L2's own setting implies, each of them asks L2.
    """

    enable_l1: bool = True
    enable_l2: bool = True
    write_through: bool = True
    promote_to_l1: bool = True
    l1_ttl_fraction: float = 0.25
    staleness_bound: float = DEFAULT_STALENESS_BOUND
    on_l2_down: OnL2Down = "load"
    serve_stale_for: float = 60.0
    consistency: Consistency = "bounded"

    def __post_init__(self) -> None:
        fraction = self.l1_ttl_fraction
        number = isinstance(fraction, int | float) and not isinstance(fraction, bool)
        if not number or not 0 < fraction <= 1:
            raise ConfigError(
                f"l1_ttl_fraction is above 0 and at most 1, not {fraction!r}",
                field="l1_ttl_fraction",
            )
        if not self.enable_l1 and not self.enable_l2:
            raise ConfigError(
                "enable_l1 and enable_l2 are both off; use NullCache to cache nothing",
                field="enable_l2",
            )
        if self.on_l2_down not in get_args(OnL2Down):
            raise ConfigError(
                f"on_l2_down is one of {get_args(OnL2Down)}, not {self.on_l2_down!r}",
                field="on_l2_down",
            )
        check_consistency(self.consistency)
        check_bound(self.staleness_bound)
        check_seconds("serve_stale_for", self.serve_stale_for)


DEFAULT: Final = TieredCacheConfig()


class TieredCache(CacheStore):
    """L1 in this process over a shared L2; itself a store.

    Reads look in L1, then in L2, whose hits are promoted for no longer than they live there. What
    L1 serves is judged by L2's tag clock, so that an invalidation made through any process that
    shares L2 is seen here within the staleness bound.
    """

    def __init__(self, l1: CacheStore, l2: CacheStore, config: TieredCacheConfig = DEFAULT) -> None:
        if not isinstance(config, TieredCacheConfig):
            raise ConfigError("config is a TieredCacheConfig", field="config")
        self.config = config
        self.l1, self.l2 = l1, l2
        self._near, self._wrappers = _near_tier(l1)
        self._far = l2
        if not isinstance(l2, CacheStore):
            raise ConfigError(
                f"l2 is an async store of armature_cache, not {type(l2).__name__}; the stores of "
                "armature_cache.sync go into armature_cache.sync.TieredCache",
                field="l2",
            )
        if l1 is l2 or self._near is l2:
            raise ConfigError("l1 and l2 are the same store", field="l1")
        self.counters = Counters()
        self.policy = l2.policy
        self._use_l1 = config.enable_l1 and self._near is not None
        self._arrange()

    def _arrange(self) -> None:
        near, far, config = self._near, self._far, self.config
        if not config.enable_l2 and near is not None:
            source: CacheStore = near
        else:
            source = far
            self._adopt()
        self.clock, self.runtime, self.time = source.clock, source.runtime, source.time
        self.bound = config.staleness_bound if config.enable_l2 else math.inf
        self.clock.declare_bound(self.bound)
        self.default_ttl, self.max_ttl = far.default_ttl, far.max_ttl
        self.max_load_time = far.max_load_time
        self.supports_tags = far.supports_tags
        self.isolates = source.isolates or (self._use_l1 and near is not None and near.isolates)
        self.tolerant = config.on_l2_down != "raise"
        self._flights = Flights(self.runtime)
        self._outage = _Outage(self.time)
        self.hook = source.hook
        if near is not None and near.hook is not self.hook:
            near._listen_to(self.hook)
        self.strong = config.enable_l2 and (config.consistency == "strong" or far.strong)
        self._nearest()._followed_by(self)
        self._follow_peek()

    def _nearest(self) -> CacheStore:
        return self._near if self._use_l1 and self._near is not None else self._far

    def _follow_peek(self) -> None:
        # A hit takes no detour; a strong one takes a round trip.
        self._peek = _no_peek if self.strong else self._nearest()._peek  # type: ignore[method-assign]
        self._tell_followers()

    def _adopt(self) -> None:
        if self._near is None or not self._use_l1:
            return
        self._near.adopt(self._far.clock, self.config.staleness_bound)
        for wrapper in self._wrappers:
            wrapper._follow()

    def __repr__(self) -> str:
        return f"<TieredCache {self.l1!r} over {self.l2!r}>"

    # -- reading -----------------------------------------------------------------------------

    def _peek(self, key: str) -> Entry | None:
        return None if self.strong else self._nearest()._peek(key)

    def _remnant(self, key: str) -> Entry | None:
        return self._nearest()._remnant(key)

    async def _claim(
        self, keys: Sequence[str], mine: Holder, life: float, *, instead_of: str = ""
    ) -> list[Claim]:
        return await self._source()._claim(keys, mine, life, instead_of=instead_of)

    async def _release(self, keys: Sequence[str], nonce: str) -> None:
        await self._source()._release(keys, nonce)

    def _listening(self, key: str) -> AbstractContextManager[Signal]:
        return self._source()._listening(key)

    def _fits(self, entry: Entry, want: object) -> bool:
        return self._source()._fits(entry, want)

    def _source(self) -> CacheStore:
        """The tier that decides what a value looks like."""
        if self.config.enable_l2 or self._near is None:
            return self._far
        return self._near

    async def _fetch(
        self, keys: Sequence[str], want: object, *, strong: bool, stale: bool = False
    ) -> dict[str, Entry]:
        if not self.config.enable_l2:
            return await self._source()._fetch(keys, want, strong=strong, stale=stale)
        try:
            self._outage.check()
            found = await self._fetch_trusted(keys, want, strong=strong, stale=stale)
        except BackendError as error:
            self._outage.failed()
            if self.config.on_l2_down == "raise":
                raise
            self._failed("L2 failed, reads do without it", error)
            return {} if strong or not self._use_l1 else self._untrusted(keys, want)
        self._outage.over()
        return found

    async def _fetch_trusted(
        self, keys: Sequence[str], want: object, *, strong: bool, stale: bool
    ) -> dict[str, Entry]:
        found = await self._fetch_near(keys, want, strong=strong)
        rest = [key for key in keys if key not in found]
        if rest:
            fetched = await self._far._fetch(rest, want, strong=strong, stale=stale)
            if self._use_l1 and self.config.promote_to_l1:
                fetched = {key: self._promote(entry) for key, entry in fetched.items()}
            found |= fetched
            if stale and len(found) < len(keys):
                found |= self._left_over([key for key in rest if key not in fetched], want)
        return found

    def _left_over(self, keys: Sequence[str], want: object) -> dict[str, Entry]:
        """What L1 still has of keys that L2 has lost: stale from the end of its own part on."""
        near = self._near
        if near is None or not self._use_l1:
            return {}
        found = {key: self._fitting(near.remnant(key), want) for key in keys}
        left = {key: entry for key, entry in found.items() if entry is not None}
        for entry in left.values():
            if entry.until > -math.inf:
                entry.soften(entry.until)
        return left

    async def _fetch_near(
        self, keys: Sequence[str], want: object, *, strong: bool
    ) -> dict[str, Entry]:
        """What L1 holds of these keys, after a sync: it was not trusted when it was peeked at."""
        near = self._near
        if near is None or not self._use_l1:
            return {}
        if not any(self._resident(near, key, want) for key in keys):
            return {}
        await self.clock.ensure(self.bound, strong=strong)
        found: dict[str, Entry] = {}
        for key in keys:
            entry = self._resident(near, key, want)
            if entry is not None:
                entry.visits += 1
                found[key] = entry
        near.counters.hits += len(found)
        self._tell_hits(found.values(), self.time(), "memory")
        return found

    def _resident(self, near: InMemoryCache, key: str, want: object) -> Entry | None:
        return self._fitting(near.resident(key), want)

    def _fitting(self, entry: Entry | None, want: object) -> Entry | None:
        return entry if entry is not None and (want is None or self._fits(entry, want)) else None

    def _untrusted(self, keys: Sequence[str], want: object) -> dict[str, Entry]:
        """What the policy lets L1 serve while L2 cannot be asked."""
        near, config = self._near, self.config
        age = self.time() - self.clock.replica.synced_at
        if (
            near is None
            or config.on_l2_down != "serve_stale"
            or age > self.bound + config.serve_stale_for
        ):
            return {}
        found = {key: self._fitting(near.remnant(key), want) for key in keys}
        served = {key: entry for key, entry in found.items() if entry is not None}
        self.counters.stale_served += len(served)
        return served

    def _promote(self, entry: Entry) -> Entry:
        """Copy an L2 hit to L1; the copy, where it was kept."""
        near = self._near
        if near is None or entry.counter:
            return entry
        copied = self._copied(entry, self.time())
        return copied if copied.dead_at > self.time() and near.hold(copied) else entry

    def _copied(self, entry: Entry, now: float) -> Entry:
        """An L2 entry for L1: for its part of the lifetime, and never beyond L2's end.

        The copy of a sliding entry ends early, for L2 has to learn that it is read.
        """
        part = (entry.fresh_until - entry.created) * self.config.l1_ttl_fraction
        if entry.more.window:
            part = min(part, entry.more.window * UNTOUCHED_PART)
        until = min(entry.fresh_until, now + part)
        kept = entry.dead_at - entry.fresh_until if entry.dead_at > entry.fresh_until else 0.0
        dead_at = min(entry.dead_at, max(until, now) + kept) if kept else until
        copied = Entry(
            entry.key,
            entry.value,
            asof=entry.asof,
            epoch=entry.epoch,
            tags=entry.tags,
            created=entry.created,
            fresh_until=entry.fresh_until,
            dead_at=dead_at,
            rare=entry.rare,
            seen=entry.seen,
            type_id=entry.type_id,
            weight=entry.weight,
            no_expiry=entry.no_expiry,
        )
        copied.until, copied.check_at = until, min(until, entry.check_at)
        return copied

    async def _probe(self, keys: Sequence[str]) -> dict[str, Entry]:
        try:
            return await self._source()._probe(keys)
        except BackendError as error:
            if not self.tolerant:
                raise
            self._failed("L2 failed, reads do without it", error)
            return {}

    # -- writing -----------------------------------------------------------------------------

    def _prepare(self, value: object, want: object) -> Prepared:
        return self._source()._prepare(value, want)

    async def _write(self, drafts: Sequence[Draft]) -> list[bool]:
        if not self.config.enable_l2:
            return await self._source()._write(drafts)
        if all(draft.stamp is not None and not draft.leased for draft in drafts):
            self._outage.check()
        try:
            stored = await self._far._write(drafts)
        except BackendError:
            self._outage.failed()
            raise
        for draft, kept in zip(drafts, stored, strict=True):
            if kept:
                self._write_near(draft)
        return stored

    def _write_near(self, draft: Draft) -> None:
        """Give L1 what L2 has accepted; without write-through, rid it of what it replaces."""
        near = self._near
        if near is None or not self._use_l1:
            return
        if not self.config.write_through or draft.stamp is None or draft.counter:
            near.discard(draft.key)
            return
        epoch, asof = draft.stamp
        now = self.time()
        ttl = self._far.max_ttl if draft.ttl is None else draft.ttl
        fresh_until = math.inf if ttl is None else now + ttl
        entry = Entry(
            draft.key,
            draft.value,
            asof=asof,
            epoch=epoch,
            tags=draft.tags,
            created=now,
            fresh_until=fresh_until,
            dead_at=fresh_until + draft.keep if draft.keep else fresh_until,
            rare=rare_of(draft.cost, draft.window, draft.etag),
            seen=asof,
            type_id=draft.decoded_as,
            weight=len(draft.payload or b""),
            no_expiry=draft.ttl is None,
        )
        entry.check_at = min(fresh_until, now + draft.renew_after)
        self._promote(entry)

    async def _add(self, draft: Draft) -> bool:
        added = await self._source()._add(draft)
        if added and self.config.enable_l2:
            self._write_near(draft)
        return added

    async def _remove(self, keys: Sequence[str]) -> list[bool]:
        return await self._beyond(self._source()._remove(keys), keys)

    async def _restamp(self, key: str, ttl: float | None) -> bool:
        return await self._beyond(self._source()._restamp(key, ttl), (key,))

    async def _increment(
        self, key: str, delta: int, ttl: float | None, tags: tuple[str, ...]
    ) -> int:
        return await self._beyond(self._source()._increment(key, delta, ttl, tags), (key,))

    async def _beyond(self, change: Awaitable[T], keys: Sequence[str]) -> T:
        """Change L2 first, then let go of what L1 has: a reader in between cannot revive it."""
        outcome = await change
        if self._near is not None and self._use_l1 and self.config.enable_l2:
            for key in keys:
                self._near.discard(key)
        return outcome

    async def _invalidate(self, tags: Sequence[str]) -> None:
        await self._source()._invalidate(tags)

    async def _invalidate_and_remove(self, tags: Sequence[str], keys: Sequence[str]) -> list[bool]:
        return await self._beyond(self._source()._invalidate_and_remove(tags, keys), keys)

    async def _restart(self) -> None:
        await self._source()._restart()
        if self._near is not None:
            self._near.drop_all()

    # -- the rest ----------------------------------------------------------------------------

    def _scan(self, prefix: str) -> AsyncIterator[str]:
        return self._source()._scan(prefix)

    async def _tagged_keys(self, tag: str, *, exact: bool) -> list[str]:
        return await self._source()._tagged_keys(tag, exact=exact)

    async def _live_tags(self) -> list[str]:
        return await self._source()._live_tags()

    def _snapshot(self) -> CacheStats:
        far = self._far._snapshot()
        near = self._near._snapshot() if self._near is not None else None
        mine = snapshot("tiered", self.counters)
        tiers = tuple(tier for tier in (near, far) if tier is not None)
        last = far if self.config.enable_l2 or near is None else near
        return dataclasses.replace(
            mine,
            hits=sum(tier.hits for tier in tiers),
            misses=last.misses,
            errors=mine.errors + far.errors,
            undecodable=far.undecodable,
            syncs=far.syncs,
            pending_invalidations=far.pending_invalidations,
            coherence=far.coherence,
            tiers=tiers,
        )

    async def _ping(self) -> None:
        await self._source()._ping()

    async def _close(self) -> None:
        try:
            await self._far._close()
        finally:
            if self._near is not None:
                await self._near._close()

    def _blocking(self) -> Self:
        twin = copy.copy(self)
        twin.__dict__.pop("_followers", None)
        twin._far = self._far._blocking()
        if self._near is not None:
            twin._near = self._near._blocking()
        twin._arrange()
        return twin


class _Outage:
    """Spares a failing L2: after a failure, reads do without it for 20 ms to 1 s."""

    __slots__ = ("_failures", "_time", "_until")

    def __init__(self, time: TimeSource) -> None:
        self._time = time
        self._failures = 0
        self._until = -math.inf

    def check(self) -> None:
        """Raise `BackendUnavailable` while L2 is to be spared."""
        if self._failures and self._time() < self._until:
            raise BackendUnavailable("L2 failed a moment ago and is tried again within a second")

    def failed(self) -> None:
        """L2 has failed, or was spared."""
        now = self._time()
        if now >= self._until:
            self._failures = min(self._failures + 1, 8)
            self._until = now + min(1.0, 0.01 * 2**self._failures)

    def over(self) -> None:
        """L2 has answered."""
        self._failures = 0


def _no_peek(key: str) -> Entry | None:  # noqa: ARG001 - what it stands in for takes one
    return None


def _near_tier(l1: CacheStore) -> tuple[InMemoryCache | None, list[TaggedCache]]:
    """The in-process store within what was given as L1, and what it is wrapped in, innermost first.

    There is none for a null store.
    """
    inner = l1
    wrappers: list[TaggedCache] = []
    while isinstance(inner, TaggedCache):
        wrappers.insert(0, inner)
        inner = inner.store
    if isinstance(inner, NullCache):
        return None, wrappers
    if isinstance(inner, InMemoryCache):
        return inner, wrappers
    raise ConfigError(
        f"l1 is an in-process store, InMemoryCache, not {type(l1).__name__}; for more than two "
        "tiers nest on the other side: TieredCache(InMemoryCache(), TieredCache(...))",
        field="l1",
    )
