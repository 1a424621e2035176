"""The store as its users see it, written once on top of what each store implements."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeVar, Unpack, cast, overload

from armature_cache import leases
from armature_cache._missing import UNSET, Unset
from armature_cache.errors import ConfigError
from armature_cache.events import Listener
from armature_cache.options import (
    TTL,
    Consistency,
    check_key,
    check_loader,
    encodable,
    resolve_tags,
)
from armature_cache.policy import LoadKeywords
from armature_cache.stores.bulk import BulkMethods, check_keys
from armature_cache.stores.load import Load
from armature_cache.stores.load_many import LoadMany
from armature_cache.stores.loads import LoadOptions

if TYPE_CHECKING:
    from armature_cache.advice import Advice
    from armature_cache.stores.stats import CacheStats
    from armature_cache.sync import SyncStore

T = TypeVar("T")

TagsOfKeys = str | Iterable[str] | Callable[[str], str | Iterable[str]]
"""The tags of several entries: the same for all, or by key."""


class CacheStore(BulkMethods):
    """A cache: the interface of every store, tier and wrapper.

    Keys are strings; `ttl` is in seconds or a `timedelta`, not given means the store's
    `default_ttl`, and None no expiry. Each operation raises `BackendError` when a shared store
    fails, unless the store tolerates it.
    """

    face: ClassVar[Literal["async", "sync"]] = "async"

    # -- loading -----------------------------------------------------------------------------

    @overload
    async def get_or_set(
        self,
        key: str,
        loader: Callable[[], Awaitable[T]],
        *,
        ttl: TTL | Unset = UNSET,
        tags: str | Iterable[str] = (),
        type: object = None,
        cache_none: bool = True,
        consistency: Consistency | Unset = UNSET,
        **policy: Unpack[LoadKeywords],
    ) -> T: ...
    @overload
    async def get_or_set(
        self,
        key: str,
        loader: Callable[[], T],
        *,
        ttl: TTL | Unset = UNSET,
        tags: str | Iterable[str] = (),
        type: object = None,
        cache_none: bool = True,
        consistency: Consistency | Unset = UNSET,
        **policy: Unpack[LoadKeywords],
    ) -> T: ...
    async def get_or_set(
        self,
        key: str,
        loader: Callable[[], T | Awaitable[T]],
        *,
        ttl: TTL | Unset = UNSET,
        tags: str | Iterable[str] = (),
        type: object = None,
        cache_none: bool = True,
        consistency: Consistency | Unset = UNSET,
        **policy: Unpack[LoadKeywords],
    ) -> T:
        """The value of a key, loaded and stored if there is none.

        Concurrent callers share one load, across processes as a rule. A load that was overtaken by
        an invalidation is returned but never served again. An exception of the loader is not
        cached. When the shared store fails, the loader's value is returned all the same. Further
        options are the fields of `LoadPolicy`, for this call; what a loader can say of its value
        is in `load_context()`.
        """
        if consistency is UNSET or consistency == "bounded":
            try:
                entry = self._peek(key)
            except TypeError:
                check_key(key)
                raise
            if entry is not None and (type is None or self._fits(entry, type)):
                return cast("T", entry.value)
        strong = self._is_strong(consistency)
        check_loader(loader)
        options = self._load_options(ttl, tags, type, policy, cache_none=cache_none)
        load = Load(self, check_key(key), loader, options, strong=strong)
        return self._own(await load.value())

    @overload
    async def refresh(
        self,
        key: str,
        loader: Callable[[], Awaitable[T]],
        *,
        ttl: TTL | Unset = UNSET,
        tags: str | Iterable[str] = (),
        type: object = None,
        cache_none: bool = True,
        **policy: Unpack[LoadKeywords],
    ) -> T: ...
    @overload
    async def refresh(
        self,
        key: str,
        loader: Callable[[], T],
        *,
        ttl: TTL | Unset = UNSET,
        tags: str | Iterable[str] = (),
        type: object = None,
        cache_none: bool = True,
        **policy: Unpack[LoadKeywords],
    ) -> T: ...
    async def refresh(
        self,
        key: str,
        loader: Callable[[], T | Awaitable[T]],
        *,
        ttl: TTL | Unset = UNSET,
        tags: str | Iterable[str] = (),
        type: object = None,
        cache_none: bool = True,
        **policy: Unpack[LoadKeywords],
    ) -> T:
        """Load and store the value of a key, whatever is cached; options as for `get_or_set`.

        A load is no invalidation: other processes may keep their copies for as long as these live.
        Where the source has changed, `delete` the key or invalidate its tags.
        """
        check_loader(loader)
        options = self._load_options(ttl, tags, type, policy, cache_none=cache_none)
        load = Load(self, check_key(key), loader, options, strong=False)
        return self._own(await load.refreshed())

    def _own(self, value: T) -> T:
        """What several callers may have waited for, as one of them gets it."""
        if not self.isolates:
            return value
        from armature_cache.stores.copying import copied

        return cast("T", copied(value))

    @overload
    async def get_or_set_many(
        self,
        keys: Iterable[str],
        loader: Callable[[list[str]], Awaitable[Mapping[str, T]]],
        *,
        ttl: TTL | Unset = UNSET,
        tags: TagsOfKeys = (),
        type: object = None,
        cache_none: bool = True,
        consistency: Consistency | Unset = UNSET,
        **policy: Unpack[LoadKeywords],
    ) -> dict[str, T]: ...
    @overload
    async def get_or_set_many(
        self,
        keys: Iterable[str],
        loader: Callable[[list[str]], Mapping[str, T]],
        *,
        ttl: TTL | Unset = UNSET,
        tags: TagsOfKeys = (),
        type: object = None,
        cache_none: bool = True,
        consistency: Consistency | Unset = UNSET,
        **policy: Unpack[LoadKeywords],
    ) -> dict[str, T]: ...
    async def get_or_set_many(
        self,
        keys: Iterable[str],
        loader: Callable[[list[str]], Mapping[str, T] | Awaitable[Mapping[str, T]]],
        *,
        ttl: TTL | Unset = UNSET,
        tags: TagsOfKeys = (),
        type: object = None,
        cache_none: bool = True,
        consistency: Consistency | Unset = UNSET,
        **policy: Unpack[LoadKeywords],
    ) -> dict[str, T]:
        """The values of several keys; `loader` is called once, for those that nobody has or loads.

        `tags` are those of every entry, or a function that gives those of a key. Keys that the
        loader leaves out of its answer stay absent; a key that was not asked for raises
        `ConfigError`, and then nothing is stored. A loader may give an exception as the value of a
        key: where nothing stale and no fallback stands in, `PartialLoadError` is raised, with all
        other values, which are stored. Other options as for `get_or_set`.
        """
        asked = check_keys(keys)
        strong = self._is_strong(consistency)
        check_loader(loader)
        named = () if callable(tags) else tags
        options = self._load_options(ttl, named, type, policy, cache_none=cache_none)
        tags_of = self._tags_by(tags) if callable(tags) else lambda _: options.tags
        load = LoadMany(self, loader, options, tags_of, strong=strong)
        values = await load.values(asked)
        if leases.held():
            for key in values:
                leases.withdraw(self.clock.replica, self.path + key)
        return {key: self._own(cast("T", values[key])) for key in asked if key in values}

    def _tags_by(
        self, tags: Callable[[str], str | Iterable[str]]
    ) -> Callable[[str], tuple[str, ...]]:
        def tags_of(key: str) -> tuple[str, ...]:
            named = resolve_tags(tags(key))
            self._check_tags(named)
            return named

        return tags_of

    def _load_options(
        self,
        ttl: TTL | Unset,
        tags: str | Iterable[str],
        want: object,
        keywords: LoadKeywords,
        *,
        cache_none: bool,
    ) -> LoadOptions:
        named = resolve_tags(tags)
        self._check_tags(named)
        policy = self.policy.changed(keywords)
        return LoadOptions(named, self._lifetime(ttl), want, cache_none, policy)

    def with_policy(self, **policy: Unpack[LoadKeywords]) -> Self:
        """The same cache with other defaults for loads: `with_policy(stale_for=3600, jitter=0.1)`.

        It shares residents, connections and clock with this one, and need not be closed.
        """
        twin = self._twin()
        twin.policy = self.policy.changed(policy)
        twin._origin = self
        self._followed_by(twin)
        twin._follow_peek()
        return twin

    # -- the rest ----------------------------------------------------------------------------

    def scan(self, prefix: str = "") -> AsyncIterator[str]:
        """The keys that begin with `prefix` and have a valid entry, in no order."""
        if not isinstance(prefix, str) or "\0" in prefix or not encodable(prefix):
            raise ConfigError("a prefix is a str without NUL, fit for UTF-8", field="prefix")
        return self._scan_here(prefix)

    async def _scan_here(self, prefix: str) -> AsyncIterator[str]:
        """Without the keys of namespaces within this one."""
        async for key in self._scan(prefix):
            if "\0" not in key:
                yield key

    def stats(self) -> CacheStats:
        """What this store counted since it was made."""
        return self._snapshot()

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Tell a function of every event in this cache, and in all over the same shared store.

        Returns a function that ends it. The events are in `armature_cache.events`.
        """
        return self.hook.add(listener)

    def namespace(self, name: str) -> CacheStore:
        """A cache of its own within this one: other keys, other tags, cleared by itself.

        It shares connections, residents and clock with its parent; clearing the parent clears it.
        """
        from armature_cache.stores.namespaced import NamespacedCache

        return NamespacedCache(self, name)

    def cached(self, **options: Any) -> Any:
        """`@cache` with this store: see `armature_cache.cache`."""
        from armature_cache.decorator import cache

        return cache(using=self, **options)

    async def ping(self) -> None:
        """Reach the shared store once; raises `BackendError` with advice."""
        await self._ping()

    async def advise(self) -> tuple[Advice, ...]:
        """What is dangerous about this set-up: looks now, changes nothing; empty if all is well.

        A few round trips and a bounded sample. The same looks are taken in the background when a
        process begins to read, and logged once. Raises `BackendError` if the server cannot be
        asked.
        """
        return await self._advise()

    async def aclose(self) -> None:
        """Close connections and background work; raises what could not be flushed."""
        self._flights.cancel()
        await self._close()

    def sync(self) -> SyncStore:
        """The same cache for plain functions and threads: it shares residents and clock."""
        from armature_cache.sync import face_of

        return face_of(self._blocking())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()
