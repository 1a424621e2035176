"""A store around a store: what every wrapper passes on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Self

from armature_cache.errors import ConfigError
from armature_cache.stores.base import CacheStore

if TYPE_CHECKING:
    from armature_cache._runtime.base import Signal
    from armature_cache.advice import Advice
    from armature_cache.claims import Claim, Holder
    from armature_cache.entry import Entry
    from armature_cache.stores.draft import Draft, Prepared
    from armature_cache.stores.primitives import EntryStore
    from armature_cache.stores.stats import CacheStats


class Wrapper(CacheStore):
    """Passes every entry-level operation on to `store`, with which it shares counts and clock."""

    def __init__(self, store: CacheStore) -> None:
        if not isinstance(store, CacheStore):
            raise ConfigError(
                f"{type(self).__name__} wraps an async store of armature_cache, not "
                f"{type(store).__name__}; for plain functions use the classes of "
                "armature_cache.sync",
                field="store",
            )
        self.store = store
        self.policy = store.policy
        self._wrap()

    def _follow(self) -> None:
        """Take over what has changed in the store within."""
        self._wrap()

    def _wrap(self) -> None:
        store = self.store
        self.clock, self.runtime, self.time = store.clock, store.runtime, store.time
        self.counters, self.bound = store.counters, store.bound
        self.default_ttl, self.max_ttl = store.default_ttl, store.max_ttl
        self.max_load_time = store.max_load_time
        self.supports_tags, self.tolerant = store.supports_tags, store.tolerant
        self.strong = store.strong
        self.isolates = store.isolates
        self.path, self._flights, self.hook = store.path, store._flights, store.hook
        store._followed_by(self)
        self._hold(store._peek)

    def _follow_peek(self) -> None:
        self._hold(self.store._peek)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.store!r}>"

    def _peek(self, key: str) -> Entry | None:
        return self.store._peek(key)

    def _tag_paths(self, tags: tuple[str, ...]) -> tuple[str, ...]:
        return self.store._tag_paths(tags)

    def _fits(self, entry: Entry, want: object) -> bool:
        return self.store._fits(entry, want)

    def _fetch(
        self, keys: Sequence[str], want: object, *, strong: bool, stale: bool = False
    ) -> Coroutine[Any, Any, dict[str, Entry]]:
        return self.store._fetch(keys, want, strong=strong, stale=stale)

    async def _ensure(self, *, strong: bool) -> None:
        await self.store._ensure(strong=strong)

    def _remnant(self, key: str) -> Entry | None:
        return self.store._remnant(key)

    async def _claim(
        self, keys: Sequence[str], mine: Holder, life: float, *, instead_of: str = ""
    ) -> list[Claim]:
        return await self.store._claim(keys, mine, life, instead_of=instead_of)

    async def _release(self, keys: Sequence[str], nonce: str) -> None:
        await self.store._release(keys, nonce)

    def _listening(self, key: str) -> AbstractContextManager[Signal]:
        return self.store._listening(key)

    async def _probe(self, keys: Sequence[str]) -> dict[str, Entry]:
        return await self.store._probe(keys)

    def _prepare(self, value: object, want: object) -> Prepared:
        return self.store._prepare(value, want)

    async def _write(self, drafts: Sequence[Draft]) -> list[bool]:
        return await self.store._write(drafts)

    async def _add(self, draft: Draft) -> bool:
        return await self.store._add(draft)

    async def _remove(self, keys: Sequence[str]) -> list[bool]:
        return await self.store._remove(keys)

    async def _restamp(self, key: str, ttl: float | None) -> bool:
        return await self.store._restamp(key, ttl)

    async def _increment(
        self, key: str, delta: int, ttl: float | None, tags: tuple[str, ...]
    ) -> int:
        return await self.store._increment(key, delta, ttl, tags)

    async def _invalidate(self, tags: Sequence[str]) -> None:
        await self.store._invalidate(tags)

    async def _invalidate_and_remove(self, tags: Sequence[str], keys: Sequence[str]) -> list[bool]:
        return await self.store._invalidate_and_remove(tags, keys)

    def _rooted(
        self, tags: tuple[str, ...], keys: tuple[str, ...]
    ) -> tuple[EntryStore, tuple[str, ...], tuple[str, ...]]:
        return self.store._rooted(tags, keys)

    async def _restart(self) -> None:
        await self.store._restart()

    def _scan(self, prefix: str) -> AsyncIterator[str]:
        return self.store._scan(prefix)

    async def _tagged_keys(self, tag: str, *, exact: bool) -> list[str]:
        return await self.store._tagged_keys(tag, exact=exact)

    async def _live_tags(self) -> list[str]:
        return await self.store._live_tags()

    def _snapshot(self) -> CacheStats:
        return self.store._snapshot()

    async def _advise(self) -> tuple[Advice, ...]:
        return await self.store._advise()

    async def _ping(self) -> None:
        await self.store._ping()

    async def _close(self) -> None:
        await self.store._close()

    def _blocking(self) -> Self:
        twin = self._twin()
        twin.store = self.store._blocking()
        twin._wrap()
        return twin
