"""The store as its users see it, written once on top of what each store implements."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Self, TypeVar, cast, overload

from armature_cache._missing import UNSET, Unset
from armature_cache.errors import BackendError, ConfigError
from armature_cache.loading import Flight, Flights
from armature_cache.options import (
    TTL,
    Consistency,
    check_consistency,
    check_key,
    check_loader,
    encodable,
    resolve_tags,
)
from armature_cache.stores.bulk import BulkMethods
from armature_cache.stores.draft import Draft
from armature_cache.stores.joining import Passenger

if TYPE_CHECKING:
    from armature_cache.clocks.replica import Stamp
    from armature_cache.entry import Entry
    from armature_cache.stores.stats import CacheStats
    from armature_cache.sync import SyncStore

T = TypeVar("T")


class LoadOptions(NamedTuple):
    """How a loaded value is stored, resolved."""

    tags: tuple[str, ...]
    ttl: float | None
    want: object
    cache_none: bool


class CacheStore(BulkMethods):
    """A cache: the interface of every store, tier and wrapper.

    Keys are strings; `ttl` is in seconds or a `timedelta`, not given means the store's
    `default_ttl`, and None no expiry. Each operation raises `BackendError` when a shared store
    fails, unless the store tolerates it.
    """

    face: ClassVar[Literal["async", "sync"]] = "async"

    _flights: Flights

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
        consistency: Consistency = "bounded",
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
        consistency: Consistency = "bounded",
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
        consistency: Consistency = "bounded",
    ) -> T:
        """The value of a key, loaded and stored if there is none.

        Concurrent callers share one load. A load that was overtaken by an invalidation is
        returned but never served again. An exception of the loader is not cached. When the shared
        store fails, the loader's value is returned all the same.
        """
        if consistency == "bounded":
            try:
                entry = self._peek(key)
            except TypeError:
                check_key(key)
                raise
            if entry is not None and (type is None or self._fits(entry, type)):
                return cast("T", entry.value)
        strong = check_consistency(consistency)
        check_loader(loader)
        options = self._load_options(ttl, tags, type, cache_none=cache_none)
        return await self._shared(check_key(key), loader, options, strong=strong, read=True)

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
    ) -> T:
        """Load and store the value of a key, whatever is cached."""
        check_loader(loader)
        options = self._load_options(ttl, tags, type, cache_none=cache_none)
        return await self._shared(check_key(key), loader, options, strong=True, read=False)

    def _load_options(
        self, ttl: TTL | Unset, tags: str | Iterable[str], want: object, *, cache_none: bool
    ) -> LoadOptions:
        named = resolve_tags(tags)
        self._check_tags(named)
        return LoadOptions(named, self._lifetime(ttl), want, cache_none)

    async def _shared(
        self,
        key: str,
        loader: Callable[[], T | Awaitable[T]],
        options: LoadOptions,
        *,
        strong: bool,
        read: bool,
    ) -> T:
        async def work(flight: Flight[T]) -> T:
            if read:
                flight.knew = self.clock.replica.generation
                found = await self._fetch_or_miss(key, options.want, strong=strong)
                if found is not None:
                    flight.found = found
                    return cast("T", found.value)
            else:
                await self._catch_up()
            flight.stamp, flight.began = await self._stamp(), self.time()
            return await self._load(key, loader, options, flight.stamp)

        path, tags = self.path + key, self._tag_paths(options.tags)
        slot = path if read else f"\0refresh:{path}"
        caller = Passenger(self, path, tags, strong=strong, read=read)
        return await self._flights.run(slot, work, caller)

    async def _fetch_or_miss(self, key: str, want: object, *, strong: bool) -> Entry | None:
        try:
            return (await self._fetch((key,), want, strong=strong)).get(key)
        except BackendError as error:
            self.counters.errors += 1
            self._complain("a read failed, its value is loaded instead", error)
            return None

    async def _load(
        self,
        key: str,
        loader: Callable[[], T | Awaitable[T]],
        options: LoadOptions,
        stamp: Stamp,
    ) -> T:
        started = self.time()
        self.counters.loads += 1
        try:
            value = await self.runtime.call(loader)
        except BaseException:
            self.counters.load_errors += 1
            raise
        if value is None and not options.cache_none:
            return value
        prepared = self._prepare(value, options.want)
        spent = self.time() - started
        draft = Draft(key, *prepared, options.tags, options.ttl, stamp, started, spent)
        try:
            await self._store([draft])
        except BackendError as error:
            self._complain("a loaded value could not be stored", error)
        return cast("T", prepared.value)

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

    async def aclose(self) -> None:
        """Close connections and background work; raises what could not be flushed."""
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
