"""The store on a Redis or Valkey server."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Self

from armature_cache._runtime.aio import ASYNC
from armature_cache._runtime.blocking import BLOCKING
from armature_cache._runtime.gathering import LoopGatherer
from armature_cache._time import TimeSource, boottime
from armature_cache.clocks import advisor
from armature_cache.clocks.hints import HintEar
from armature_cache.clocks.redis import RedisClock
from armature_cache.clocks.server_replica import ServerReplica, replica_of
from armature_cache.config import CacheConfig
from armature_cache.errors import BackendError, ConfigError
from armature_cache.redisio import connect
from armature_cache.redisio.names import Names
from armature_cache.redisio.port import checked
from armature_cache.stores.reclaiming import Reclaimer
from armature_cache.stores.redis_claims import Claims
from armature_cache.stores.redis_entries import RedisEntries
from armature_cache.stores.redis_writes import ClusterWrites, Writes
from armature_cache.stores.stats import CacheStats, snapshot

if TYPE_CHECKING:
    import redis
    import redis.asyncio

    from armature_cache._runtime.base import Runtime
    from armature_cache.advice import Advice
    from armature_cache.codecs.base import Codec
    from armature_cache.codecs.sealed import SealedCodec
    from armature_cache.redisio.port import Port


class RedisCache(RedisEntries):
    """A cache on a Redis or Valkey server, shared by any number of processes.

    The constructor does no I/O. Values are encoded by `codec` (MessagePack by default); a
    `SealedCodec` compresses, encrypts or signs them as well. Reads are judged by a replica of the
    server's tag clock that is never older than `config.staleness_bound`.
    """

    def __init__(
        self,
        config: CacheConfig,
        *,
        codec: Codec | SealedCodec | None = None,
        time: TimeSource = boottime,
    ) -> None:
        if not isinstance(config, CacheConfig) or config.file:
            raise ConfigError(
                'RedisCache takes a CacheConfig: RedisCache(CacheConfig.redis("redis://..."))',
                field="config",
            )
        connect.check_kind(config)
        self._client: redis.asyncio.Redis | redis.Redis | None = None
        self._open(config, connect.async_port(config, time), ASYNC, codec, time)

    @classmethod
    def from_client(
        cls,
        client: redis.asyncio.Redis,
        *,
        config: CacheConfig | None = None,
        codec: Codec | SealedCodec | None = None,
        time: TimeSource = boottime,
    ) -> Self:
        """A cache over a client that the caller made, and closes.

        `config` gives everything but the address: namespace, lifetimes, timeouts and bounds.
        """
        connect.check_async_client(client)
        self = cls.__new__(cls)
        settings = config or CacheConfig.redis(connect.url_of(client))
        self._client = client
        self._open(settings, connect.async_port_of(client, settings, time), ASYNC, codec, time)
        return self

    @classmethod
    def over_blocking(
        cls,
        client: redis.Redis,
        config: CacheConfig | None,
        codec: Codec | SealedCodec | None,
        time: TimeSource,
    ) -> Self:
        """What stands behind the sync face's `from_client`."""
        connect.check_blocking_client(client)
        self = cls.__new__(cls)
        settings = config or CacheConfig.redis(connect.url_of(client))
        self._client = client
        port = connect.blocking_port_of(client, settings, time)
        self._open(settings, port, BLOCKING, codec, time)
        return self

    def _open(
        self,
        config: CacheConfig,
        port: Port,
        runtime: Runtime,
        codec: Codec | SealedCodec | None,
        time: TimeSource,
    ) -> None:
        self._settle(config, codec, time)
        self._replica: ServerReplica = replica_of(self._place())
        self._attach(port, runtime)

    def _attach(self, port: Port, runtime: Runtime) -> None:
        self._names = Names.of(self.config)
        self._port = port
        self._run_on(runtime)
        self._together = LoopGatherer(self._judged_together)
        self.clock = RedisClock(
            self._replica,
            port,
            config=self.config,
            runtime=runtime,
            time=self.time,
            listener=self._listener(_ears(self)),
        )
        self._reclaimer = Reclaimer(_sweeper(self)) if self.config.reclaim else None
        self._claims = Claims(self.clock, port, self._names, runtime)
        kind = ClusterWrites if self._names.clustered else Writes
        self._writes = kind(
            self.clock,
            port,
            names=self._names,
            sealing=self._sealing,
            config=self.config,
            time=self.time,
            claims=self._claims,
        )

    def _place(self) -> str:
        if self._client is None:
            return connect.place_of(self.config)
        return connect.place_of_client(self._client, self.config)

    def __repr__(self) -> str:
        return f"<RedisCache {self._port.backend} namespace={self.config.namespace!r}>"

    def _snapshot(self) -> CacheStats:
        return snapshot(
            "redis",
            self.counters,
            syncs=self._replica.syncs,
            pending_invalidations=self._replica.owing,
            coherence=self._replica.report(),
        )

    async def _advise(self) -> tuple[Advice, ...]:
        return await advisor.advise(self._port, self.config, self._replica)

    async def _invalidate(self, tags: Sequence[str]) -> None:
        await super()._invalidate(tags)
        self._reclaim(tags)

    async def _invalidate_and_remove(self, tags: Sequence[str], keys: Sequence[str]) -> list[bool]:
        had = await super()._invalidate_and_remove(tags, keys)
        self._reclaim(tags)
        return had

    def _reclaim(self, tags: Sequence[str]) -> None:
        if tags and self._reclaimer is not None:
            self._reclaimer.want(tags)

    async def _ping(self) -> None:
        checked(await self._port.send([("PING",)]), self._port.backend)

    async def _retire(self) -> None:
        if self._reclaimer is not None:
            self._reclaimer.close()
        await self._flush()
        with contextlib.suppress(BackendError):
            await self.clock.resign()

    def _blocking(self) -> Self:
        twin = self._twin()
        twin._attach(_background_port(self._client, self.config, self.time), BLOCKING)
        return twin


def _background_port(
    client: redis.asyncio.Redis | redis.Redis | None, config: CacheConfig, time: TimeSource
) -> connect.ThreadPort:
    if client is None:
        return connect.blocking_port(config, time)
    return connect.blocking_twin(client, config, time)


def _sweeper(store: RedisCache) -> Callable[[], tuple[RedisCache, connect.ThreadPort] | None]:
    """Makes what a reclaiming thread works with; None if the store has gone."""
    held = weakref.ref(store)

    def make() -> tuple[RedisCache, connect.ThreadPort] | None:
        owner = held()
        if owner is None:
            return None
        port = _background_port(owner._client, owner.config, owner.time)
        twin = owner._twin()
        twin._attach(port, BLOCKING)
        return twin, port

    return make


def _ears(store: RedisCache) -> Callable[[], HintEar]:
    """Makes the listener's ear; keeps nothing of the store alive but settings."""
    client, config, time, replica = store._client, store.config, store.time, store._replica

    def make() -> HintEar:
        port = _background_port(client, config, time)
        clock = RedisClock(replica, port, config=config, runtime=BLOCKING, time=time)
        return HintEar(clock, port, config, time)

    return make
