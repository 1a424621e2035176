"""One call that wants the value of one key, which may have to be loaded."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from armature_cache import events
from armature_cache._missing import UNSET
from armature_cache._runtime.base import Overdue
from armature_cache.claims import Claim, Holder, Patience, version_of
from armature_cache.clocks.judgement import Stamp
from armature_cache.errors import BackendError
from armature_cache.flight import Flight
from armature_cache.load_context import NOT_MODIFIED, LoadContext, within
from armature_cache.loading import LeftOut, Outcome
from armature_cache.stores.loads import LoadOptions, Loads, postpone

if TYPE_CHECKING:
    from armature_cache.entry import Entry
    from armature_cache.stores.draft import Draft
    from armature_cache.stores.single import SingleMethods

T = TypeVar("T")


class Load(Loads, Generic[T]):
    """One call of `get_or_set` or `refresh`."""

    __slots__ = ("_key", "_loader", "_path")

    def __init__(
        self,
        store: SingleMethods,
        key: str,
        loader: Callable[[], T | Awaitable[T]],
        options: LoadOptions,
        *,
        strong: bool,
    ) -> None:
        super().__init__(store, options, strong=strong)
        self._key = key
        self._loader = loader
        self._path = store.path + key

    # -- what is returned ---------------------------------------------------------------------

    async def value(self) -> T:
        """The value of the key: fresh, or stale where the policy says so, or loaded."""
        if self._policy.keeps_for:
            left = self._at_once()
            if left is not None:
                return self._value_of(left)
        else:
            joined = await self._joined()
            if joined is not None:
                return joined.value
        entry = await self._look()
        now = self._store.time()
        if entry is not None and now < entry.fresh_until:
            if self._is_due(self._path, entry, now):
                self._renew(entry)
            return self._value_of(entry)
        if entry is None or entry.stale_for(now) >= self._policy.stale_while_revalidate:
            self._tell(events.Miss(self._path))
            return await self._loaded(entry)
        if not self._store._flights.rests.holds(self._path, now):
            self._renew(entry)
        return self._stale(entry, "renewing")

    async def refreshed(self) -> T:
        """The value of the key, loaded whatever is stored."""
        entry = (await self._fetch_all((self._key,), stale=True)).get(self._key)
        await self._store._catch_up()
        slot = f"\0refresh:{self._path}"

        async def work(flight: Flight[T]) -> T:
            return await self.begin(flight, entry, "")

        return await self._store._flights.run(slot, work, self._caller(self._path, read=False))

    def _value_of(self, entry: Entry) -> T:
        return cast("T", entry.value)

    def _stale(self, entry: Entry, reason: events.StaleReason) -> T:
        self._note_stale(self._path, reason)
        return self._value_of(entry)

    def _at_once(self) -> Entry | None:
        """What L1 may return while nothing else can be done: the load is under way, or rests."""
        store, flights, policy = self._store, self._store._flights, self._policy
        entry = None if self._strong else store._remnant(self._key)
        if entry is None or not store._suits(entry, self._options.want):
            return None
        now = store.time()
        if now < entry.fresh_until:
            return None
        age = entry.stale_for(now)
        if age < policy.stale_while_revalidate and flights.is_open(self._path):
            self._note_stale(self._path, "renewing")
        elif age < policy.keeps_for and flights.rests.holds(self._path, now):
            self._note_stale(self._path, "waiting")
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
                if store._suits(entry, self._options.want) and self._is_valid(self._path, entry):
                    return entry
        return await flights.look(slot, lambda: self._fetch(stale=stale))

    async def _fetch(self, *, stale: bool = False) -> Entry | None:
        return (await self._fetch_all((self._key,), stale=stale)).get(self._key)

    # -- waiting for a load -------------------------------------------------------------------

    async def _joined(self) -> Outcome[T] | None:
        flights = self._store._flights
        if not flights.is_open(self._path):
            return None
        caller, patience = self._caller(self._path), self._until(with_stale=False)
        try:
            return await flights.join(self._path, caller, patience)
        except Overdue:
            raise self._too_slow(self._path) from None

    async def _loaded(self, entry: Entry | None) -> T:
        """Load; where that fails or takes long, what the policy has instead."""
        store, policy, path = self._store, self._policy, self._path
        now = store.time()
        stale = self._stale_enough(entry, now)
        if stale is not None and store._flights.rests.holds(path, now):
            return self._stale(stale, "waiting")
        patience = self._until(with_stale=stale is not None)
        reason: events.StaleReason = "error"
        try:
            return await store._flights.run(
                path, lambda flight: self.work(flight, entry), self._caller(path), patience
            )
        except Overdue:
            error: Exception = self._too_slow(path, soft=stale is not None)
            reason = "timeout"
        except Exception as failure:  # noqa: BLE001 - what a loader raises
            error = failure
        if policy.forgives(error):
            if stale is not None and await self._stands(path, stale):
                return self._stale(stale, reason)
            if policy.fallback is not UNSET:
                return cast("T", policy.fallback)
        raise error

    # -- loading ------------------------------------------------------------------------------

    def _renew(self, entry: Entry) -> None:
        """Load in the background; the entry serves meanwhile."""
        store = self._store
        tags = store._tag_paths(self._options.tags)
        if store._flights.launch(self._path, lambda flight: self.work(flight, entry), tags):
            postpone(entry)
            store.counters.renewals += 1

    async def work(self, flight: Flight[T], entry: Entry | None) -> T:
        """The value, loaded by this process unless another does so first."""
        nonce = await self._claim(flight, entry)
        if flight.found is not None:
            return self._value_of(flight.found)
        return await self.begin(flight, entry, nonce)

    async def _claim(self, flight: Flight[T], known: Entry | None) -> str:
        """Claim the load; while another holds it, wait for what it stores.

        Returns the nonce of the claim, '' without one. What was stored meanwhile is the flight's
        `found` then.
        """
        store, life = self._store, self._policy.lock_timeout
        if not life or flight.alone:
            return ""
        mine = Holder(secrets.token_hex(8), *store.clock.replica.stamp())
        try:
            return await self._claimed(flight, known, mine)
        except BaseException:  # who is cancelled may have been given the claim all the same
            await self._release((self._key,), mine.nonce)
            raise

    async def _claimed(self, flight: Flight[T], known: Entry | None, mine: Holder) -> str:
        store, seen = self._store, version_of(known)
        began, patience, doomed = store.time(), Patience(self._policy.lock_timeout), ""
        while True:
            with store._listening(self._key) as signal:
                claim = await self._asked(mine, doomed)
                if claim is None:
                    return ""
                held = claim.holder.nonce == mine.nonce
                if claim.stored.is_newer(seen):
                    seen = claim.stored
                    if await self._finds(flight):
                        await self._release((self._key,), mine.nonce if held else "")
                        return ""
                now = store.time()
                if held:
                    self._tell(events.LockTaken(self._path, now - began))
                    return mine.nonce
                if await self._is_doomed(self._path, flight.tags, claim.holder):
                    doomed = claim.holder.nonce
                    continue
                pause = patience.pause(claim, now)
                if not pause:
                    self._tell(events.LockWaived(self._path, now - began))
                    return ""
                await signal.wait(pause)

    async def _asked(self, mine: Holder, doomed: str) -> Claim | None:
        """The answer to a claim; None if nobody can be asked: then one loads without."""
        life = self._policy.lock_timeout
        try:
            (claim,) = await self._store._claim((self._key,), mine, life, instead_of=doomed)
        except BackendError as error:
            self._store._failed("a load could not be claimed", error)
            return None
        return claim

    async def _finds(self, flight: Flight[T]) -> bool:
        """Whether a fresh value is stored by now."""
        flight.knew = self._store.clock.replica.generation
        flight.found = await self._fetch()
        return flight.found is not None

    async def begin(self, flight: Flight[T], entry: Entry | None, nonce: str) -> T:
        """The value, loaded now, under a claim or without one."""
        store = self._store
        draft = None
        try:
            if flight.launched:
                await store._catch_up()
            stamps = await store._stamps({self._path: flight.tags})
            flight.stamp, flight.began = stamps[self._path], store.time()
            value, draft = await self._run(flight, flight.stamp, entry)
            if draft is not None:
                draft.claim = nonce
                await self._keep((draft,))
        finally:
            await self._release((self._key,), nonce if draft is None else draft.claim)
        return value

    async def _run(
        self, flight: Flight[T], stamp: Stamp, entry: Entry | None
    ) -> tuple[T, Draft | None]:
        """The loader's value as it will be read back, and what to store, if anything."""
        store = self._store
        context = LoadContext(self._path)
        if entry is not None:
            context = LoadContext(self._path, entry.value, entry.more.etag)
        store.counters.loads += 1
        try:
            with within(context):
                value = await self._called()
        except LeftOut:
            raise
        except BaseException as error:
            self._note_failure(self._path, error, background=flight.launched)
            raise
        store._flights.rests.end(self._path)
        self._tell(events.Loaded(self._path, store.time() - flight.began, flight.launched))
        if value is NOT_MODIFIED:
            value = cast("T", context.stale_value)
        if context.skipped or not self._options.keeps(value):
            return value, None
        draft = self._draft(self._key, value, context, stamp=stamp, began=flight.began)
        if context.tags:
            flight.late_tags = store._tag_paths(draft.tags)
        return cast("T", draft.value), draft

    async def _called(self) -> T:
        return await self._store.runtime.call(self._loader)
