"""Two tiers: a store in this process over a shared one."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Self, TypeVar

from armature_cache._runtime.base import Overdue
from armature_cache.entry import Entry
from armature_cache.errors import BackendError, BackendTimeout, ConfigError
from armature_cache.events import StaleServed
from armature_cache.loading import Flights
from armature_cache.stores.base import CacheStore
from armature_cache.stores.breaker import Breaker
from armature_cache.stores.draft import Draft, Prepared
from armature_cache.stores.memory import InMemoryCache
from armature_cache.stores.near import Fits, Near
from armature_cache.stores.null import NullCache
from armature_cache.stores.stats import CacheStats, Counters, snapshot
from armature_cache.stores.tagged import TaggedCache
from armature_cache.stores.tier_config import DEFAULT, TieredCacheConfig

if TYPE_CHECKING:
    from armature_cache._runtime.base import Shared, Signal
    from armature_cache.advice import Advice
    from armature_cache.claims import Claim, Holder

T = TypeVar("T")


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
        self._first, self._wrappers = _near_tier(l1)
        self._far = l2
        if not isinstance(l2, CacheStore):
            raise ConfigError(
                f"l2 is an async store of armature_cache, not {type(l2).__name__}; the stores of "
                "armature_cache.sync go into armature_cache.sync.TieredCache",
                field="l2",
            )
        if l1 is l2 or self._first is l2:
            raise ConfigError("l1 and l2 are the same store", field="l1")
        self.counters = Counters()
        self.policy = l2.policy
        self._arrange()

    def _arrange(self) -> None:
        first, far, config = self._first, self._far, self.config
        self._near = Near(first, config)
        source: CacheStore = far
        if not config.enable_l2 and first is not None:
            source = first
        else:
            self._adopt()
        self.clock, self.runtime, self.time = source.clock, source.runtime, source.time
        self.bound = config.staleness_bound if config.enable_l2 else math.inf
        self.clock.declare_bound(self.bound)
        self.default_ttl, self.max_ttl = far.default_ttl, far.max_ttl
        self.max_load_time = far.max_load_time
        self.supports_tags = far.supports_tags
        near = self._near.cache
        self.isolates = source.isolates or (near is not None and near.isolates)
        self.tolerant = config.on_l2_down != "raise"
        self._flights = Flights(self.runtime)
        self._later: set[Shared[Any]] = set()
        self.hook = source.hook
        self._breaker = Breaker(
            self.time, self.hook, failures=config.breaker_failures, pause=config.breaker_pause
        )
        self._noted = _Noted(self._breaker)
        if first is not None and first.hook is not self.hook:
            first._listen_to(self.hook)
        self.strong = config.enable_l2 and (config.consistency == "strong" or far.strong)
        self._nearest()._followed_by(self)
        self._follow_peek()

    def _nearest(self) -> CacheStore:
        return self._far if self._near.cache is None else self._near.cache

    def _follow_peek(self) -> None:
        # A hit takes no detour; a strong one takes a round trip.
        self._hold(_no_peek if self.strong else self._nearest()._peek)

    def _adopt(self) -> None:
        if self._near.cache is None:
            return
        self._near.cache.adopt(self._far.clock, self.config.staleness_bound)
        for wrapper in self._wrappers:
            wrapper._follow()

    def __repr__(self) -> str:
        return f"<TieredCache {self.l1!r} over {self.l2!r}>"

    # -- reading -----------------------------------------------------------------------------

    def _peek(self, key: str) -> Entry | None:
        return None if self.strong else self._nearest()._peek(key)

    def _remnant(self, key: str) -> Entry | None:
        return self._nearest()._remnant(key)

    async def _ensure(self, *, strong: bool) -> None:
        if not self.config.enable_l2:
            await self._source()._ensure(strong=strong)
            return
        self._breaker.check()
        with self._noted:
            await self.clock.ensure(self.bound, strong=strong)

    async def _claim(
        self, keys: Sequence[str], mine: Holder, life: float, *, instead_of: str = ""
    ) -> list[Claim]:
        if not self.config.enable_l2:
            return await self._source()._claim(keys, mine, life, instead_of=instead_of)
        self._breaker.check()
        with self._noted:
            return await self._far._claim(keys, mine, life, instead_of=instead_of)

    async def _release(self, keys: Sequence[str], nonce: str) -> None:
        if not self.config.enable_l2:
            await self._source()._release(keys, nonce)
            return
        try:
            self._breaker.check()
        except BackendError:  # nobody waits for this, but others for what is claimed
            self._do_later(lambda: self._far._release(keys, nonce), "a claim was not given up")
        else:
            with self._noted:
                await self._far._release(keys, nonce)

    def _listening(self, key: str) -> AbstractContextManager[Signal]:
        return self._source()._listening(key)

    def _fits(self, entry: Entry, want: object) -> bool:
        return self._source()._fits(entry, want)

    def _source(self) -> CacheStore:
        """The tier that decides what a value looks like."""
        if self.config.enable_l2 or self._first is None:
            return self._far
        return self._first

    async def _fetch(
        self, keys: Sequence[str], want: object, *, strong: bool, stale: bool = False
    ) -> dict[str, Entry]:
        if not self.config.enable_l2:
            return await self._source()._fetch(keys, want, strong=strong, stale=stale)
        try:
            self._breaker.check()
            read = self._fetch_trusted if self.config.waits_for_l2 else self._patiently
            return await read(keys, want, strong=strong, stale=stale)
        except BackendError as error:
            if self.config.on_l2_down == "raise":
                raise
            self._failed("L2 failed, reads do without it", error)
            return {} if strong else self._untrusted(keys, want, stale=stale)

    async def _fetch_trusted(
        self, keys: Sequence[str], want: object, *, strong: bool, stale: bool
    ) -> dict[str, Entry]:
        """What the tiers have; what L1 has after a sync: it was not trusted when peeked at."""

        def fits(entry: Entry) -> bool:
            return self._suits(entry, want)

        near = self._near
        held = near.held(keys, fits)
        found = await self._confirmed(held, keys, fits, strong=strong) if held else {}
        rest = [key for key in keys if key not in found] if found else keys
        if not rest:
            return found
        with self._noted:
            far = await self._far._fetch(rest, want, strong=strong, stale=stale)
        if near.cache is not None and self.config.promote_to_l1:
            for entry in far.values():
                near.promote(entry)
        if stale and len(far) < len(rest):
            far |= near.remnants([key for key in rest if key not in far], fits)
        return found | far

    async def _confirmed(
        self, held: Sequence[Entry], keys: Sequence[str], fits: Fits, *, strong: bool
    ) -> dict[str, Entry]:
        """What L1 holds and may answer after a sync."""
        with self._noted:
            await self.clock.confirm(held, self.bound, strong=strong)
        found = self._near.confirmed(keys, fits)
        self._tell_hits(found.values(), self.time(), "memory")
        return found

    async def _patiently(
        self, keys: Sequence[str], want: object, *, strong: bool, stale: bool
    ) -> dict[str, Entry]:
        """What the tiers have of these keys; what L1 has instead, once L2 takes too long."""
        config = self.config
        shared = self.runtime.shared(
            lambda: self._fetch_trusted(keys, want, strong=strong, stale=stale), apart=True
        )
        soft, hard = config.l2_soft_timeout, config.l2_hard_timeout
        if soft is not None:
            try:
                return await shared.join(soft)
            except Overdue:
                instead = {} if strong else self._instead(keys, want, stale=stale)
                if len(instead) == len(keys):
                    return instead
        try:
            return await shared.join(None if hard is None else max(0.0, hard - (soft or 0.0)))
        except Overdue:
            self._breaker.failed()
            raise BackendTimeout(
                f"L2 did not answer within l2_hard_timeout={hard} s; look at its load"
            ) from None

    def _instead(self, keys: Sequence[str], want: object, *, stale: bool) -> dict[str, Entry]:
        """What L1 may return in place of what L2 is too slow to say."""
        replica = self.clock.replica
        if self.time() - replica.synced_at >= self.bound:
            return self._untrusted(keys, want, stale=stale)
        if not stale:
            return {}
        return self._near.remnants(keys, lambda entry: self._suits(entry, want))

    def _untrusted(self, keys: Sequence[str], want: object, *, stale: bool) -> dict[str, Entry]:
        """What the policy lets L1 serve while L2 cannot be asked."""
        config, now = self.config, self.time()
        age = now - self.clock.replica.synced_at
        if config.on_l2_down != "serve_stale" or age > self.bound + config.serve_stale_for:
            return {}
        found = self._near.remnants(
            keys,
            lambda entry: (stale or now < entry.fresh_until) and self._suits(entry, want),
        )
        self.counters.stale_served += len(found)
        if self.hook.listeners:
            for key in found:
                self.hook.emit(StaleServed(key, "untrusted"))
        return found

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
        if any(draft.stamp is None or draft.leased for draft in drafts):
            return await self._write_now(drafts)
        self._breaker.check()
        if not self.config.background_writes:
            return await self._write_now(drafts)
        return self._write_later(drafts)

    async def _write_now(self, drafts: Sequence[Draft]) -> list[bool]:
        with self._noted:
            stored = await self._far._write(drafts)
        for draft, kept in zip(drafts, stored, strict=True):
            if kept:
                self._write_near(draft)
        return stored

    def _write_near(self, draft: Draft) -> None:
        self._near.write(draft, self._far.max_ttl if draft.ttl is None else draft.ttl)

    def _write_later(self, drafts: Sequence[Draft]) -> list[bool]:
        """Store loaded values in L1 at once, in L2 in the background.

        L1 judges them by their stamps like L2, so that one which L2 will refuse, since something
        has happened after its load began, is dead within the staleness bound.
        """
        copies = [dataclasses.replace(draft) for draft in drafts]

        async def write() -> None:
            try:
                await self._far._write(copies)
            finally:
                claims = {copy.key: copy.claim for copy in copies if copy.claim}
                for nonce in set(claims.values()):
                    await self._far._release([*claims], nonce)

        if not self._do_later(write, "a loaded value could not be stored in L2"):
            raise BackendTimeout("too many values wait to be stored in L2")
        for draft in drafts:
            draft.claim = ""
            self._write_near(draft)
        return [True] * len(drafts)

    def _do_later(self, work: Callable[[], Awaitable[object]], failure: str) -> bool:
        """Do with L2 what nobody waits for but `_close`; False where there is no room for it."""

        async def done() -> None:
            try:
                with self._noted:
                    await work()
            except BackendError as error:
                self._failed(failure, error)
            finally:
                self._later.discard(shared)

        shared = self.runtime.shared(done, apart=True)
        self._later.add(shared)
        if shared.launch():
            return True
        self._later.discard(shared)
        return False

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
        """Change L2 first, then let go of what L1 has: a reader in between cannot revive it.

        Also after a failure: nobody knows then what was done.
        """
        try:
            return await change
        finally:
            if self.config.enable_l2:
                self._near.discard(keys)

    async def _invalidate(self, tags: Sequence[str]) -> None:
        await self._source()._invalidate(tags)

    async def _invalidate_and_remove(self, tags: Sequence[str], keys: Sequence[str]) -> list[bool]:
        return await self._beyond(self._source()._invalidate_and_remove(tags, keys), keys)

    async def _restart(self) -> None:
        await self._source()._restart()
        if self._first is not None:
            self._first.drop_all()

    # -- the rest ----------------------------------------------------------------------------

    def _scan(self, prefix: str) -> AsyncIterator[str]:
        return self._source()._scan(prefix)

    async def _tagged_keys(self, tag: str, *, exact: bool) -> list[str]:
        return await self._source()._tagged_keys(tag, exact=exact)

    async def _live_tags(self) -> list[str]:
        return await self._source()._live_tags()

    def _snapshot(self) -> CacheStats:
        far = self._far._snapshot()
        near = self._first._snapshot() if self._first is not None else None
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

    async def _advise(self) -> tuple[Advice, ...]:
        return await self._source()._advise()

    async def _ping(self) -> None:
        await self._source()._ping()

    async def _close(self) -> None:
        try:
            for shared in list(self._later):
                await shared.join()
            await self._far._close()
        finally:
            if self._first is not None:
                await self._first._close()

    def _blocking(self) -> Self:
        twin = self._twin()
        twin._far = self._far._blocking()
        if self._first is not None:
            twin._first = self._first._blocking()
        twin._arrange()
        return twin


class _Noted:
    """Tells the breaker how an operation of L2 ended."""

    __slots__ = ("_breaker",)

    def __init__(self, breaker: Breaker) -> None:
        self._breaker = breaker

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._breaker.over()
        elif issubclass(kind, BackendError):
            self._breaker.failed()


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
