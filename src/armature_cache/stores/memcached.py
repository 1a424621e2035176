"""The store on Memcached servers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Self

from armature_cache._runtime.aio import ASYNC
from armature_cache._runtime.blocking import BLOCKING
from armature_cache._time import TimeSource, boottime, walltime
from armature_cache.clocks.memcached import MemcachedClock
from armature_cache.clocks.nonces import NonceReplica, nonce_replica_of
from armature_cache.clocks.polls import PollingEar
from armature_cache.config import CacheConfig
from armature_cache.errors import ConfigError
from armature_cache.memcachedio import connect, wire
from armature_cache.memcachedio.port import checked
from armature_cache.stores.memcached_claims import Claims
from armature_cache.stores.memcached_entries import MemcachedEntries
from armature_cache.stores.memcached_writes import MemcachedWrites
from armature_cache.stores.stats import CacheStats, snapshot

if TYPE_CHECKING:
    from armature_cache._runtime.base import Runtime
    from armature_cache.codecs.base import Codec
    from armature_cache.codecs.sealed import SealedCodec
    from armature_cache.memcachedio.port import Port


class MemcachedCache(MemcachedEntries):
    """A cache on one or several Memcached servers, shared by any number of processes.

    The constructor does no I/O. Values are encoded by `codec` (MessagePack by default); a
    `SealedCodec` compresses, encrypts or signs them as well. Memcached 1.6 or later is needed; how
    large a value may be is its `-I` option, 1 MiB by default.
    """

    def __init__(
        self,
        config: CacheConfig,
        *,
        codec: Codec | SealedCodec | None = None,
        time: TimeSource = boottime,
    ) -> None:
        if not isinstance(config, CacheConfig):
            raise ConfigError(
                "MemcachedCache takes a CacheConfig: "
                'MemcachedCache(CacheConfig.memcached("memcached://..."))',
                field="config",
            )
        connect.check_kind(config)
        self._settle(config, codec, time)
        self._wall = walltime
        self._names = connect.names_of(config)
        self._replica: NonceReplica = nonce_replica_of(connect.place_of(config))
        self._attach(connect.async_port(config, time), ASYNC)

    def _attach(self, port: Port, runtime: Runtime) -> None:
        self._port = port
        self._run_on(runtime)
        self.clock = MemcachedClock(
            self._replica,
            port,
            self._names,
            config=self.config,
            runtime=runtime,
            time=self.time,
            wall=self._wall,
            listener=self._listener(_ears(self)),
        )
        self._claims = Claims(self.clock, self._names, runtime)
        self._writes = MemcachedWrites(
            self.clock,
            port,
            names=self._names,
            sealing=self._sealing,
            config=self.config,
            time=self.time,
            wall=self._wall,
            claims=self._claims,
        )

    def __repr__(self) -> str:
        return f"<MemcachedCache {self._port.backend} namespace={self.config.namespace!r}>"

    def _snapshot(self) -> CacheStats:
        return snapshot(
            "memcached",
            self.counters,
            syncs=self._replica.syncs,
            pending_invalidations=self._replica.owing,
        )

    async def _ping(self) -> None:
        nodes = range(len(self._port.servers))
        checked(await self._port.send([wire.nothing(node) for node in nodes]), self._port.backend)

    def _blocking(self) -> Self:
        twin = self._twin()
        twin._attach(connect.blocking_port(self.config, self.time), BLOCKING)
        return twin


def _ears(store: MemcachedCache) -> Callable[[], PollingEar]:
    """Makes the listener's ear; keeps nothing of the store alive but settings."""
    config, time, wall, replica = store.config, store.time, store._wall, store._replica

    def make() -> PollingEar:
        port = connect.blocking_port(config, time)
        clock = MemcachedClock(
            replica,
            port,
            connect.names_of(config),
            config=config,
            runtime=BLOCKING,
            time=time,
            wall=wall,
        )
        return PollingEar(clock, port, time)

    return make
