"""What every load of a value has in common: how it is stored, and what is returned instead."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from armature_cache import events
from armature_cache._missing import UNSET
from armature_cache.clocks.judgement import Stamp, Verdict
from armature_cache.entry import Entry, StoredEntry
from armature_cache.errors import BackendError, LoadTimeout
from armature_cache.load_context import LoadContext
from armature_cache.policy import LoadPolicy
from armature_cache.stores.draft import Draft
from armature_cache.stores.joining import Passenger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from armature_cache.claims import Holder
    from armature_cache.loading import Patience
    from armature_cache.stores.single import SingleMethods


def postpone(entry: Entry) -> None:
    """Let hits of an entry that is being loaded again need no thought."""
    entry.check_at = entry.fresh_until
    if isinstance(entry, StoredEntry) and entry.copied is not None:
        entry.copied.check_at = entry.copied.fresh_until


class LoadOptions(NamedTuple):
    """How a loaded value is stored, resolved; one of which `unless` holds is not."""

    tags: tuple[str, ...]
    ttl: float | None
    want: object
    cache_none: bool
    policy: LoadPolicy
    unless: Callable[[Any], bool] | None = None

    def keeps(self, value: object) -> bool:
        """Whether a loaded value is to be stored."""
        if value is None and not self.cache_none:
            return False
        return self.unless is None or not self.unless(value)


class Loads:
    """One caller's way to load values of a store."""

    __slots__ = ("_options", "_policy", "_store", "_strong")

    def __init__(self, store: SingleMethods, options: LoadOptions, *, strong: bool) -> None:
        self._store = store
        self._options = options
        self._policy = options.policy
        self._strong = strong

    def _caller(self, path: str, *, read: bool = True) -> Passenger:
        tags = self._store._tag_paths(self._options.tags)
        return Passenger(self._store, path, tags, strong=self._strong, read=read)

    def _until(self, *, with_stale: bool) -> Patience:
        seconds, time = self._policy.patience(with_stale=with_stale), self._store.time
        if seconds is None:
            return None
        end = time() + seconds
        return lambda: max(0.0, end - time())

    def _tell(self, event: events.Event) -> None:
        self._store._tell(event)

    # -- reading ------------------------------------------------------------------------------

    async def _fetch_all(self, keys: Sequence[str], *, stale: bool = False) -> dict[str, Entry]:
        """What is stored under these keys; nothing, if the shared store fails."""
        store, want = self._store, self._options.want
        try:
            return await store._fetch(keys, want, strong=self._strong, stale=stale)
        except BackendError as error:
            store._failed("a read failed, its value is loaded instead", error)
            return {}

    def _is_due(self, path: str, entry: Entry, now: float) -> bool:
        """Whether a fresh entry is to be loaded again ahead of its end."""
        if not self._policy.renews_ahead:
            return False
        if isinstance(entry, StoredEntry):
            lifetime = entry.fresh_until - entry.created
            entry.check_at = entry.created + self._renew_after(lifetime, entry.more.cost)
            if entry.copied is not None:
                entry.copied.arm(entry.check_at, entry.fresh_until)
        return now >= entry.check_at and not self._store._flights.rests.holds(path, now)

    def _renew_after(self, ttl: float, cost: float) -> float:
        draw = 1.0 - random.random()  # noqa: S311 - spreads loads, guards nothing
        return self._policy.renew_after(ttl, cost, draw)

    def _is_valid(self, path: str, entry: Entry) -> bool:
        """Whether an entry has not been invalidated since it was looked at."""
        judge = self._store.clock.replica.judge
        return judge(path, entry.epoch, entry.asof, entry.tags) is Verdict.VALID

    async def _stands(self, path: str, entry: Entry) -> bool:
        """The same, after the shared store was asked where that is needed."""
        store = self._store
        verdict = store.clock.replica.judge(path, entry.epoch, entry.asof, entry.tags)
        if verdict is Verdict.UNKNOWN:
            try:
                await store.clock.confirm((entry,), store.bound)
            except BackendError as error:
                store._failed("a stale value could not be confirmed", error)
        return self._is_valid(path, entry)

    async def _is_doomed(self, path: str, tags: tuple[str, ...], holder: Holder) -> bool:
        """Whether what another is loading has been invalidated since he began."""
        try:
            return await self._store.clock.overtaken(path, tags, holder)
        except BackendError as error:
            self._store._failed("the clock of the shared store could not be read", error)
            return False

    # -- instead of a load --------------------------------------------------------------------

    def _note_stale(self, path: str, reason: events.StaleReason) -> None:
        self._store.counters.stale_served += 1
        self._tell(events.StaleServed(path, reason))

    def _stale_enough(self, entry: Entry | None, now: float) -> Entry | None:
        """The entry, if it may stand in for a failed load."""
        if entry is None or entry.stale_for(now) >= self._policy.stale_for:
            return None
        return entry

    def _too_slow(self, path: str, *, soft: bool = False) -> LoadTimeout:
        seconds = self._policy.patience(with_stale=soft) or 0.0
        self._store.counters.timeouts += 1
        self._tell(events.LoadTimedOut(path, seconds, soft))
        return LoadTimeout(
            f"{path!r} took longer to load than {seconds} s; the load goes on in the background. "
            "Raise hard_timeout, or give stale_for or a fallback",
            seconds=seconds,
        )

    def _note_failure(self, path: str, error: BaseException, *, background: bool) -> None:
        """Note that a loader has raised."""
        store, policy = self._store, self._policy
        store.counters.load_errors += 1
        self._tell(events.LoadError(path, error, background))
        if not isinstance(error, Exception):
            return
        if policy.keeps_for or policy.renews_ahead:
            store._flights.rests.note(path, store.time() + policy.retry_after)
        if background:
            store._complain("a load in the background failed", error)

    # -- storing ------------------------------------------------------------------------------

    def _draft(
        self,
        key: str,
        value: object,
        context: LoadContext,
        *,
        stamp: Stamp,
        began: float,
        tags: tuple[str, ...] | None = None,
    ) -> Draft:
        """A loaded value, to be stored as the options and its loader say."""
        store, options, policy = self._store, self._options, self._policy
        tags = options.tags if tags is None else tags
        if context.tags:
            store._check_tags(context.tags)
            tags = tuple(dict.fromkeys((*tags, *context.tags)))
        ttl = options.ttl
        if value is None and policy.negative_ttl is not UNSET:
            ttl = store._lifetime(policy.negative_ttl)
        if context.ttl is not UNSET:
            ttl = store._lifetime(context.ttl)
        draft = Draft(
            key,
            *store._prepare(value, options.want),
            tags,
            policy.spread(ttl, random.random()),  # noqa: S311 - spreads loads, guards nothing
            keep=policy.keeps_for,
            sliding=policy.sliding,
            etag=context.etag,
            stamp=stamp,
            started=began,
            cost=store.time() - began,
        )
        if policy.renews_ahead:
            lifetime = math.inf if draft.ttl is None else draft.ttl
            draft.renew_after = self._renew_after(lifetime, draft.cost)
        return draft

    async def _keep(self, drafts: Sequence[Draft]) -> None:
        """Store loaded values; a failure is no affair of the caller's."""
        try:
            await self._store._store(drafts)
        except BackendError as error:
            self._store._complain("loaded values could not be stored", error)

    async def _release(self, keys: Sequence[str], nonce: str) -> None:
        """Give claims up, in the background if the caller is cancelled meanwhile."""
        if not nonce or not keys:
            return
        try:
            await self._released(keys, nonce)
        except BaseException:
            self._store.runtime.shared(lambda: self._released(keys, nonce)).launch()
            raise

    async def _released(self, keys: Sequence[str], nonce: str) -> None:
        try:
            await self._store._release(keys, nonce)
        except BackendError as error:
            self._store._failed("the claim of a load was not given up", error)
