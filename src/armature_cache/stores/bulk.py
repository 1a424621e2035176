"""The methods of a store that take many keys at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from armature_cache import leases
from armature_cache._missing import UNSET, Unset
from armature_cache.errors import BackendError, CacheKeyError, ConfigError
from armature_cache.options import (
    TTL,
    Consistency,
    check_key,
    check_loader,
    resolve_tags,
)
from armature_cache.stores.draft import Mark
from armature_cache.stores.single import SingleMethods

if TYPE_CHECKING:
    from armature_cache.entry import Entry

T = TypeVar("T")


class BulkMethods(SingleMethods):
    """Many keys in one round trip."""

    async def get_many(
        self,
        keys: Iterable[str],
        *,
        type: object = None,
        consistency: Consistency | Unset = UNSET,
    ) -> dict[str, Any]:
        """The values of those keys that have one, in the order asked."""
        asked = check_keys(keys)
        found = await self._gather(asked, type, strong=self._is_strong(consistency))
        missed = [key for key in asked if key not in found]
        if missed:
            stamp, now = await self._stamp(), self.time()
            for key in missed:
                leases.leave(self.clock.replica, self.path + key, stamp, now)
        return {key: found[key].value for key in asked if key in found}

    async def _gather(self, keys: Sequence[str], want: object, *, strong: bool) -> dict[str, Entry]:
        found: dict[str, Entry] = {}
        if not strong:
            for key in keys:
                entry = self._peek(key)
                if entry is not None and self._suits(entry, want):
                    found[key] = entry
        rest = [key for key in keys if key not in found]
        if rest:
            found |= await self._fetch(rest, want, strong=strong)
        if leases.held():
            for key in found:
                leases.withdraw(self.clock.replica, self.path + key)
        return found

    async def set_many(
        self,
        items: Mapping[str, object],
        *,
        ttl: TTL | Unset = UNSET,
        tags: str | Iterable[str] = (),
        as_of: Mark | Unset | None = UNSET,
        type: object = None,
    ) -> None:
        """Store several values with one lifetime and the same tags.

        Nothing is stored if one of them cannot be.
        """
        if not isinstance(items, Mapping):
            raise ConfigError("set_many takes a mapping of keys to values", field="items")
        tags = resolve_tags(tags)
        drafts = [self._draft(key, value, ttl, tags, type) for key, value in items.items()]
        for draft in drafts:
            self._date(draft, as_of)
        if drafts:
            await self._store(drafts)

    async def delete_many(self, keys: Iterable[str]) -> int:
        """Delete several keys; how many had a valid entry."""
        asked = check_keys(keys)
        return sum(await self._delete(asked)) if asked else 0

    async def exists_many(
        self, keys: Iterable[str], *, consistency: Consistency | Unset = UNSET
    ) -> dict[str, bool]:
        """For each key, whether it has a valid entry."""
        asked = check_keys(keys)
        found = await self._look(asked, consistency)
        return {key: key in found for key in asked}

    async def ttl_many(
        self, keys: Iterable[str], *, consistency: Consistency | Unset = UNSET
    ) -> dict[str, float | None]:
        """For each key, what `ttl` would say."""
        asked = check_keys(keys)
        found = await self._look(asked, consistency)
        return {key: self._left(found.get(key)) for key in asked}

    @overload
    async def get_or_set_many(
        self,
        keys: Iterable[str],
        loader: Callable[[list[str]], Awaitable[Mapping[str, T]]],
        *,
        ttl: TTL | Unset = UNSET,
        tags: str | Iterable[str] = (),
        type: object = None,
        cache_none: bool = True,
        consistency: Consistency | Unset = UNSET,
    ) -> dict[str, T]: ...
    @overload
    async def get_or_set_many(
        self,
        keys: Iterable[str],
        loader: Callable[[list[str]], Mapping[str, T]],
        *,
        ttl: TTL | Unset = UNSET,
        tags: str | Iterable[str] = (),
        type: object = None,
        cache_none: bool = True,
        consistency: Consistency | Unset = UNSET,
    ) -> dict[str, T]: ...
    async def get_or_set_many(
        self,
        keys: Iterable[str],
        loader: Callable[[list[str]], Mapping[str, T] | Awaitable[Mapping[str, T]]],
        *,
        ttl: TTL | Unset = UNSET,
        tags: str | Iterable[str] = (),
        type: object = None,
        cache_none: bool = True,
        consistency: Consistency | Unset = UNSET,
    ) -> dict[str, T]:
        """The values of several keys; `loader` is called once, with the keys that are missing.

        Keys that the loader leaves out of its answer stay absent; a key that was not asked for
        raises `ConfigError`, and then nothing is stored.
        """
        asked = check_keys(keys)
        strong = self._is_strong(consistency)
        check_loader(loader)
        tags = resolve_tags(tags)
        self._check_tags(tags)
        self._lifetime(ttl)
        try:
            found = await self._gather(asked, type, strong=strong)
        except BackendError as error:
            self._failed("a read failed, its values are loaded instead", error)
            found = {}
        values = {key: entry.value for key, entry in found.items()}
        missing = [key for key in asked if key not in found]
        if missing:
            values |= await self._load_many(missing, loader, (ttl, tags, type, cache_none))
        return {key: cast("T", values[key]) for key in asked if key in values}

    async def _load_many(
        self,
        missing: list[str],
        loader: Callable[[list[str]], Mapping[str, T] | Awaitable[Mapping[str, T]]],
        options: tuple[TTL | Unset, str | Iterable[str], object, bool],
    ) -> dict[str, object]:
        ttl, tags, want, cache_none = options
        stamp, started = await self._stamp(), self.time()
        self.counters.loads += 1
        try:
            loaded = await self.runtime.call(lambda: loader(list(missing)))
        except BaseException:
            self.counters.load_errors += 1
            raise
        if not isinstance(loaded, Mapping):
            raise ConfigError(
                "the loader of several keys returns a mapping of keys to values, not "
                f"{type(loaded).__name__}",
                field="loader",
            )
        strangers = [key for key in loaded if key not in set(missing)]
        if strangers:
            raise ConfigError(f"the loader returned keys not asked for: {strangers[:3]!r}")
        drafts = [self._draft(key, value, ttl, tags, want) for key, value in loaded.items()]
        for draft in drafts:
            draft.stamp, draft.started = stamp, started
        try:
            await self._store([draft for draft in drafts if cache_none or draft.value is not None])
        except BackendError as error:
            self._complain("loaded values could not be stored", error)
        return {draft.key: draft.value for draft in drafts}


def check_keys(keys: Iterable[str]) -> list[str]:
    """Several keys, each once; a single string is refused."""
    if isinstance(keys, str) or not isinstance(keys, Iterable):
        raise CacheKeyError(f"several keys are a list of str, not one {type(keys).__name__}")
    return list(dict.fromkeys(check_key(key) for key in keys))
