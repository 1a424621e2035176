"""The store in a file, shared by the processes of one machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Self

from armature_cache._runtime.aio import ASYNC
from armature_cache._runtime.blocking import BLOCKING
from armature_cache._time import TimeSource, boottime
from armature_cache.clocks.judgement import Verdict
from armature_cache.clocks.limits import tombstone_life
from armature_cache.clocks.server_replica import ServerReplica, replica_of
from armature_cache.clocks.sqlite import SQLiteClock
from armature_cache.clocks.sqlite_ear import LookingEar
from armature_cache.config import CacheConfig
from armature_cache.errors import ConfigError
from armature_cache.sqliteio.database import database_of
from armature_cache.sqliteio.port import AsyncPort, BlockingPort
from armature_cache.sqliteio.rows import Rows
from armature_cache.sqliteio.upkeep import Space
from armature_cache.stores.sqlite_claims import SQLiteClaims
from armature_cache.stores.sqlite_entries import SQLiteEntries
from armature_cache.stores.sqlite_writes import SQLiteWrites
from armature_cache.stores.stats import CacheStats, snapshot

if TYPE_CHECKING:
    from armature_cache._runtime.base import Runtime
    from armature_cache.codecs.base import Codec
    from armature_cache.codecs.sealed import SealedCodec
    from armature_cache.envelope import Envelope


class SQLiteCache(SQLiteEntries):
    """A cache in a file, shared by any number of processes of one machine, without a server.

    The constructor does no I/O. Values are encoded by `codec` (MessagePack by default); a
    `SealedCodec` compresses, encrypts or signs them as well. The file has the tag clock, too: reads
    are judged by all that was committed before. It takes up to `config.max_file_bytes`; beyond
    that what was read least recently is evicted.
    """

    def __init__(
        self,
        config: CacheConfig,
        *,
        codec: Codec | SealedCodec | None = None,
        time: TimeSource = boottime,
    ) -> None:
        if not isinstance(config, CacheConfig) or not config.file:
            raise ConfigError(
                'SQLiteCache takes a CacheConfig: SQLiteCache(CacheConfig.sqlite("path"))',
                field="config",
            )
        self._settle(config, codec, time)
        self._rows = Rows(config.namespace)
        self._replica: ServerReplica = replica_of(f"{config.file}\0{config.namespace}")
        self._database = database_of(config.file, time)
        self._upkeep = self._database.upkeep
        space = Space(self._rows, _judge(self._replica), tombstone_life(config.max_load_time))
        self._upkeep.look_after(space, config.max_file_bytes)
        self._attach(AsyncPort(self._database, config.operation_timeout), ASYNC)

    def _attach(self, port: AsyncPort | BlockingPort, runtime: Runtime) -> None:
        self._port = port
        self._run_on(runtime)
        config = self.config
        self.clock = SQLiteClock(
            self._replica,
            port,
            rows=self._rows,
            config=config,
            runtime=runtime,
            time=self.time,
            listener=self._listener(_ears(self)),
        )
        self._claims = SQLiteClaims(self.clock, port, runtime, self.time)
        self._writes = SQLiteWrites(
            self.clock, sealing=self._sealing, config=config, time=self.time, claims=self._claims
        )

    def __repr__(self) -> str:
        return f"<SQLiteCache {self._port.backend} namespace={self.config.namespace!r}>"

    def _snapshot(self) -> CacheStats:
        place = self._database.place
        return snapshot(
            self.kind,
            self.counters,
            syncs=self._replica.syncs,
            pending_invalidations=self._replica.owing,
            coherence=self._replica.report(),
            weight=place.size() + place.log_size(),
            evictions=self._upkeep.evictions,
            expirations=self._upkeep.expirations,
        )

    async def _ping(self) -> None:
        await self.clock.ensure(self.bound, strong=True)

    def _blocking(self) -> Self:
        twin = self._twin()
        port = BlockingPort(self._database, self.config.operation_timeout)
        twin._attach(port, BLOCKING)
        return twin


def _judge(replica: ServerReplica) -> Callable[[str, Envelope], bool]:
    """Tells which entries are dead by what this process knows."""

    def is_dead(key: str, sealed: Envelope) -> bool:
        verdict = replica.judge(key, sealed.epoch, sealed.asof, sealed.tags, settled=True)
        return bool(replica.epoch) and verdict is Verdict.DEAD

    return is_dead


def _ears(store: SQLiteCache) -> Callable[[], LookingEar]:
    """Makes the listener's ear; keeps nothing of the store alive but settings."""
    config, time, replica, rows = store.config, store.time, store._replica, store._rows

    def make() -> LookingEar:
        port = BlockingPort(database_of(config.file, time), config.operation_timeout, counts=False)
        clock = SQLiteClock(replica, port, rows=rows, config=config, runtime=BLOCKING, time=time)
        return LookingEar(clock, port, time)

    return make
