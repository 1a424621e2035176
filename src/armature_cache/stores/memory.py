"""The in-process store: bounded, expiring, shared by threads and event loops."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Final, Self

from armature_cache._runtime.aio import ASYNC
from armature_cache._runtime.blocking import BLOCKING
from armature_cache._time import TimeSource, boottime
from armature_cache.claims import Bells, Claim, Holder, LocalClaims, version_of
from armature_cache.clocks.judgement import Stamp, Verdict
from armature_cache.clocks.local import LocalClock
from armature_cache.engine import Engine
from armature_cache.entry import UNTOUCHED_PART, Entry, rare_of
from armature_cache.errors import ConfigError, CounterError
from armature_cache.events import Hook
from armature_cache.loading import Flights
from armature_cache.options import TTL, check_count, resolve_ttl
from armature_cache.policy import DEFAULT_POLICY, LoadPolicy, check_policy
from armature_cache.stores.draft import Draft, Prepared
from armature_cache.stores.residents import Residents, weigh
from armature_cache.stores.stats import CacheStats, Counters, snapshot

if TYPE_CHECKING:
    from armature_cache._runtime.base import Signal
    from armature_cache.stores.isolation import Care

INT64: Final = (-(2**63), 2**63 - 1)

Guard = Callable[[Entry | None], bool]


class InMemoryCache(Residents):
    """A cache in this process, which holds any object by reference.

    It keeps at most `max_entries` entries and, if given, `max_bytes` bytes (by payload size under
    a second tier, else by an estimate), and evicts what is least likely to be read again. Expired
    entries leave without being asked for. Safe to share between threads, event loops and faces.

    With `isolate`, it keeps a copy of each value that can be changed, and gives every reader one
    of his own. With `detect_mutation`, for tests and debugging, it notices at the next read that a
    value was changed, warns with `CacheMutationWarning`, and drops the entry after that read.
    """

    max_ttl = None
    max_load_time = 60.0

    def __init__(
        self,
        *,
        max_entries: int = 10_000,
        max_bytes: int | None = None,
        default_ttl: TTL = None,
        isolate: bool = False,
        detect_mutation: bool = False,
        policy: LoadPolicy = DEFAULT_POLICY,
        time: TimeSource = boottime,
    ) -> None:
        if isolate and detect_mutation:
            raise ConfigError(
                "with isolate=True nobody can change what is cached; leave detect_mutation out",
                field="detect_mutation",
            )
        self.policy = check_policy(policy)
        self._engine = Engine(
            max_entries=check_count("max_entries", max_entries),
            max_bytes=None if max_bytes is None else check_count("max_bytes", max_bytes),
        )
        self._weighs = max_bytes is not None
        self.default_ttl = resolve_ttl(default_ttl, None)
        self.time = time
        self.runtime = ASYNC
        self.counters = Counters()
        self._flights = Flights(self.runtime)
        self._claims: LocalClaims = LocalClaims()
        self._bells: Bells[str] = Bells()
        self.isolates = isolate
        self._care = self._caring(watching=detect_mutation)
        self._listen_to(Hook())
        self._adopted = False
        self._follow(LocalClock(time), math.inf)

    def _caring(self, *, watching: bool) -> Care | None:
        if not (self.isolates or watching):
            return None
        from armature_cache.stores.isolation import Isolating, Watching

        if self.isolates:
            return Isolating()
        return Watching(lambda entry: self._engine.discard(entry.key, only=entry))

    def __repr__(self) -> str:
        return f"<InMemoryCache of {len(self._engine)} entries>"

    # -- claims ------------------------------------------------------------------------------

    async def _claim(
        self, keys: Sequence[str], mine: Holder, life: float, *, instead_of: str = ""
    ) -> list[Claim]:
        now = self.time()
        claims = []
        for key in keys:
            holder, left = self._claims.take(key, mine, now, life, instead_of=instead_of)
            claims.append(Claim(holder, left, version_of(self._engine.find(key))))
        return claims

    async def _release(self, keys: Sequence[str], nonce: str) -> None:
        for key in keys:
            if self._claims.release(key, nonce):
                self._bells.ring(key)

    def _listening(self, key: str) -> AbstractContextManager[Signal]:
        return self._bells.listening(key, self.runtime)

    # -- writing -----------------------------------------------------------------------------

    def _prepare(self, value: object, want: object) -> Prepared:
        if self._care is not None:
            self._care.check(value)
        return Prepared(value)

    def entry_of(self, draft: Draft, stamp: Stamp, *, seen: int) -> Entry:
        """The resident form of a draft."""
        now = self.time()
        fresh_until = math.inf if draft.ttl is None else now + draft.ttl
        entry = Entry(
            draft.key,
            draft.value,
            asof=stamp.asof,
            epoch=stamp.epoch,
            tags=draft.tags,
            fresh_until=fresh_until,
            dead_at=fresh_until + draft.keep if draft.keep else fresh_until,
            rare=rare_of(draft.cost, draft.window, draft.etag),
            seen=seen,
            type_id=draft.decoded_as,
        )
        check_after = draft.window * UNTOUCHED_PART if draft.window else draft.renew_after
        entry.check_at = min(fresh_until, now + check_after)
        return entry

    async def _write(self, drafts: Sequence[Draft]) -> list[bool]:
        return [await self._write_one(draft) for draft in drafts]

    async def _write_one(self, draft: Draft) -> bool:
        stamp = draft.stamp
        if stamp is None or draft.leased:
            overtaken = stamp is not None and not self._untouched(draft, stamp)
            if overtaken and not draft.written and self._has_same(draft):
                return True
            sequence = await self.clock.bump((), (draft.key,))
            if overtaken:
                self._engine.discard(draft.key)
                return False
            stamp = draft.stamp = Stamp(self._replica.epoch, sequence)
        entry = self.entry_of(draft, stamp, seen=self._replica.last)
        kept = self._keep(entry, lambda had: had is None or had.stamp <= entry.stamp)
        if draft.claim:
            nonce, draft.claim = draft.claim, ""
            await self._release((draft.key,), nonce)
        return kept

    def _untouched(self, draft: Draft, lease: Stamp) -> bool:
        """Whether nothing has happened to a draft's key and tags since its lease."""
        had = self._engine.find(draft.key)
        newer = had is not None and had.stamp > lease
        return not newer and self._replica.covers(draft.key, draft.tags, lease)

    def _has_same(self, draft: Draft) -> bool:
        """Whether the very value is there and valid: others missed it at the same time."""
        had = self.resident(draft.key)
        if had is None or had.tags != draft.tags or type(had.value) is not type(draft.value):
            return False
        try:
            return had.value is draft.value or bool(had.value == draft.value)
        except Exception:  # noqa: BLE001 - whatever a user's __eq__ raises, it does not say "same"
            return False

    def _keep(self, entry: Entry, guard: Guard) -> bool:
        """Put an entry that is still valid when the engine's lock is held."""
        if self._weighs:
            entry.weight = weigh(entry)
        if self._care is not None:
            self._care.take(entry)
        replica = self._replica

        def admit(had: Entry | None) -> bool:
            verdict = replica.judge(entry.key, entry.epoch, entry.asof, entry.tags)
            if verdict is not Verdict.VALID:
                self.counters.born_stale += 1
                return False
            return guard(had)

        return self._engine.put(entry, self.time(), guard=admit)

    async def _add(self, draft: Draft) -> bool:
        await self.clock.ensure(self.bound)
        old = self.resident(draft.key)
        if old is not None:
            return False
        sequence = await self.clock.bump((), (draft.key,))
        draft.stamp = Stamp(self._replica.epoch, sequence)
        return self._swap(self.entry_of(draft, draft.stamp, seen=sequence), None)

    async def _remove(self, keys: Sequence[str]) -> list[bool]:
        had = [self.resident(key) is not None for key in keys]
        await self.clock.bump((), keys)
        for key in keys:
            self._engine.discard(key)
        return had

    async def _restamp(self, key: str, ttl: float | None) -> bool:
        await self.clock.ensure(self.bound)
        entry = self.resident(key)
        if entry is None:
            return False
        now = self.time()
        kept = entry.kept
        entry.fresh_until = math.inf if ttl is None else now + ttl
        entry.check_at = entry.fresh_until
        if entry.more.window:
            entry.rare = rare_of(entry.more.cost, 0.0 if ttl is None else ttl, entry.more.etag)
            entry.check_at = now + entry.more.window * UNTOUCHED_PART
        self._engine.touch_expiry(entry, entry.fresh_until + kept)
        return True

    async def _increment(
        self, key: str, delta: int, ttl: float | None, tags: tuple[str, ...]
    ) -> int:
        while True:
            old = self.resident(key)
            value = 0 if old is None else old.value
            if not isinstance(value, int) or isinstance(value, bool):
                raise CounterError(f"the value of {key!r} is not an integer")
            total = value + delta
            if not INT64[0] <= total <= INT64[1]:
                raise CounterError(f"the counter {key!r} would leave the range of 64 bits")
            draft = Draft(key, total, None, 0, 0, tags if old is None else old.tags, ttl)
            sequence = await self.clock.bump((), (key,))
            entry = self.entry_of(draft, Stamp(self._replica.epoch, sequence), seen=sequence)
            if old is not None:
                entry.inherit_times(old)
            if self._swap(entry, old):
                return total

    def _swap(self, entry: Entry, old: Entry | None) -> bool:
        """Replace exactly what was read; nothing valid, if nothing was."""
        if old is not None:
            return self._keep(entry, lambda had: had is old)
        now = self.time()
        return self._keep(
            entry,
            lambda had: had is None or not self._still_valid(had) or now >= had.fresh_until,
        )

    async def _invalidate(self, tags: Sequence[str]) -> None:
        await self.clock.bump(tags)

    async def _restart(self) -> None:
        await self.clock.restart()
        self._engine.clear()

    def _snapshot(self) -> CacheStats:
        self._engine.expire(self.time())
        return snapshot(
            "memory",
            self.counters,
            entries=len(self._engine),
            weight=self._engine.weight if self._weighs else None,
            evictions=self._engine.evictions,
            expirations=self._engine.expirations,
        )

    async def _ping(self) -> None:
        """Nothing to reach."""

    async def _close(self) -> None:
        self._engine.clear()

    def _blocking(self) -> Self:
        twin = self._twin()
        twin.runtime = BLOCKING
        twin._flights = Flights(BLOCKING)
        self.hook.when_changed(twin._follow_peek)
        return twin
