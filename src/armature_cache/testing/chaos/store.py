"""A store around a store, with which things go wrong."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Final, TypeVar, overload

from armature_cache.claims import NOTHING_STORED, Claim, Holder
from armature_cache.clocks.digest import hardly
from armature_cache.clocks.judgement import Verdict
from armature_cache.errors import BackendError, BackendTimeout, InvalidationError
from armature_cache.stores.base import CacheStore
from armature_cache.stores.wrapper import Wrapper
from armature_cache.sync import CacheStore as SyncStore
from armature_cache.sync import face_of
from armature_cache.testing.chaos.clock import ChaosClock
from armature_cache.testing.chaos.owed import Job, Owed
from armature_cache.testing.chaos.tampering import GARBAGE, damaging, reads_bytes

if TYPE_CHECKING:
    from armature_cache._runtime.base import Signal
    from armature_cache.entry import Entry
    from armature_cache.stores.draft import Draft
    from armature_cache.stores.primitives import EntryStore
    from armature_cache.stores.stats import CacheStats
    from armature_cache.testing.chaos.chaos import Chaos
    from armature_cache.testing.chaos.outcomes import Operation
    from armature_cache.testing.chaos.plan import Plan

T = TypeVar("T")

_LONG: Final = 3600.0


class ChaosCache(Wrapper):
    """Any store, with which happens what `chaos` says; itself a store.

    As L2 it is what a bad server is to its clients: `TieredCache(InMemoryCache(),
    ChaosCache(RedisCache(config), chaos))`. It keeps the promises that stores make about failures:
    what an `InvalidationError` names is dead in this process and is sent with the next contact, and
    so is the key of a `set` that failed. While chaos may touch reads, nothing is read past it: a
    value in the process's memory is found by an operation like any other.
    """

    def __init__(self, store: CacheStore, chaos: Chaos) -> None:
        self.chaos = chaos
        self._owed = Owed()
        super().__init__(store)

    def _wrap(self) -> None:
        super()._wrap()
        self.clock = ChaosClock(self.store.clock, self.time, self._strike_sync)
        self._reads_bytes = reads_bytes(self.store)
        self.chaos.follow(self)
        self._follow_peek()

    def _chaos_changed(self) -> None:
        self._follow_peek()

    def _follow_peek(self) -> None:
        peek = _no_peek if self.chaos.touches("fetch") else self.store._peek
        self._hold(peek)

    # -- striking ----------------------------------------------------------------------------

    async def _struck(self, operation: Operation, keys: Sequence[str]) -> Plan:
        """What becomes of a call, after it was delayed or hung, and unless it has failed early."""
        plan = self.chaos.plan(operation, keys)
        await self._pause(plan.delay)
        if plan.hang is not None:
            await self._hang(operation, plan.hang.timeout)
        if plan.error is not None and not plan.late:
            raise plan.error
        await self._owed.send(self.store)
        return plan

    async def _replied(self, plan: Plan, written: Sequence[str] = ()) -> None:
        """Return from a call that was done, or fail; then what was written counts as deleted."""
        try:
            await self._pause(plan.reply_delay)
        except BaseException:
            self._owe(written)
            raise
        if plan.error is not None:
            self._owe(written)
            raise plan.error

    def _owe(self, keys: Sequence[str]) -> None:
        if keys:
            self._owed.owe(self._owed.hold(self.store, (), keys))

    async def _pause(self, seconds: float) -> None:
        if not seconds:
            return
        if self.chaos.time is None:
            await self.runtime.sleep(seconds)
        else:
            self.chaos.time.advance(seconds)

    async def _hang(self, operation: Operation, limit: float | None) -> None:
        signal = self.runtime.signal()
        with self.chaos.holding(signal, self._owed):
            if limit is None:
                while not await signal.wait(_LONG):
                    """Not released yet."""
            elif not await signal.wait(limit):
                raise BackendTimeout(f"chaos: {operation} hung for {limit} s", backend="chaos")

    async def _ensure(self, *, strong: bool) -> None:
        await self.clock.ensure(self.bound, strong=strong)

    async def _strike_sync(self) -> None:
        await self._replied(await self._struck("sync", ("",)))

    async def _done(
        self, operation: Operation, keys: Sequence[str], do: Callable[[], Awaitable[T]], lost: T
    ) -> T:
        """The result of a call that is done as a whole, or `lost` as a whole."""
        plan = await self._struck(operation, keys)
        result = lost if plan.lost else await do()
        await self._replied(plan)
        return result

    # -- reading -----------------------------------------------------------------------------

    def _remnant(self, key: str) -> Entry | None:
        return None if self.chaos.touches("fetch") else self.store._remnant(key)

    async def _fetch(
        self, keys: Sequence[str], want: object, *, strong: bool, stale: bool = False
    ) -> dict[str, Entry]:
        plan = await self._struck("fetch", keys)
        there = [key for key in keys if key not in plan.lost]
        self.counters.misses += len(keys) - len(there)
        found: dict[str, Entry] = {}
        if there:
            with damaging(self._damage(plan)):
                found = await self.store._fetch(there, want, strong=strong, stale=stale)
        await self._replied(plan)
        if plan.corrupted and not self._reads_bytes:
            found = self._garbled(found, plan, want)
        return {key: entry for key, entry in found.items() if self._stands(key, entry)}

    def _stands(self, key: str, entry: Entry) -> bool:
        """Whether an entry is still valid when its reader gets it."""
        judge = self.clock.replica.judge
        verdict = judge(entry.key, entry.epoch, entry.asof, entry.tags)
        return verdict is not Verdict.DEAD and not self._owed.is_dead(key)

    def _damage(self, plan: Plan) -> dict[str, float]:
        path = self.store.path
        return {path + key: place for key, place in plan.corrupted.items()}

    def _garbled(self, found: dict[str, Entry], plan: Plan, want: object) -> dict[str, Entry]:
        """What was found, with garbage for values; of a type that was asked for it is none."""
        result: dict[str, Entry] = {}
        for key, entry in found.items():
            if key not in plan.corrupted:
                result[key] = entry
            elif want is None:
                result[key] = twin = entry.with_tags(entry.tags)
                twin.value = GARBAGE
            else:
                self.counters.undecodable += 1
        return result

    async def _probe(self, keys: Sequence[str]) -> dict[str, Entry]:
        plan = await self._struck("probe", keys)
        found = await self.store._probe([key for key in keys if key not in plan.lost])
        await self._replied(plan)
        return {key: entry for key, entry in found.items() if self._stands(key, entry)}

    async def _scan(self, prefix: str) -> AsyncIterator[str]:
        await self._replied(await self._struck("list", (prefix,)))
        async for key in self.store._scan(prefix):
            yield key

    async def _tagged_keys(self, tag: str, *, exact: bool) -> list[str]:
        return await self._done(
            "list", (tag,), lambda: self.store._tagged_keys(tag, exact=exact), []
        )

    async def _live_tags(self) -> list[str]:
        return await self._done("list", ("",), self.store._live_tags, [])

    # -- writing -----------------------------------------------------------------------------

    async def _write(self, drafts: Sequence[Draft]) -> list[bool]:
        explicit = [draft.key for draft in drafts if draft.stamp is None or draft.leased]
        keys = [draft.key for draft in drafts]
        plan = await self._struck_at(explicit, "set" if explicit else "fill", keys)
        kept = [draft for draft in drafts if draft.key not in plan.lost]
        stamps = [draft.stamp for draft in drafts]
        stored = await self.store._write(kept) if kept else []
        try:
            await self._replied(plan, explicit)
        except BaseException:  # the caller has not learned how the values were stamped
            for draft, stamp in zip(drafts, stamps, strict=True):
                draft.stamp = stamp
            raise
        outcomes = dict(zip((draft.key for draft in kept), stored, strict=True))
        return [outcomes.get(key, True) for key in keys]

    async def _struck_at(
        self, written: Sequence[str], operation: Operation, keys: Sequence[str]
    ) -> Plan:
        """As `_struck`; what was to be written counts as deleted if that raises."""
        try:
            return await self._struck(operation, keys)
        except BaseException:
            self._owe(written)
            raise

    async def _add(self, draft: Draft) -> bool:
        return await self._changed("add", draft.key, lambda: self.store._add(draft))

    async def _restamp(self, key: str, ttl: float | None) -> bool:
        return await self._changed("expire", key, lambda: self.store._restamp(key, ttl))

    async def _changed(
        self, operation: Operation, key: str, do: Callable[[], Awaitable[bool]]
    ) -> bool:
        plan = await self._struck_at((key,), operation, (key,))
        changed = True if plan.lost else await do()
        await self._replied(plan, (key,))
        return changed

    async def _increment(
        self, key: str, delta: int, ttl: float | None, tags: tuple[str, ...]
    ) -> int:
        return await self._done(
            "increment", (key,), lambda: self.store._increment(key, delta, ttl, tags), delta
        )

    async def _restart(self) -> None:
        await self._done("clear", ("",), self.store._restart, None)

    # -- invalidating ------------------------------------------------------------------------

    async def _remove(self, keys: Sequence[str]) -> list[bool]:
        return await self._invalidate_and_remove((), keys)

    async def _invalidate(self, tags: Sequence[str]) -> None:
        await self._invalidate_and_remove(tags, ())

    async def _invalidate_and_remove(self, tags: Sequence[str], keys: Sequence[str]) -> list[bool]:
        """Dead in this process from the start; owed if chaos or a cancellation comes between."""
        job = self._owed.hold(self.store, tags, keys)
        operation: Operation = "invalidate" if tags else "delete"
        try:
            plan = await self._struck(operation, (*tags, *keys))
        except BaseException as error:
            self._owed.owe(job)
            raise self._unacknowledged(error, job) from error
        try:
            had = await self._told(plan, job)
        except BaseException:
            self._owed.settle(self.store, job)  # the store within keeps the same promise
            raise
        try:
            await self._replied(plan)
        except BaseException as error:
            self._owed.owe(job)
            raise self._unacknowledged(error, job) from error
        self._owed.settle(self.store, job)
        return had

    async def _told(self, plan: Plan, job: Job) -> list[bool]:
        """What the store says to that part of a job that is not lost."""
        tags = [tag for tag in job.tags if tag not in plan.lost]
        keys = [key for key in job.keys if key not in plan.lost]
        if not tags and not keys:
            return [False] * len(job.keys)
        had = dict(zip(keys, await self.store._invalidate_and_remove(tags, keys), strict=True))
        return [had.get(key, False) for key in job.keys]

    def _unacknowledged(self, error: BaseException, job: Job) -> BaseException:
        if not isinstance(error, BackendError):
            return error
        return InvalidationError(
            f"an invalidation was not acknowledged, and is sent again: {error}",
            tags=tuple(map(hardly, job.tags)),
            keys=job.keys,
        )

    def _rooted(
        self, tags: tuple[str, ...], keys: tuple[str, ...]
    ) -> tuple[EntryStore, tuple[str, ...], tuple[str, ...]]:
        return self, tags, keys

    # -- claims ------------------------------------------------------------------------------

    async def _claim(
        self, keys: Sequence[str], mine: Holder, life: float, *, instead_of: str = ""
    ) -> list[Claim]:
        plan = await self._struck("claim", keys)
        kept = [key for key in keys if key not in plan.lost]
        claims = await self.store._claim(kept, mine, life, instead_of=instead_of) if kept else []
        await self._replied(plan)
        known = dict(zip(kept, claims, strict=True))
        return [known.get(key) or Claim(mine, life, NOTHING_STORED) for key in keys]

    async def _release(self, keys: Sequence[str], nonce: str) -> None:
        plan = await self._struck("release", keys)
        kept = [key for key in keys if key not in plan.lost]
        if kept:
            await self.store._release(kept, nonce)
        await self._replied(plan)

    def _listening(self, key: str) -> AbstractContextManager[Signal]:
        if self.chaos.plan("wake", (key,)).lost:
            return nullcontext(self.runtime.signal())
        return self.store._listening(key)

    # -- the rest ----------------------------------------------------------------------------

    def _snapshot(self) -> CacheStats:
        stats = self.store._snapshot()
        owed = stats.pending_invalidations + len(self._owed)
        return dataclasses.replace(stats, pending_invalidations=owed)

    async def _ping(self) -> None:
        await self._done("ping", ("",), self.store._ping, None)

    async def _close(self) -> None:
        self.chaos.release(self._owed)
        try:
            await self._owed.send(self.store)
        finally:
            await self.store._close()


def _no_peek(key: str) -> Entry | None:  # noqa: ARG001 - what it stands in for takes one
    return None


@overload
def in_chaos(store: CacheStore, chaos: Chaos) -> ChaosCache: ...
@overload
def in_chaos(store: SyncStore, chaos: Chaos) -> SyncStore: ...
def in_chaos(store: CacheStore | SyncStore, chaos: Chaos) -> ChaosCache | SyncStore:
    """`ChaosCache(store, chaos)`; of a store of `armature_cache.sync` the sync face."""
    if isinstance(store, SyncStore):
        return face_of(ChaosCache(store._core, chaos))
    return ChaosCache(store, chaos)
