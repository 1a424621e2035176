"""The methods of a store that take many keys at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from armature_cache import leases
from armature_cache._missing import UNSET, Unset
from armature_cache.errors import CacheKeyError, ConfigError
from armature_cache.events import Miss
from armature_cache.options import (
    TTL,
    Consistency,
    check_key,
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
            now = self.time()
            for key in missed:
                self._tell(Miss(self.path + key))
                stamp = await self._stamp(key)
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
        self._forget(items)
        try:
            if drafts:
                await self._store(drafts)
        finally:
            self._forget(items)

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


def check_keys(keys: Iterable[str]) -> list[str]:
    """Several keys, each once; a single string is refused."""
    if isinstance(keys, str) or not isinstance(keys, Iterable):
        raise CacheKeyError(f"several keys are a list of str, not one {type(keys).__name__}")
    return list(dict.fromkeys(check_key(key) for key in keys))
