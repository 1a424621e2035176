"""Tags over any store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, cast

from armature_cache import leases, scopes
from armature_cache._missing import UNSET, Unset
from armature_cache.clocks.digest import hardly, softly
from armature_cache.errors import ConfigError
from armature_cache.options import TTL, check_key, check_seconds, check_tag, check_tags
from armature_cache.stores import deferral
from armature_cache.stores.bulk import check_keys
from armature_cache.stores.namespaced import NamespacedCache
from armature_cache.stores.repeats import Repeats
from armature_cache.stores.wrapper import Wrapper

if TYPE_CHECKING:
    from armature_cache.stores.base import CacheStore
    from armature_cache.stores.draft import Mark
    from armature_cache.sync import TaggedCache as SyncTaggedCache


class TaggedCache(Wrapper):
    """Any store, with tags: one call invalidates every entry that carries a tag.

    An invalidation costs one round trip whatever the number of entries, reaches every process
    that shares the store within the staleness bound, and beats loads in flight.
    """

    def _wrap(self) -> None:
        super()._wrap()
        self.supports_tags = True
        self._repeats = Repeats(self.runtime, self._invalidate)

    async def set_with_tags(
        self,
        key: str,
        value: object,
        tags: str | Iterable[str],
        ttl: TTL | Unset = UNSET,
        *,
        as_of: Mark | Unset | None = UNSET,
        type: object = None,
    ) -> None:
        """Store a value with tags: `set(key, value, tags=tags, ttl=ttl)`."""
        await self.set(key, value, tags=tags, ttl=ttl, as_of=as_of, type=type)

    async def invalidate_tag(
        self,
        tag: str,
        *,
        soft: bool = False,
        wait: bool = False,
        again_after: float | None = None,
    ) -> None:
        """Invalidate every entry that carries this tag, in every process.

        Here at once, elsewhere within the staleness bound after this returns. `soft=True` makes
        the entries stale instead: they are misses, too, but for those who load with `stale_for` or
        `stale_while_revalidate`, for that long from now on. `wait=True` returns
        only when no process can serve the old entries any more: after the largest bound that any
        process has declared. `again_after` repeats the invalidation in the background after so
        many seconds, for loads that read from a lagging database replica meanwhile; it is sent at
        once when the cache is closed before.

        Raises `InvalidationError` when the shared store did not acknowledge; the tag is dead in
        this process then, and is sent again with the next contact.
        """
        await self.invalidate_tags(check_tag(tag), soft=soft, wait=wait, again_after=again_after)

    async def invalidate_tags(
        self,
        tags: str | Iterable[str],
        *,
        soft: bool = False,
        wait: bool = False,
        again_after: float | None = None,
    ) -> None:
        """Invalidate every entry that carries any of these tags; see `invalidate_tag`."""
        names = check_tags(tags)
        if soft:
            names = tuple(map(softly, names))
        delay = None if again_after is None else check_seconds("again_after", again_after)
        await self._invalidate_all(names, wait=wait, delay=delay)

    async def _invalidate_all(
        self, names: tuple[str, ...], *, wait: bool = False, delay: float | None = None
    ) -> None:
        """Invalidate tags by the names that the clock has for them, or leave them to a block."""
        again = () if delay is None else ((delay, names),)
        if not names or deferral.defer(self, deferral.Wish(names, wait=wait, again=again)):
            return
        leases.withdraw_all(self.clock.replica)
        scopes.forget(self.clock.replica, tags=[self.path + hardly(name) for name in names])
        self.counters.invalidations += len(names)
        if delay is not None:
            self._repeats.schedule(delay, names)
        with self._telling_failure():
            await self._invalidate(names)
        deferral.tell_invalidated(self.hook, names)
        if wait:
            await self.clock.settle()

    def deferred_invalidation(self) -> deferral.Deferral:
        """Hold back invalidations of tags until the block ends; none are sent after an exception.

        For a database transaction: `async with cache.deferred_invalidation(), transaction:`. The
        tags of the block go out in one call, once; blocks within add to the outermost one. Keys
        are deleted at once, for `delete` has an answer, and once more when the block ends.
        """
        return deferral.Deferral(self)

    async def _delete(self, keys: Sequence[str]) -> list[bool]:
        deferral.defer(self, deferral.Wish(keys=tuple(keys)))
        return await super()._delete(keys)

    async def _close(self) -> None:
        await self._repeats.run_all()
        await super()._close()

    async def get_keys_by_tag(self, tag: str, *, exact: bool = False) -> list[str]:
        """The keys of valid entries that carry this tag, sorted.

        The list comes from an index that a server may evict; `exact=True` looks at every entry.
        """
        return sorted(await self._tagged_keys(check_tag(tag), exact=exact))

    async def get_tags_for_key(self, key: str) -> list[str]:
        """The tags of a key's entry, sorted; empty if there is none."""
        entry = (await self._probe((check_key(key),))).get(key)
        return [] if entry is None else sorted(tag for tag in entry.tags if "\0" not in tag)

    async def list_tags(self) -> list[str]:
        """The tags that valid entries carry, sorted."""
        return sorted(tag for tag in await self._live_tags() if "\0" not in tag)

    def sync(self) -> SyncTaggedCache:
        """The same cache for plain functions and threads: it shares residents and clock."""
        return cast("SyncTaggedCache", super().sync())

    def namespace(self, name: str) -> TaggedCache:
        """A tagged cache of its own within this one: other keys, other tags."""
        return TaggedCache(NamespacedCache(self.store, name))


def wish_of(
    core: CacheStore,
    tags: str | Iterable[str],
    keys: str | Iterable[str],
    *,
    soft: bool = False,
    wait: bool = False,
    again_after: float | None = None,
) -> deferral.Wish:
    """What is to be invalidated, checked; a single string is one tag, and one key."""
    named = check_tags(tags)
    core._check_tags(named)
    if soft:
        named = tuple(map(softly, named))
    checked = tuple(check_keys((keys,) if isinstance(keys, str) else keys))
    if again_after is None:
        return deferral.Wish(named, checked, wait)
    delay = check_seconds("again_after", again_after)
    if not isinstance(core, TaggedCache):
        raise ConfigError("again_after repeats tags, and needs a TaggedCache", field="again_after")
    return deferral.Wish(named, checked, wait, ((delay, named),))
