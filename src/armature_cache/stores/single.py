"""The methods of a store that take one key, and what all writes have in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, overload

from armature_cache import leases, scopes
from armature_cache._missing import UNSET, Unset
from armature_cache.errors import BackendError, ConfigError, TagsNotSupported
from armature_cache.events import BackendFailed, Cleared, Deleted, Miss, Refused, Stored
from armature_cache.leases import held
from armature_cache.options import (
    TTL,
    Consistency,
    check_consistency,
    check_key,
    check_step,
    resolve_tags,
    resolve_ttl,
)
from armature_cache.stores import hits
from armature_cache.stores.draft import Draft, Mark
from armature_cache.stores.primitives import EntryStore

if TYPE_CHECKING:
    from armature_cache.clocks.judgement import Stamp
    from armature_cache.entry import Entry
    from armature_cache.stores.hits import Peek

T = TypeVar("T")
D = TypeVar("D")


class SingleMethods(EntryStore):
    """One key at a time."""

    # -- reading -----------------------------------------------------------------------------

    @overload
    async def get(
        self, key: str, default: None = None, *, consistency: Consistency | Unset = UNSET
    ) -> Any: ...
    @overload
    async def get(
        self, key: str, default: object, *, consistency: Consistency | Unset = UNSET
    ) -> Any: ...
    @overload
    async def get(
        self,
        key: str,
        default: None = None,
        *,
        type: type[T],
        consistency: Consistency | Unset = UNSET,
    ) -> T | None: ...
    @overload
    async def get(
        self,
        key: str,
        default: D,
        *,
        type: type[T],
        consistency: Consistency | Unset = UNSET,
    ) -> T | D: ...
    async def get(
        self,
        key: str,
        default: object = None,
        type: object = None,
        consistency: Consistency | Unset = UNSET,
    ) -> Any:
        """The value of a key, or `default` when there is none.

        `type` is what the value is decoded to where values are stored as bytes; an entry that
        does not decode to it is a miss. `consistency="strong"` asks the shared store now, so that
        nothing is returned that was invalidated before this call began; not given, the cache's own
        setting decides.
        """
        if consistency is UNSET or consistency == "bounded":
            try:
                entry = self._peek(key)
            except TypeError:
                check_key(key)
                raise
            if entry is not None and (type is None or self._fits(entry, type)):
                leased = held()
                if leased and self.path + key in leased:
                    leases.withdraw(self.clock.replica, self.path + key)
                return entry.value
        strong = self._is_strong(consistency)
        found = await self._fetch((check_key(key),), type, strong=strong)
        if key in found:
            if held():
                leases.withdraw(self.clock.replica, self.path + key)
            return found[key].value
        self._tell(Miss(self.path + key))
        stamp = await self._stamp(key)
        leases.leave(self.clock.replica, self.path + key, stamp, self.time())
        return default

    def _hold(self, peek: Peek) -> None:
        """Have a function in place of `_peek`: a hit takes no detour."""
        self._peek = peek  # type: ignore[assignment, method-assign]
        hits.hold(self, SingleMethods.get, hits.async_get)
        self._tell_followers()

    async def exists(self, key: str, *, consistency: Consistency | Unset = UNSET) -> bool:
        """Whether a key has a valid entry."""
        return key in await self._look((check_key(key),), consistency)

    async def ttl(self, key: str, *, consistency: Consistency | Unset = UNSET) -> float | None:
        """The seconds that a key's entry has left: None if absent, `math.inf` without expiry."""
        return self._left((await self._look((check_key(key),), consistency)).get(key))

    async def _look(
        self, keys: Sequence[str], consistency: Consistency | Unset
    ) -> dict[str, Entry]:
        if self._is_strong(consistency):
            await self.clock.ensure(self.bound, strong=True)
        return await self._probe(keys)

    def _is_strong(self, consistency: Consistency | Unset) -> bool:
        return check_consistency(consistency, otherwise=self.strong)

    def _left(self, entry: Entry | None) -> float | None:
        if entry is None:
            return None
        return entry.seconds_left(self.time())

    # -- writing -----------------------------------------------------------------------------

    async def set(
        self,
        key: str,
        value: object,
        *,
        ttl: TTL | Unset = UNSET,
        tags: str | Iterable[str] = (),
        as_of: Mark | Unset | None = UNSET,
        type: object = None,
    ) -> None:
        """Store a value.

        After a get-miss of the key in the same context, the value counts as read or made after
        that miss: an invalidation, delete or set since then wins over it, and it over older loads.
        Otherwise it is taken as current now. `as_of=mark` says when it was read; `as_of=None`
        insists that it is current now.
        """
        draft = self._draft(key, value, ttl, tags, type)
        self._date(draft, as_of)
        self._forget((key,))
        try:
            await self._store([draft])
        finally:
            self._forget((key,))

    async def _offer(self, draft: Draft, since: Mark) -> bool:
        """Store what was written to the source since a mark; False if it was overtaken.

        Whatever was of its key before is dead in every process. Raises `BackendError`.
        """
        path = self.path + draft.key
        self._replacing((draft.key,))
        draft.stamp, draft.started = since.stamp, since.taken_at
        draft.leased = draft.written = True
        try:
            (stored,) = await self._write([draft])
        except BackendError as error:
            self.counters.errors += 1
            self._tell(BackendFailed(error))
            raise
        finally:
            self._forget((draft.key,))
        self.counters.sets += stored
        self.counters.refused += not stored
        self._tell(Stored(path) if stored else Refused(path))
        return stored

    async def add(
        self,
        key: str,
        value: object,
        *,
        ttl: TTL | Unset = UNSET,
        tags: str | Iterable[str] = (),
        type: object = None,
    ) -> bool:
        """Store a value only if the key has no valid entry; whether it was stored."""
        draft = self._draft(key, value, ttl, tags, type)
        self._replacing((key,))
        try:
            added = await self._add(draft)
        finally:
            self._forget((key,))
        self.counters.sets += added
        return added

    def _replacing(self, keys: Sequence[str]) -> None:
        """Note that this context is about to give keys other values, or none."""
        for key in keys:
            leases.withdraw(self.clock.replica, self.path + key)
        self._forget(keys)

    def _forget(self, keys: Iterable[str]) -> None:
        """Let the request under way read keys anew; after a write once more: it may have read."""
        if scopes.innermost() is not None:
            scopes.forget(self.clock.replica, keys=[self.path + key for key in keys])

    async def delete(self, key: str) -> bool:
        """Delete a key; whether it had a valid entry. A load in flight will not bring it back."""
        (had,) = await self._delete((check_key(key),))
        return had

    async def _delete(self, keys: Sequence[str]) -> list[bool]:
        self._replacing(keys)
        with self._telling_failure():
            had = await self._remove(keys)
        self.counters.deletes += sum(had)
        if self.hook.listeners:
            for key in keys:
                self.hook.emit(Deleted(self.path + key))
        return had

    async def expire(self, key: str, ttl: TTL) -> bool:
        """Give a key's entry a new lifetime from now; False if there is none."""
        return await self._restamp(check_key(key), self._lifetime(ttl))

    async def increment(self, key: str, delta: int = 1, *, ttl: TTL | Unset = UNSET) -> int:
        """Add to a 64-bit integer as one step and return the sum; an absent key counts as 0.

        `ttl` applies when the key is created; an existing lifetime stays. Raises `CounterError`
        for a value that is not an integer and for an overflow.
        """
        check_step(delta)
        self._replacing((check_key(key),))
        try:
            return await self._increment(key, delta, self._lifetime(ttl), ())
        finally:
            self._forget((key,))

    async def decrement(self, key: str, delta: int = 1, *, ttl: TTL | Unset = UNSET) -> int:
        """`increment` by the negative of `delta`."""
        return await self.increment(key, -check_step(delta), ttl=ttl)

    async def clear(self) -> None:
        """Drop every entry of this namespace and of those within it; never the whole server."""
        leases.withdraw_all(self.clock.replica)
        scopes.forget_all(self.clock.replica)
        await self._restart()
        self._tell(Cleared())

    # -- the clock ---------------------------------------------------------------------------

    def mark(self) -> Mark:
        """What the clock says now, to be given to `set(as_of=...)` for a value read after it."""
        return Mark(self.clock.replica.stamp(), self.time(), self._marked)

    async def _marked(self) -> Mark:
        await self._catch_up()
        return self.mark()

    async def _catch_up(self, *, strong: bool = False) -> bool:
        """Bring the clock up to date, if the shared store can be reached; whether it could."""
        try:
            await self._ensure(strong=strong)
        except BackendError as error:
            self._failed("the clock of the shared store could not be read", error)
            return False
        return True

    async def _stamp(self, key: str) -> Stamp:
        """The stamp of what the caller reads from the source of a key that he has missed."""
        replica = self.clock.replica
        if replica.behind:
            await self._catch_up(strong=True)
        return replica.stamp(self.path + key)

    async def _stamps(self, loads: Mapping[str, tuple[str, ...]]) -> dict[str, Stamp]:
        """The stamps of loads that are about to begin, by path; `loads` are their tags."""
        try:
            await self.clock.brace(loads)
        except BackendError as error:
            self._failed("the clock of the shared store could not be read", error)
        replica = self.clock.replica
        return {path: replica.stamp(path) for path in loads}

    # -- checks ------------------------------------------------------------------------------

    def _suits(self, entry: Entry, want: object) -> bool:
        return want is None or self._fits(entry, want)

    def _lifetime(self, ttl: TTL | Unset) -> float | None:
        if ttl is UNSET:
            return self.default_ttl
        return resolve_ttl(ttl, None, limit=self.max_ttl)

    def _check_tags(self, tags: tuple[str, ...]) -> None:
        if tags and not self.supports_tags:
            raise TagsNotSupported(
                f"{type(self).__name__} has no tags; wrap it: TaggedCache({type(self).__name__}"
                "(...)), and with two tiers TaggedCache(TieredCache(l1, l2))"
            )

    def _draft(
        self,
        key: str,
        value: object,
        ttl: TTL | Unset,
        tags: str | Iterable[str],
        want: object,
    ) -> Draft:
        named = resolve_tags(tags)
        self._check_tags(named)
        check_key(key)
        lifetime = self._lifetime(ttl)
        return Draft(key, *self._prepare(value, want), named, lifetime)

    def _date(self, draft: Draft, as_of: Mark | Unset | None) -> None:
        """Say whether a draft is a fill, and since when."""
        replica = self.clock.replica
        if as_of is UNSET:
            lease = leases.take(replica, self.path + draft.key, self.time())
            if lease is not None:
                draft.stamp, draft.started, draft.leased = lease.stamp, lease.taken_at, True
            return
        leases.withdraw(replica, self.path + draft.key)
        if isinstance(as_of, Mark):
            draft.stamp, draft.started = as_of.stamp, as_of.taken_at
        elif as_of is not None:
            raise ConfigError("as_of is a mark from mark(), or None", field="as_of")

    async def _store(self, drafts: Sequence[Draft]) -> None:
        """Write drafts; a fill that fails on a tolerant store is only counted."""
        now = self.time()
        replica = self.clock.replica
        kept = []
        for draft in drafts:
            stamp = draft.stamp
            late = now - draft.started > self.max_load_time
            if stamp is not None and not draft.leased and (late or stamp.epoch != replica.epoch):
                self.counters.refused += 1
                self._tell(Refused(self.path + draft.key))
            else:
                kept.append(draft)
        if not kept:
            return
        try:
            stored = await self._write(kept)
        except BackendError as error:
            self.counters.errors += 1
            self._tell(BackendFailed(error))
            if not self.tolerant or any(draft.stamp is None for draft in kept):
                raise
            return
        self.counters.sets += sum(stored)
        self.counters.refused += len(stored) - sum(stored)
        if self.hook.listeners:
            for draft, done in zip(kept, stored, strict=True):
                path = self.path + draft.key
                self.hook.emit(Stored(path) if done else Refused(path))
