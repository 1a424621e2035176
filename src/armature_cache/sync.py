"""The sync face: the same stores for plain functions and threads, without `await`.

Each class stands for the one of the same name in `armature_cache` and takes the same arguments.
An L1 hit is a plain call; everything else drives the one core, which never waits on an event
loop here.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeVar, Unpack, cast, overload

from armature_cache._missing import UNSET, Unset
from armature_cache._runtime.ready import run_ready
from armature_cache._time import TimeSource, boottime
from armature_cache.errors import ConfigError
from armature_cache.events import Listener
from armature_cache.leases import held, withdraw
from armature_cache.options import check_key
from armature_cache.policy import DEFAULT_POLICY, LoadKeywords, LoadPolicy
from armature_cache.stores import base as _base
from armature_cache.stores import hits
from armature_cache.stores import memory as _memory
from armature_cache.stores import null as _null
from armature_cache.stores import tagged as _tagged
from armature_cache.stores import tiered as _tiered
from armature_cache.stores.tier_config import DEFAULT as DEFAULT_TIERS
from armature_cache.stores.tier_config import TieredCacheConfig

if TYPE_CHECKING:
    import redis

    from armature_cache.advice import Advice
    from armature_cache.codecs.base import Codec
    from armature_cache.codecs.sealed import SealedCodec
    from armature_cache.config import CacheConfig
    from armature_cache.options import TTL, Consistency
    from armature_cache.stores.draft import Mark
    from armature_cache.stores.stats import CacheStats

T = TypeVar("T")
D = TypeVar("D")

Tags = str | Iterable[str]


class CacheStore:
    """A cache for plain functions and threads: the sync face of `armature_cache.CacheStore`."""

    face: ClassVar[Literal["async", "sync"]] = "sync"

    def __init__(self, core: _base.CacheStore) -> None:
        self._attach(core)

    def _attach(self, core: _base.CacheStore) -> None:
        self._core = core
        core._followed_by(self)
        self._follow_peek()

    def _follow_peek(self) -> None:
        self._peek = self._core._peek
        hits.hold(self, CacheStore.get, hits.sync_get)

    def __repr__(self) -> str:
        return f"<sync {self._core!r}>"

    @property
    def supports_tags(self) -> bool:
        """Whether values can be stored with tags."""
        return self._core.supports_tags

    @property
    def default_ttl(self) -> float | None:
        """The lifetime, in seconds, of what is stored without one; None for no expiry."""
        return self._core.default_ttl

    @overload
    def get(
        self, key: str, default: None = None, *, consistency: Consistency | Unset = UNSET
    ) -> Any: ...
    @overload
    def get(
        self, key: str, default: object, *, consistency: Consistency | Unset = UNSET
    ) -> Any: ...
    @overload
    def get(
        self,
        key: str,
        default: None = None,
        *,
        type: type[T],
        consistency: Consistency | Unset = UNSET,
    ) -> T | None: ...
    @overload
    def get(
        self, key: str, default: D, *, type: type[T], consistency: Consistency | Unset = UNSET
    ) -> T | D: ...
    def get(
        self,
        key: str,
        default: object = None,
        type: object = None,
        consistency: Consistency | Unset = UNSET,
    ) -> Any:
        if type is None and (consistency is UNSET or consistency == "bounded"):
            try:
                entry = self._peek(key)
            except TypeError:
                check_key(key)
                raise
            if entry is not None:
                leased = held()
                if leased and self._core.path + key in leased:
                    withdraw(self._core.clock.replica, self._core.path + key)
                return entry.value
        return run_ready(
            self._core.get(key, default, type=cast("Any", type), consistency=consistency)
        )

    def exists(self, key: str, *, consistency: Consistency | Unset = UNSET) -> bool:
        return run_ready(self._core.exists(key, consistency=consistency))

    def ttl(self, key: str, *, consistency: Consistency | Unset = UNSET) -> float | None:
        return run_ready(self._core.ttl(key, consistency=consistency))

    def set(
        self,
        key: str,
        value: object,
        *,
        ttl: TTL | Unset = UNSET,
        tags: Tags = (),
        as_of: Mark | Unset | None = UNSET,
        type: object = None,
    ) -> None:
        run_ready(self._core.set(key, value, ttl=ttl, tags=tags, as_of=as_of, type=type))

    def add(
        self,
        key: str,
        value: object,
        *,
        ttl: TTL | Unset = UNSET,
        tags: Tags = (),
        type: object = None,
    ) -> bool:
        return run_ready(self._core.add(key, value, ttl=ttl, tags=tags, type=type))

    def delete(self, key: str) -> bool:
        return run_ready(self._core.delete(key))

    def expire(self, key: str, ttl: TTL) -> bool:
        return run_ready(self._core.expire(key, ttl))

    def increment(self, key: str, delta: int = 1, *, ttl: TTL | Unset = UNSET) -> int:
        return run_ready(self._core.increment(key, delta, ttl=ttl))

    def decrement(self, key: str, delta: int = 1, *, ttl: TTL | Unset = UNSET) -> int:
        return run_ready(self._core.decrement(key, delta, ttl=ttl))

    def clear(self) -> None:
        run_ready(self._core.clear())

    def get_many(
        self,
        keys: Iterable[str],
        *,
        type: object = None,
        consistency: Consistency | Unset = UNSET,
    ) -> dict[str, Any]:
        return run_ready(self._core.get_many(keys, type=type, consistency=consistency))

    def set_many(
        self,
        items: Mapping[str, object],
        *,
        ttl: TTL | Unset = UNSET,
        tags: Tags = (),
        as_of: Mark | Unset | None = UNSET,
        type: object = None,
    ) -> None:
        run_ready(self._core.set_many(items, ttl=ttl, tags=tags, as_of=as_of, type=type))

    def delete_many(self, keys: Iterable[str]) -> int:
        return run_ready(self._core.delete_many(keys))

    def exists_many(
        self, keys: Iterable[str], *, consistency: Consistency | Unset = UNSET
    ) -> dict[str, bool]:
        return run_ready(self._core.exists_many(keys, consistency=consistency))

    def ttl_many(
        self, keys: Iterable[str], *, consistency: Consistency | Unset = UNSET
    ) -> dict[str, float | None]:
        return run_ready(self._core.ttl_many(keys, consistency=consistency))

    def get_or_set(
        self,
        key: str,
        loader: Callable[[], T],
        *,
        ttl: TTL | Unset = UNSET,
        tags: Tags = (),
        type: object = None,
        cache_none: bool = True,
        consistency: Consistency | Unset = UNSET,
        **policy: Unpack[LoadKeywords],
    ) -> T:
        return run_ready(
            self._core.get_or_set(
                key,
                loader,
                ttl=ttl,
                tags=tags,
                type=type,
                cache_none=cache_none,
                consistency=consistency,
                **policy,
            )
        )

    def get_or_set_many(
        self,
        keys: Iterable[str],
        loader: Callable[[list[str]], Mapping[str, T]],
        *,
        ttl: TTL | Unset = UNSET,
        tags: _base.TagsOfKeys = (),
        type: object = None,
        cache_none: bool = True,
        consistency: Consistency | Unset = UNSET,
        **policy: Unpack[LoadKeywords],
    ) -> dict[str, T]:
        return run_ready(
            self._core.get_or_set_many(
                keys,
                loader,
                ttl=ttl,
                tags=tags,
                type=type,
                cache_none=cache_none,
                consistency=consistency,
                **policy,
            )
        )

    def refresh(
        self,
        key: str,
        loader: Callable[[], T],
        *,
        ttl: TTL | Unset = UNSET,
        tags: Tags = (),
        type: object = None,
        cache_none: bool = True,
        **policy: Unpack[LoadKeywords],
    ) -> T:
        return run_ready(
            self._core.refresh(
                key, loader, ttl=ttl, tags=tags, type=type, cache_none=cache_none, **policy
            )
        )

    def with_policy(self, **policy: Unpack[LoadKeywords]) -> Self:
        twin = copy.copy(self)
        twin.__dict__.pop("get", None)
        twin._attach(self._core.with_policy(**policy))
        return twin

    def mark(self) -> Mark:
        return run_ready(self._core._marked())

    def scan(self, prefix: str = "") -> Iterator[str]:
        keys = self._core.scan(prefix)
        while True:
            try:
                yield run_ready(cast("Any", keys.__anext__()))
            except StopAsyncIteration:
                return

    def stats(self) -> CacheStats:
        return self._core.stats()

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        return self._core.subscribe(listener)

    def namespace(self, name: str) -> CacheStore:
        return face_of(self._core.namespace(name))

    def cached(self, **options: Any) -> Any:
        from armature_cache.decorator import cache

        return cache(using=self, **options)

    def ping(self) -> None:
        run_ready(self._core.ping())

    def advise(self) -> tuple[Advice, ...]:
        return run_ready(self._core.advise())

    def close(self) -> None:
        """Close connections and background work; raises what could not be flushed."""
        run_ready(self._core.aclose())

    def sync(self) -> Self:
        """This store."""
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


SyncStore = CacheStore


class InMemoryCache(CacheStore):
    """A cache in this process: the sync face of `armature_cache.InMemoryCache`."""

    def __init__(
        self,
        *,
        max_entries: int = 10_000,
        max_bytes: int | None = None,
        default_ttl: TTL = None,
        isolate: bool = False,
        detect_mutation: bool = False,
        policy: LoadPolicy = DEFAULT_POLICY,
        time: TimeSource = boottime,
    ) -> None:
        core = _memory.InMemoryCache(
            max_entries=max_entries,
            max_bytes=max_bytes,
            default_ttl=default_ttl,
            isolate=isolate,
            detect_mutation=detect_mutation,
            policy=policy,
            time=time,
        )
        super().__init__(core._blocking())


class RedisCache(CacheStore):
    """A cache on a Redis or Valkey server: the sync face of `armature_cache.RedisCache`."""

    def __init__(
        self,
        config: CacheConfig,
        *,
        codec: Codec | SealedCodec | None = None,
        time: TimeSource = boottime,
    ) -> None:
        from armature_cache.stores.redis import RedisCache as Core

        super().__init__(Core(config, codec=codec, time=time)._blocking())

    @classmethod
    def from_client(
        cls,
        client: redis.Redis,
        *,
        config: CacheConfig | None = None,
        codec: Codec | SealedCodec | None = None,
        time: TimeSource = boottime,
    ) -> Self:
        """A cache over a client that the caller made, and closes.

        `config` gives everything but the address: namespace, lifetimes, timeouts and bounds.
        """
        from armature_cache.stores.redis import RedisCache as Core

        self = cls.__new__(cls)
        CacheStore.__init__(self, Core.over_blocking(client, config, codec, time))
        return self


class MemcachedCache(CacheStore):
    """A cache on Memcached servers: the sync face of `armature_cache.MemcachedCache`."""

    def __init__(
        self,
        config: CacheConfig,
        *,
        codec: Codec | SealedCodec | None = None,
        time: TimeSource = boottime,
    ) -> None:
        from armature_cache.stores.memcached import MemcachedCache as Core

        super().__init__(Core(config, codec=codec, time=time)._blocking())

    def __enter__(self) -> Self:
        return self


class SQLiteCache(CacheStore):
    """A cache in a file of this machine: the sync face of `armature_cache.SQLiteCache`."""

    def __init__(
        self,
        config: CacheConfig,
        *,
        codec: Codec | SealedCodec | None = None,
        time: TimeSource = boottime,
    ) -> None:
        from armature_cache.stores.sqlite import SQLiteCache as Core

        super().__init__(Core(config, codec=codec, time=time)._blocking())


class TieredCache(CacheStore):
    """L1 over L2: the sync face of `armature_cache.TieredCache`."""

    def __init__(
        self,
        l1: CacheStore,
        l2: CacheStore,
        config: TieredCacheConfig = DEFAULT_TIERS,
    ) -> None:
        super().__init__(_tiered.TieredCache(_core_of(l1, "l1"), _core_of(l2, "l2"), config))


class NamespacedCache(CacheStore):
    """The part of a store whose keys and tags belong to one name; made by `namespace()`."""


class NullCache(CacheStore):
    """A cache that keeps nothing: the sync face of `armature_cache.NullCache`."""

    def __init__(self, *, time: TimeSource = boottime) -> None:
        super().__init__(_null.NullCache(time=time)._blocking())


class TaggedCache(CacheStore):
    """Any store, with tags: the sync face of `armature_cache.TaggedCache`."""

    _core: _tagged.TaggedCache

    def __init__(self, store: CacheStore) -> None:
        super().__init__(_tagged.TaggedCache(_core_of(store, "store")))

    def set_with_tags(
        self,
        key: str,
        value: object,
        tags: Tags,
        ttl: TTL | Unset = UNSET,
        *,
        as_of: Mark | Unset | None = UNSET,
        type: object = None,
    ) -> None:
        run_ready(self._core.set_with_tags(key, value, tags, ttl, as_of=as_of, type=type))

    def invalidate_tag(
        self,
        tag: str,
        *,
        soft: bool = False,
        wait: bool = False,
        again_after: float | None = None,
    ) -> None:
        run_ready(self._core.invalidate_tag(tag, soft=soft, wait=wait, again_after=again_after))

    def invalidate_tags(
        self,
        tags: Tags,
        *,
        soft: bool = False,
        wait: bool = False,
        again_after: float | None = None,
    ) -> None:
        run_ready(self._core.invalidate_tags(tags, soft=soft, wait=wait, again_after=again_after))

    @contextmanager
    def deferred_invalidation(self) -> Generator[None]:
        block = self._core.deferred_invalidation()
        run_ready(block.__aenter__())
        try:
            yield
        except BaseException as error:
            run_ready(block.__aexit__(type(error), error, error.__traceback__))
            raise
        run_ready(block.__aexit__(None, None, None))

    def get_keys_by_tag(self, tag: str, *, exact: bool = False) -> list[str]:
        return run_ready(self._core.get_keys_by_tag(tag, exact=exact))

    def get_tags_for_key(self, key: str) -> list[str]:
        return run_ready(self._core.get_tags_for_key(key))

    def list_tags(self) -> list[str]:
        return run_ready(self._core.list_tags())

    def namespace(self, name: str) -> TaggedCache:
        return cast("TaggedCache", face_of(self._core.namespace(name)))


def face_of(core: _base.CacheStore) -> CacheStore:
    """The sync face of a core that is on the blocking runtime."""
    kinds: dict[str, type[CacheStore]] = {
        kind.__name__: kind
        for kind in (
            InMemoryCache, MemcachedCache, NamespacedCache, NullCache, RedisCache, SQLiteCache,
            TaggedCache,
            TieredCache,
        )
    }  # fmt: skip
    kind = kinds.get(type(core).__name__, CacheStore)
    face = kind.__new__(kind)
    CacheStore.__init__(face, core)
    return face


def _core_of(store: object, field: str) -> _base.CacheStore:
    if isinstance(store, CacheStore):
        return store._core
    raise ConfigError(
        f"{field} is a store of armature_cache.sync, not {type(store).__name__}; an async store "
        "has a sync face: store.sync()",
        field=field,
    )


def _copy_docs() -> None:
    """Each method says what its async twin says."""
    pairs: tuple[tuple[type, type], ...] = (
        (CacheStore, _base.CacheStore),
        (InMemoryCache, _memory.InMemoryCache),
        (TieredCache, _tiered.TieredCache),
        (TaggedCache, _tagged.TaggedCache),
        (NullCache, _null.NullCache),
    )
    for face, core in pairs:
        for name, member in vars(face).items():
            if inspect.isfunction(member) and not member.__doc__ and hasattr(core, name):
                member.__doc__ = getattr(core, name).__doc__


_copy_docs()
