"""A cache within a cache."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from armature_cache.options import check_namespace
from armature_cache.stores import hits
from armature_cache.stores.wrapper import Wrapper

if TYPE_CHECKING:
    from armature_cache._runtime.base import Signal
    from armature_cache.claims import Claim, Holder
    from armature_cache.entry import Entry
    from armature_cache.stores.base import CacheStore
    from armature_cache.stores.draft import Draft
    from armature_cache.stores.primitives import EntryStore


class NamespacedCache(Wrapper):
    """The part of a store whose keys and tags belong to one name.

    Keys and tags of users contain no NUL, so a name and a NUL before them never collide with
    others. Every entry carries a hidden tag, by which the whole part is cleared in one step.
    """

    def __init__(self, store: CacheStore, name: str) -> None:
        self._prefix = check_namespace(name) + "\0"
        self.name = name
        super().__init__(store)

    def _wrap(self) -> None:
        super()._wrap()
        self.path += self._prefix
        hits.drop(self)
        del self._peek

    def _follow_peek(self) -> None:
        """It asks the store within anew at each read."""

    def _tag_paths(self, tags: tuple[str, ...]) -> tuple[str, ...]:
        return self.store._tag_paths(self._tags(tags))

    def _inner(self, keys: Sequence[str]) -> list[str]:
        prefix = self._prefix
        return [prefix + key for key in keys]

    def _tags(self, tags: tuple[str, ...]) -> tuple[str, ...]:
        return (*self._inner(tags), self._prefix)

    def _draft_within(self, draft: Draft) -> Draft:
        return dataclasses.replace(draft, key=self._prefix + draft.key, tags=self._tags(draft.tags))

    def _outer(self, found: dict[str, Entry]) -> dict[str, Entry]:
        skip = len(self._prefix)
        return {key[skip:]: entry for key, entry in found.items()}

    def _peek(self, key: str) -> Entry | None:
        return self.store._peek(self._prefix + key)

    async def _fetch(
        self, keys: Sequence[str], want: object, *, strong: bool, stale: bool = False
    ) -> dict[str, Entry]:
        inner = self._inner(keys)
        return self._outer(await self.store._fetch(inner, want, strong=strong, stale=stale))

    def _remnant(self, key: str) -> Entry | None:
        return self.store._remnant(self._prefix + key)

    async def _claim(
        self, keys: Sequence[str], mine: Holder, life: float, *, instead_of: str = ""
    ) -> list[Claim]:
        return await self.store._claim(self._inner(keys), mine, life, instead_of=instead_of)

    async def _release(self, keys: Sequence[str], nonce: str) -> None:
        await self.store._release(self._inner(keys), nonce)

    def _listening(self, key: str) -> AbstractContextManager[Signal]:
        return self.store._listening(self._prefix + key)

    async def _probe(self, keys: Sequence[str]) -> dict[str, Entry]:
        skip = len(self._prefix)
        found = self._outer(await self.store._probe(self._inner(keys)))
        for key, entry in found.items():
            found[key] = entry.with_tags(
                tuple(
                    tag[skip:]
                    for tag in entry.tags
                    if tag.startswith(self._prefix) and tag != self._prefix
                )
            )
        return found

    async def _write(self, drafts: Sequence[Draft]) -> list[bool]:
        within = [self._draft_within(draft) for draft in drafts]
        stored = await self.store._write(within)
        for draft, inner in zip(drafts, within, strict=True):
            draft.stamp, draft.claim, draft.proof = inner.stamp, inner.claim, inner.proof
        return stored

    async def _add(self, draft: Draft) -> bool:
        within = self._draft_within(draft)
        added = await self.store._add(within)
        draft.stamp, draft.proof = within.stamp, within.proof
        return added

    async def _remove(self, keys: Sequence[str]) -> list[bool]:
        return await self.store._remove(self._inner(keys))

    async def _restamp(self, key: str, ttl: float | None) -> bool:
        return await self.store._restamp(self._prefix + key, ttl)

    async def _increment(
        self, key: str, delta: int, ttl: float | None, tags: tuple[str, ...]
    ) -> int:
        return await self.store._increment(self._prefix + key, delta, ttl, self._tags(tags))

    async def _invalidate(self, tags: Sequence[str]) -> None:
        await self.store._invalidate(self._inner(tags))

    async def _invalidate_and_remove(self, tags: Sequence[str], keys: Sequence[str]) -> list[bool]:
        return await self.store._invalidate_and_remove(self._inner(tags), self._inner(keys))

    def _rooted(
        self, tags: tuple[str, ...], keys: tuple[str, ...]
    ) -> tuple[EntryStore, tuple[str, ...], tuple[str, ...]]:
        return self.store._rooted(tuple(self._inner(tags)), tuple(self._inner(keys)))

    async def _restart(self) -> None:
        await self.store._invalidate((self._prefix,))

    async def _scan(self, prefix: str) -> AsyncIterator[str]:
        skip = len(self._prefix)
        async for key in self.store._scan(self._prefix + prefix):
            yield key[skip:]

    async def _tagged_keys(self, tag: str, *, exact: bool) -> list[str]:
        skip = len(self._prefix)
        found = await self.store._tagged_keys(self._prefix + tag, exact=exact)
        return [key[skip:] for key in found]

    async def _live_tags(self) -> list[str]:
        skip = len(self._prefix)
        tags = await self.store._live_tags()
        return [tag[skip:] for tag in tags if tag.startswith(self._prefix) and tag != self._prefix]
