"""The stores and nestings that the contract holds for, and how each of them is made."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Awaitable, Callable, Iterator
from types import ModuleType
from typing import Any, Protocol
from unittest import mock

import redis
import redis.asyncio

import armature_cache
import armature_cache.sync
from armature_cache import CacheConfig, KeyRing, Lz4, SealedCodec, TieredCacheConfig, Zstd
from armature_cache.clocks.nonces import NonceReplica
from armature_cache.testing import Chaos, contract, in_chaos

FACES = ("async", "sync", "twin")
"""The async classes, those of `armature_cache.sync`, and `.sync()` of the async ones."""

BOUND = 0.05
KEYS = KeyRing({7: b"k" * 32})
NEAR, FAR = "/near/", "/far/"
"""Two folders that are one, under two names."""


@dataclasses.dataclass(frozen=True)
class Stack:
    """A way to put stores together. `tags`: it takes tags.

    `shared`: it works on a server or, with `file`, on a file. `servers` are the fixtures of what
    it can work on. On `coarse` ones a value may be refused because of what happened to another key
    or tag: that is over-invalidation, not staleness.
    """

    name: str
    build: Callable[[Kit], Any]
    tags: bool = False
    shared: bool = False
    file: bool = False
    servers: tuple[str, ...] = ("valkey", "redis7")

    @property
    def coarse(self) -> bool:
        return self.servers[0].startswith("memcached")


class Foreign(Protocol):
    """The keys of others on a server."""

    def set(self, name: str, value: bytes) -> None: ...

    def get(self, name: str) -> bytes | None: ...


@contextlib.contextmanager
def _own_replica() -> Iterator[None]:
    """Stores that are made meanwhile know of others only through their servers."""
    alone = mock.patch(
        "armature_cache.stores.memcached.nonce_replica_of", return_value=NonceReplica()
    )
    with alone:
        yield


class Kit(contract.Kit):
    """Makes stores of one stack and face for one test, and closes them after it.

    `client` looks at a Redis server from outside, `foreign` puts keys of others on any server.
    """

    client: redis.Redis
    foreign: Foreign
    bound = BOUND

    def __init__(self, stack: Stack, face: str, url: str, namespace: str) -> None:
        super().__init__(face, namespace=namespace)
        self.stack = stack
        self.tags, self.shared, self.coarse = stack.tags, stack.shared, stack.coarse
        self.url = url
        self.settings: dict[str, Any] = {}
        self._clients: list[redis.Redis | redis.asyncio.Redis] = []

    def build(self, order: contract.Order) -> Any:
        self.settings = {"namespace": order.namespace}
        if order.default_ttl is not None:
            self.settings["default_ttl"] = order.default_ttl
        if order.far and not self.stack.coarse:
            self.settings["url"] = self.url.replace("127.0.0.1", "localhost").replace(NEAR, FAR)
        with _own_replica() if order.far and self.stack.coarse else contextlib.nullcontext():
            return self.stack.build(self)

    async def close(self) -> None:
        await super().close()
        if self.stack.shared and not self.stack.file and not self.stack.coarse:
            self._sweep()
        for client in self._clients:
            if isinstance(client, redis.asyncio.Redis):
                await client.aclose()
            else:
                client.close()

    def calls(self, *commands: str) -> int:
        """How often the server has run these commands."""
        stats: Any = self.client.info("commandstats")
        return sum(int(stats.get(f"cmdstat_{name}", {}).get("calls", 0)) for name in commands)

    async def fewest(self, command: str, act: Callable[[], Awaitable[object]]) -> int:
        """How often the server runs a command for an act.

        The least of five: what a clock asks in the background now and then is not the act's.
        """
        counts: list[int] = []
        for _ in range(5):
            before = self.calls(command)
            await act()
            counts.append(self.calls(command) - before)
        return min(counts)

    def _sweep(self) -> None:
        """Leave nothing on the server, where every scan would have to pass it."""
        names = list(self.client.scan_iter(f"{{{self.root}*", count=5000))
        if names:
            self.client.unlink(*names)

    # -- for stacks --------------------------------------------------------------------------

    @property
    def _module(self) -> ModuleType:
        return armature_cache.sync if self.face == "sync" else armature_cache

    @property
    def _time(self) -> dict[str, Any]:
        return {} if self.stack.shared else {"time": self.time}

    def config(self, *, hints: bool = False) -> CacheConfig:
        settings = {"url": self.url, "staleness_bound": BOUND, "hints": hints, **self.settings}
        make: Any = CacheConfig.sqlite if self.stack.file else CacheConfig.redis
        config: CacheConfig = make(settings.pop("url"), **settings)
        return config

    def memory(self, **options: Any) -> Any:
        ttl = self.settings.get("default_ttl")
        return self._module.InMemoryCache(default_ttl=ttl, **options, **self._time)

    def redis(self, *, hints: bool = False, codec: Any = None) -> Any:
        return self._module.RedisCache(self.config(hints=hints), codec=codec, **self._time)

    def sqlite(self, *, hints: bool = False, codec: Any = None) -> Any:
        return self._module.SQLiteCache(self.config(hints=hints), codec=codec, **self._time)

    def memcached(self, *, hints: bool = False, codec: Any = None) -> Any:
        settings = {"staleness_bound": BOUND, "hints": hints, **self.settings}
        config = CacheConfig.memcached(self.url.split(), **settings)
        return self._module.MemcachedCache(config, codec=codec)

    def encrypted(self) -> Any:
        codec = SealedCodec(compress=Zstd(threshold=32), encrypt=KEYS)
        return self.redis(codec=codec)

    def signed(self) -> Any:
        codec = SealedCodec(compress=Lz4(threshold=32), sign=KEYS)
        return self.redis(codec=codec)

    def from_client(self) -> Any:
        config = self.config()
        kind = redis.Redis if self.face == "sync" else redis.asyncio.Redis
        client = kind.from_url(config.url, protocol=2)
        self._clients.append(client)
        return self._module.RedisCache.from_client(client, config=config)

    def chaos(self) -> Chaos:
        return Chaos(delay=1.0, delays=(0.0, 0.0))

    def tiered(self, l1: Any, l2: Any, **options: Any) -> Any:
        config = TieredCacheConfig(staleness_bound=BOUND, **options)
        return self._module.TieredCache(l1, l2, config)

    def tagged(self, store: Any) -> Any:
        return self._module.TaggedCache(store)


def _two(kit: Kit, **options: Any) -> Any:
    return kit.tiered(kit.memory(), kit.redis(), **options)


def _two_over_memcached(kit: Kit, **options: Any) -> Any:
    return kit.tiered(kit.memory(), kit.memcached(**options))


def _three(kit: Kit) -> Any:
    return kit.tiered(kit.memory(), _two(kit))


STACKS = (
    Stack("memory", Kit.memory),
    Stack("tagged-memory", lambda kit: kit.tagged(kit.memory()), tags=True),
    Stack("two-memories", lambda kit: kit.tiered(kit.memory(), kit.memory())),
    Stack(
        "tagged-two-memories",
        lambda kit: kit.tagged(kit.tiered(kit.memory(), kit.memory())),
        tags=True,
    ),
    Stack("part-of-memory", lambda kit: kit.memory().namespace("part")),
    Stack(
        "part-of-tagged-memory", lambda kit: kit.tagged(kit.memory()).namespace("part"), tags=True
    ),
    Stack("no-l2", lambda kit: _two(kit, enable_l2=False)),
    Stack("tagged-no-l2", lambda kit: kit.tagged(_two(kit, enable_l2=False)), tags=True),
    Stack("redis", Kit.redis, shared=True),
    Stack("from-client", Kit.from_client, shared=True),
    Stack("tagged-redis", lambda kit: kit.tagged(kit.redis()), tags=True, shared=True),
    Stack("tiered", _two, shared=True),
    Stack(
        "tagged-tiered",
        lambda kit: kit.tagged(kit.tiered(kit.memory(), kit.redis(hints=True))),
        tags=True,
        shared=True,
    ),
    Stack(
        "tiered-tagged",
        lambda kit: kit.tagged(
            kit.tiered(kit.tagged(kit.memory()), kit.tagged(kit.redis())),
        ),
        tags=True,
        shared=True,
    ),
    Stack("tagged-three", lambda kit: kit.tagged(_three(kit)), tags=True, shared=True),
    Stack("part-of-redis", lambda kit: kit.redis().namespace("part"), shared=True),
    Stack(
        "part-of-tagged-tiered",
        lambda kit: kit.tagged(_two(kit)).namespace("part"),
        tags=True,
        shared=True,
    ),
    Stack(
        "no-write-through",
        lambda kit: kit.tagged(_two(kit, write_through=False)),
        tags=True,
        shared=True,
    ),
    Stack(
        "no-promotion",
        lambda kit: kit.tagged(_two(kit, promote_to_l1=False)),
        tags=True,
        shared=True,
    ),
    Stack("isolating", lambda kit: kit.memory(isolate=True)),
    Stack("watching", lambda kit: kit.tagged(kit.memory(detect_mutation=True)), tags=True),
    Stack("encrypted", Kit.encrypted, shared=True),
    Stack(
        "signed",
        lambda kit: kit.tagged(kit.tiered(kit.memory(isolate=True), kit.signed())),
        tags=True,
        shared=True,
    ),
    Stack(
        "encrypted-tiered",
        lambda kit: kit.tagged(kit.tiered(kit.memory(detect_mutation=True), kit.encrypted())),
        tags=True,
        shared=True,
    ),
    Stack(
        "in-chaos",  # which delays everything by nothing: all operations go through it
        lambda kit: kit.tagged(kit.tiered(kit.memory(), in_chaos(kit.redis(), kit.chaos()))),
        tags=True,
        shared=True,
    ),
    Stack("no-l1", lambda kit: kit.tagged(_two(kit, enable_l1=False)), tags=True, shared=True),
    Stack("sqlite", Kit.sqlite, shared=True, file=True),
    Stack(
        "tagged-tiered-sqlite",
        lambda kit: kit.tagged(kit.tiered(kit.memory(), kit.sqlite(hints=True))),
        tags=True,
        shared=True,
        file=True,
    ),
    Stack(
        "part-of-tagged-tiered-sqlite",
        lambda kit: kit.tagged(kit.tiered(kit.memory(), kit.sqlite())).namespace("part"),
        tags=True,
        shared=True,
        file=True,
    ),
    Stack(
        "encrypted-sqlite",
        lambda kit: kit.tagged(
            kit.sqlite(codec=SealedCodec(compress=Zstd(threshold=32), encrypt=KEYS))
        ),
        tags=True,
        shared=True,
        file=True,
    ),
    Stack("memcached", Kit.memcached, shared=True, servers=("memcached",)),
    Stack(
        "tagged-memcached",
        lambda kit: kit.tagged(kit.memcached()),
        tags=True,
        shared=True,
        servers=("memcached_ring",),
    ),
    Stack("tiered-memcached", _two_over_memcached, shared=True, servers=("memcached",)),
    Stack(
        "tagged-tiered-memcached",
        lambda kit: kit.tagged(_two_over_memcached(kit, hints=True)),
        tags=True,
        shared=True,
        servers=("memcached", "memcached_ring"),
    ),
    Stack(
        "part-of-tagged-tiered-memcached",
        lambda kit: kit.tagged(_two_over_memcached(kit)).namespace("part"),
        tags=True,
        shared=True,
        servers=("memcached",),
    ),
    Stack(
        "encrypted-memcached",
        lambda kit: kit.tagged(
            kit.memcached(codec=SealedCodec(compress=Zstd(threshold=32), encrypt=KEYS))
        ),
        tags=True,
        shared=True,
        servers=("memcached",),
    ),
)
