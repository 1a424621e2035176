"""One call that wants a value which may have to be loaded: what is returned, and what is stored."""

from __future__ import annotations

import math
import random
import secrets
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, TypeVar, cast

from armature_cache import events
from armature_cache._missing import UNSET
from armature_cache._runtime.base import Overdue
from armature_cache.claims import Holder
from armature_cache.clocks.replica import Stamp, Verdict
from armature_cache.errors import BackendError, LoadTimeout
from armature_cache.load_context import NOT_MODIFIED, LoadContext, within
from armature_cache.loading import Flight, Outcome
from armature_cache.policy import LoadPolicy
from armature_cache.stores.draft import Draft
from armature_cache.stores.joining import Passenger

if TYPE_CHECKING:
    from armature_cache.entry import Entry
    from armature_cache.loading import Patience
    from armature_cache.stores.single import SingleMethods

T = TypeVar("T")

_FIRST_POLL: Final = 0.02
_LONGEST_POLL: Final = 0.5


class LoadOptions(NamedTuple):
    """How a loaded value is stored, resolved."""

    tags: tuple[str, ...]
    ttl: float | None
    want: object
    cache_none: bool
    policy: LoadPolicy


class Load(Generic[T]):
    """One call of `get_or_set` or `refresh`."""

    __slots__ = ("_key", "_loader", "_options", "_path", "_policy", "_store", "_strong")

    def __init__(
        self,
        store: SingleMethods,
        key: str,
        loader: Callable[[], T | Awaitable[T]],
        options: LoadOptions,
        *,
        strong: bool,
    ) -> None:
        self._store = store
        self._key = key
        self._loader = loader
        self._options = options
        self._policy = options.policy
        self._path = store.path + key
        self._strong = strong

    # -- what is returned ---------------------------------------------------------------------

    async def value(self) -> T:
        """The value of the key: fresh, or stale where the policy says so, or loaded."""
        flights = self._store._flights
        if self._policy.keeps_for:
            left = self._at_once()
            if left is not None:
                return self._value_of(left)
        else:
            joined = await self._joined()
            if joined is not None:
                return joined.value
        entry = await self._look()
        if entry is None:
            self._tell(events.Miss(self._path))
            return await self._loaded(None)
        now = self._store.time()
        if now < entry.fresh_until:
            if self._is_due(entry, now):
                self._renew(entry)
            return self._value_of(entry)
        if now - entry.stale_since >= self._policy.stale_while_revalidate:
            self._tell(events.Miss(self._path))
            return await self._loaded(entry)
        if not flights.rests.holds(self._path, now):
            self._renew(entry)
        return self._stale(entry, "renewing")

    async def refreshed(self) -> T:
        """The value of the key, loaded whatever is stored."""
        entry = await self._fetch(stale=True)
        await self._store._catch_up()
        slot = f"\0refresh:{self._path}"

        async def work(flight: Flight[T]) -> T:
            return await self._begin(flight, entry, "")

        return await self._store._flights.run(slot, work, self._caller(read=False))

    def _value_of(self, entry: Entry) -> T:
        return cast("T", entry.value)

    def _at_once(self) -> Entry | None:
        """What L1 may return while nothing else can be done: the load is under way, or rests."""
        store, flights, policy = self._store, self._store._flights, self._policy
        entry = None if self._strong else store._remnant(self._key)
        if entry is None or not store._suits(entry, self._options.want):
            return None
        now = store.time()
        if now < entry.fresh_until:
            return None
        age = now - entry.stale_since
        if age < policy.stale_while_revalidate and flights.is_open(self._path):
            self._note_stale("renewing")
        elif age < policy.keeps_for and flights.rests.holds(self._path, now):
            self._note_stale("waiting")
        else:
            return None
        return entry

    async def _look(self) -> Entry | None:
        """What is stored, fresh or else stale. Those who look at the same time look once."""
        store, flights, stale = self._store, self._store._flights, self._policy.keeps_for > 0
        if self._strong:
            return await self._fetch(stale=stale)
        slot = f"\0stale:{self._path}" if stale else self._path
        if flights.is_looking(slot) and await store._catch_up():
            seen = await flights.seen(slot)
            if seen is not None:
                entry = seen.value
                if entry is None:
                    return None
                if store._suits(entry, self._options.want) and self._is_valid(entry):
                    return entry
        return await flights.look(slot, lambda: self._fetch(stale=stale))

    async def _fetch(self, *, stale: bool = False) -> Entry | None:
        store, keys, want = self._store, (self._key,), self._options.want
        try:
            found = await store._fetch(keys, want, strong=self._strong, stale=stale)
        except BackendError as error:
            store._failed("a read failed, its value is loaded instead", error)
            return None
        return found.get(self._key)

    def _is_due(self, entry: Entry, now: float) -> bool:
        """Whether a fresh entry is to be loaded again ahead of its end."""
        if not self._policy.renews_ahead:
            return False
        if entry.check_at >= entry.until:
            left = self._renew_after(entry.fresh_until - entry.created, entry.more.cost)
            entry.check_at = min(entry.created + left, entry.until)
        return now >= entry.check_at and not self._store._flights.rests.holds(self._path, now)

    def _renew_after(self, ttl: float, cost: float) -> float:
        draw = 1.0 - random.random()  # noqa: S311 - spreads loads, guards nothing
        return self._policy.renew_after(ttl, cost, draw)

    def _stale(self, entry: Entry, reason: events.StaleReason) -> T:
        self._note_stale(reason)
        return self._value_of(entry)

    def _note_stale(self, reason: events.StaleReason) -> None:
        self._store.counters.stale_served += 1
        hook = self._store.hook
        if hook.listeners:
            hook.emit(events.StaleServed(self._path, reason))

    # -- waiting for a load -------------------------------------------------------------------

    def _caller(self, *, read: bool = True) -> Passenger:
        store = self._store
        tags = store._tag_paths(self._options.tags)
        return Passenger(store, self._path, tags, strong=self._strong, read=read)

    def _until(self, *, with_stale: bool) -> Patience:
        seconds, time = self._policy.patience(with_stale=with_stale), self._store.time
        if seconds is None:
            return None
        end = time() + seconds
        return lambda: max(0.0, end - time())

    async def _joined(self) -> Outcome[T] | None:
        flights = self._store._flights
        if not flights.is_open(self._path):
            return None
        try:
            return await flights.join(self._path, self._caller(), self._until(with_stale=False))
        except Overdue:
            raise self._too_slow() from None

    async def _loaded(self, entry: Entry | None) -> T:
        """Load; where that fails or takes long, what the policy has instead."""
        store, policy = self._store, self._policy
        now = store.time()
        stale = entry if entry and now - entry.stale_since < policy.stale_for else None
        rests = store._flights.rests
        if stale is not None and rests.holds(self._path, now):
            return self._stale(stale, "waiting")
        patience = self._until(with_stale=stale is not None)
        try:
            return await store._flights.run(
                self._path, lambda flight: self._work(flight, entry), self._caller(), patience
            )
        except Overdue:
            store.counters.timeouts += 1
            error: Exception = self._too_slow(soft=stale is not None)
            reason: events.StaleReason = "timeout"
        except Exception as failure:  # noqa: BLE001 - what a loader raises
            error, reason = failure, "error"
        if policy.forgives(error):
            if stale is not None and self._is_valid(stale):
                return self._stale(stale, reason)
            if policy.fallback is not UNSET:
                return cast("T", policy.fallback)
        raise error

    def _is_valid(self, entry: Entry) -> bool:
        """Whether an entry has not been invalidated since it was looked at."""
        judge = self._store.clock.replica.judge
        return judge(self._path, entry.epoch, entry.asof, entry.tags) is Verdict.VALID

    def _too_slow(self, *, soft: bool = False) -> LoadTimeout:
        seconds = self._policy.patience(with_stale=soft) or 0.0
        hook = self._store.hook
        if hook.listeners:
            hook.emit(events.LoadTimedOut(self._path, seconds, soft))
        return LoadTimeout(
            f"{self._key!r} took longer to load than {seconds} s; the load goes on in the "
            "background. Raise hard_timeout, or give stale_for or a fallback",
            seconds=seconds,
        )

    # -- loading ------------------------------------------------------------------------------

    def _renew(self, entry: Entry) -> None:
        """Load in the background; the entry serves meanwhile."""
        store = self._store
        tags = store._tag_paths(self._options.tags)
        if store._flights.launch(self._path, lambda flight: self._work(flight, entry), tags):
            entry.check_at = max(entry.check_at, entry.until)
            store.counters.renewals += 1

    async def _work(self, flight: Flight[T], entry: Entry | None) -> T:
        """The value, loaded by this process unless another does so first."""
        nonce = await self._claim(flight, entry)
        if flight.found is not None:
            return self._value_of(flight.found)
        if flight.launched:
            await self._store._catch_up()
        return await self._begin(flight, entry, nonce)

    async def _claim(self, flight: Flight[T], known: Entry | None) -> str:
        """Claim the load; while another holds it, wait for what it stores.

        Returns the nonce of the claim, '' without one. What was stored meanwhile is the flight's
        `found` then.
        """
        store, life = self._store, self._policy.lock_timeout
        if not life or flight.alone:
            return ""
        mine = Holder(secrets.token_hex(8), *store.clock.replica.stamp())
        stamp = known.stamp if known is not None else (0, 0)
        began, holder, give_up_at, poll = store.time(), "", 0.0, _FIRST_POLL
        doomed = ""
        while True:
            with store._listening(self._key) as signal:
                try:
                    claim = await store._claim(self._key, mine, life, instead_of=doomed)
                except BackendError as error:
                    store._failed("a load could not be claimed", error)
                    return ""
                held = claim.holder.nonce == mine.nonce
                if claim.stored is not None and claim.stored > stamp:
                    stamp = claim.stored
                    if await self._finds(flight):
                        await self._release(mine.nonce if held else "")
                        return ""
                now = store.time()
                if held:
                    self._tell(events.LockTaken(self._path, now - began))
                    return mine.nonce
                if self._is_doomed(flight, claim.holder):
                    doomed = claim.holder.nonce
                    continue
                if claim.holder.nonce != holder:
                    holder, give_up_at, poll = claim.holder.nonce, now + life, _FIRST_POLL
                elif now >= give_up_at:
                    self._tell(events.LockWaived(self._path, now - began))
                    return ""
                await signal.wait(min(max(claim.left, 0.001), poll, give_up_at - now))
                poll = min(poll * 2, _LONGEST_POLL)

    async def _finds(self, flight: Flight[T]) -> bool:
        """Whether a fresh value is stored by now."""
        flight.knew = self._store.clock.replica.generation
        flight.found = await self._fetch()
        return flight.found is not None

    def _is_doomed(self, flight: Flight[T], holder: Holder) -> bool:
        """Whether what another is loading has been invalidated since he began."""
        replica, stamp = self._store.clock.replica, Stamp(holder.epoch, holder.asof)
        return stamp <= replica.stamp() and not replica.covers(self._path, flight.tags, stamp)

    async def _release(self, nonce: str) -> None:
        if not nonce:
            return
        try:
            await self._store._release(self._key, nonce)
        except BackendError as error:
            self._store._failed("the claim of a load was not given up", error)

    async def _begin(self, flight: Flight[T], entry: Entry | None, nonce: str) -> T:
        store = self._store
        draft = None
        try:
            flight.stamp, flight.began = await store._stamp(), store.time()
            value, draft = await self._run(flight, entry)
            if draft is not None:
                draft.claim = nonce
                await self._keep(draft)
        finally:
            await self._release(nonce if draft is None else draft.claim)
        return value

    async def _run(self, flight: Flight[T], entry: Entry | None) -> tuple[T, Draft | None]:
        """The loader's value as it will be read back, and what to store, if anything."""
        store = self._store
        context = LoadContext(self._path)
        if entry is not None:
            context = LoadContext(self._path, entry.value, entry.more.etag)
        store.counters.loads += 1
        try:
            with within(context):
                value = await store.runtime.call(self._loader)
        except BaseException as error:
            store.counters.load_errors += 1
            self._tell(events.LoadError(self._path, error, flight.launched))
            if isinstance(error, Exception):
                self._note_failure(error, background=flight.launched)
            raise
        spent = store.time() - flight.began
        store._flights.rests.end(self._path)
        self._tell(events.Loaded(self._path, spent, flight.launched))
        if value is NOT_MODIFIED:
            value = cast("T", context.stale_value)
        if context.skipped or (value is None and not self._options.cache_none):
            return value, None
        draft = self._draft(value, context, flight)
        draft.cost = spent
        if self._policy.renews_ahead:
            draft.renew_after = self._renew_after(
                math.inf if draft.ttl is None else draft.ttl, spent
            )
        return cast("T", draft.value), draft

    def _note_failure(self, error: Exception, *, background: bool) -> None:
        store, policy = self._store, self._policy
        if policy.keeps_for or policy.renews_ahead:
            store._flights.rests.note(self._path, store.time() + policy.retry_after)
        if background:
            store._complain("a load in the background failed", error)

    def _draft(self, value: object, context: LoadContext, flight: Flight[T]) -> Draft:
        store, options, policy = self._store, self._options, self._policy
        tags = options.tags
        if context.tags:
            store._check_tags(context.tags)
            tags = tuple(dict.fromkeys((*tags, *context.tags)))
            flight.late_tags = store._tag_paths(tags)
        ttl = options.ttl
        if value is None and policy.negative_ttl is not UNSET:
            ttl = store._lifetime(policy.negative_ttl)
        if context.ttl is not UNSET:
            ttl = store._lifetime(context.ttl)
        return Draft(
            self._key,
            *store._prepare(value, options.want),
            tags,
            policy.spread(ttl, random.random()),  # noqa: S311 - spreads loads, guards nothing
            keep=policy.keeps_for,
            sliding=policy.sliding,
            etag=context.etag,
            stamp=flight.stamp,
            started=flight.began,
        )

    async def _keep(self, draft: Draft) -> None:
        """Store a loaded value; a failure is no affair of the caller's."""
        try:
            await self._store._store([draft])
        except BackendError as error:
            self._store._complain("a loaded value could not be stored", error)

    def _tell(self, event: events.Event) -> None:
        hook = self._store.hook
        if hook.listeners:
            hook.emit(event)
