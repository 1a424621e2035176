"""What all clocks of shared stores do alike: trust, and invalidations that must not get lost."""

from __future__ import annotations

import contextlib
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from armature_cache.clocks.digest import hardly
from armature_cache.clocks.judgement import Stamp
from armature_cache.clocks.server_replica import ServerReplica, Unsent
from armature_cache.errors import BackendError, ClosedError, InvalidationError, ValueTooLarge

if TYPE_CHECKING:
    from armature_cache._runtime.base import Runtime
    from armature_cache._time import TimeSource
    from armature_cache.claims import Holder
    from armature_cache.clocks.listener import Listener
    from armature_cache.config import CacheConfig
    from armature_cache.entry import Entry


class SharedClock(ABC):
    """The clock of one namespace of a shared store, as one face reaches it."""

    def __init__(
        self,
        replica: ServerReplica,
        *,
        config: CacheConfig,
        runtime: Runtime,
        time: TimeSource,
        listener: Listener | None,
    ) -> None:
        self.replica = replica
        self._listener = listener
        self._config = config
        self._runtime = runtime
        self._time = time
        self.declare_bound(config.staleness_bound)

    def declare_bound(self, bound: float) -> None:
        replica = self.replica
        replica.shortest_bound = min(replica.shortest_bound, bound)
        if bound < math.inf:
            replica.note_bound(int(bound * 1_000_000))

    def trusted(self, bound: float) -> bool:
        """Whether the last successful sync was sent within `bound` seconds."""
        replica = self.replica
        return self._time() - replica.synced_at < bound and not replica.in_debt

    async def confirm(
        self, entries: Sequence[Entry], bound: float, *, strong: bool = False
    ) -> None:
        await self.ensure(bound, strong=strong)

    async def brace(self, loads: Mapping[str, tuple[str, ...]]) -> None:
        if self.replica.behind:
            await self.ensure(0.0, strong=True)

    async def overtaken(self, key: str, tags: tuple[str, ...], holder: Holder) -> bool:
        return self.replica.overtook(key, tags, Stamp(holder.epoch, holder.asof))

    async def bump(self, tags: Sequence[str], keys: Sequence[str] = ()) -> int:
        stamp, _ = await self.invalidate(tags, keys)
        return stamp.asof

    async def invalidate(
        self, tags: Sequence[str], keys: Sequence[str]
    ) -> tuple[Stamp, list[bytes]]:
        """Record an invalidation and put tombstones on the keys.

        Returns the last sequence, and the headers of what was stored under the keys.
        """
        job = Unsent(tuple(tags), tuple(keys), self.replica.hold(tags, keys, self._time()))
        try:
            await self.flush()
            done = await self._send(job)
        except BaseException as error:
            self._owe(job)
            if isinstance(error, BackendError):
                raise InvalidationError(
                    f"the invalidation was not acknowledged and stays queued: {error}",
                    tags=tuple(map(hardly, job.tags)),
                    keys=job.keys,
                ) from error
            raise
        self.replica.drop(job.marks)
        return done

    @contextlib.contextmanager
    def written(self, keys: Sequence[str], *, undo: bool = True) -> Iterator[None]:
        """Keys that are being written: with `undo`, what is not acknowledged counts as deleted.

        After a failure they are dead in this process, until a delete has been acknowledged. A value
        that is too large was not sent.
        """
        try:
            yield
        except (ClosedError, ValueTooLarge):
            raise
        except BaseException:
            if undo:
                self._owe(Unsent((), tuple(keys), self.replica.hold((), keys, self._time())))
            raise

    def _owe(self, job: Unsent) -> None:
        """Keep an invalidation; the listener sends it when the server can be reached again."""
        self.replica.owe(job)
        self._demand()

    async def flush(self) -> None:
        """Send again what was not acknowledged, before anything is read."""
        replica = self.replica
        while (due := replica.restarts_owed) > replica.restarts_paid:
            await self.resync(restart=True)
            replica.restarts_paid = max(replica.restarts_paid, due)
        while jobs := list(replica.owed):
            tags = dict.fromkeys(tag for job in jobs for tag in job.tags)
            keys = dict.fromkeys(key for job in jobs for key in job.keys)
            await self._send(Unsent(tuple(tags), tuple(keys), []))
            replica.paid(jobs)

    async def settle(self) -> None:
        await self._runtime.sleep(self.replica.largest_bound / 1_000_000)

    async def restart(self) -> None:
        await self.resync(restart=True)

    def retire(self) -> None:
        """No longer used: the listener may end when no other clock needs it."""
        self._listener = None

    def expect_hints(self) -> None:
        """Somebody waits for a message: have the listener listen."""
        self._demand()

    def _demand(self) -> None:
        if self._listener is not None:
            self._listener.want()

    def suspect(self, stamp: Stamp) -> None:
        """A fill of this stamp was refused: something newer exists than this replica may know."""
        self.replica.ahead = max(self.replica.ahead, stamp.asof + 1)

    @abstractmethod
    async def ensure(self, bound: float, *, strong: bool = False) -> None:
        """Trust the replica: sync unless the last sync was sent within `bound` seconds."""

    @abstractmethod
    async def resync(self, *, restart: bool = False) -> None:
        """Read the clock with authority; `restart` begins a new epoch."""

    @abstractmethod
    async def declare(self, life: int) -> None:
        """Tell the clock of a longer lifetime than any before, in ms, before it is used."""

    @abstractmethod
    async def scores(self, tags: Sequence[str]) -> dict[bytes, int] | None:
        """When these tags were last invalidated, by mark; None where that cannot be told."""

    @abstractmethod
    async def _send(self, job: Unsent) -> tuple[Stamp, list[bytes]]:
        """Record an invalidation; its last sequence, and the headers of what was stored."""
