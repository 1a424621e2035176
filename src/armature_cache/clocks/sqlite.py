"""The tag clock in a cache file, as one face reaches it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from armature_cache.clocks.digest import digest, mark_of, marks_of
from armature_cache.clocks.judgement import Stamp
from armature_cache.clocks.limits import ATTEMPTS, CHUNK, load_micros, tombstone_life
from armature_cache.clocks.server_replica import ServerReplica, Unsent
from armature_cache.clocks.shared import SharedClock
from armature_cache.clocks.sqlite_book import Book, News, read_news, read_scores, read_state
from armature_cache.errors import BackendUnavailable
from armature_cache.sqliteio.failures import Busy, Moved, Resync
from armature_cache.sqliteio.schema import LAST_OF_FILE

if TYPE_CHECKING:
    from armature_cache._runtime.base import Runtime
    from armature_cache._time import TimeSource
    from armature_cache.clocks.listener import Listener
    from armature_cache.config import CacheConfig
    from armature_cache.sqliteio.links import Link
    from armature_cache.sqliteio.port import Port
    from armature_cache.sqliteio.rows import Rows
    from armature_cache.sqliteio.transaction import Transaction

T = TypeVar("T")

_GLANCE: Final = (
    f"SELECT c.epoch, c.last, c.bound, c.longest, ({LAST_OF_FILE}){{}} FROM clocks AS c{{}} "
    "WHERE c.space = ?"
)
_CLOCK_ALONE: Final = _GLANCE.format("", "")
_GLANCED: Final = 5
_MARK_BYTES: Final = 64
"""What one mark of a delta counts for where the bytes of a read are limited."""
Query = Callable[["Link", int], T]
"""Reads more from the snapshot in which the clock was looked at, up to so many bytes."""


def together_with(columns: str, condition: str) -> str:
    """A query for the clock, and for columns of the entry `e` that meets a condition."""
    return _GLANCE.format(f", {columns}", f" LEFT JOIN entries AS e ON {condition}")


class Sight(NamedTuple):
    """What a look at the clock has shown.

    `stamp` is None where the clock has to be read with authority first, `news` where there was
    none. `asked_at` is when it was looked at, if trust begins anew with that.
    """

    stamp: Stamp | None
    news: News | None
    asked_at: float | None


class SQLiteClock(SharedClock):
    """The clock of one namespace of a cache file.

    To look at it costs microseconds, so every read of the file does, and is judged by all that
    was committed before. Whether it is still the right file is asked when trust has run out.
    """

    def __init__(
        self,
        replica: ServerReplica,
        port: Port,
        *,
        rows: Rows,
        config: CacheConfig,
        runtime: Runtime,
        time: TimeSource,
        listener: Listener | None = None,
    ) -> None:
        super().__init__(replica, config=config, runtime=runtime, time=time, listener=listener)
        self.port = port
        self.rows = rows
        self._load_micros = load_micros(config.max_load_time)
        self.tombstone_life = tombstone_life(config.max_load_time)

    # -- reading -----------------------------------------------------------------------------

    async def ensure(self, bound: float, *, strong: bool = False) -> None:
        if not strong and self.trusted(bound):
            return
        self._demand()
        await self.flush()
        await self._look(_nothing, vouched=True)

    async def read(
        self, query: Query[T], bound: float, *, strong: bool, light: bool = True
    ) -> tuple[T, int]:
        """What a query finds, with trust in the replica when it returns.

        The second result is the cursor up to which everything was known in its snapshot.
        """
        if self.replica.in_debt:
            await self.flush()
        vouched = strong or not self.trusted(bound)
        return await self._look(query, vouched=vouched, light=light)

    async def read_one(
        self, query: str, values: tuple[Any, ...], bound: float, *, strong: bool
    ) -> tuple[tuple[Any, ...], int] | None:
        """The columns that a query of `together_with` finds, and the cursor, in one statement.

        Its values are the limit in bytes, those given, and the namespace. None where there is more
        to be done first, which `read` does.
        """
        if self.replica.in_debt or not self.replica.epoch:
            return None
        vouched = strong or not self.trusted(bound)

        def read(link: Link, limit: int) -> tuple[Sight, tuple[Any, ...]]:
            asked_at, confirmed, known = self._before(vouched=vouched)
            row = link.connection.execute(query, (limit, *values, self.rows.space)).fetchone()
            sight = self._after(link, row, asked_at if vouched else None, confirmed)
            return sight._replace(stamp=sight.stamp if sight.stamp == known else None), row

        sight, row = await self.port.read(read, light=True)
        if sight.stamp is None or not self._take_in(sight):
            return None
        return row[_GLANCED:], sight.stamp.asof

    async def _look(self, query: Query[T], *, vouched: bool, light: bool = True) -> tuple[T, int]:
        for _ in range(ATTEMPTS):
            if self.replica.epoch:
                sight, found = await self.port.read(
                    lambda link, limit: self._sight(link, limit, query, vouched=vouched),
                    light=light,
                )
                if sight.stamp is not None and self._take_in(sight):
                    return found, sight.stamp.asof
            await self.resync()
        raise self._lost()

    def _sight(self, link: Link, limit: int, query: Query[T], *, vouched: bool) -> tuple[Sight, T]:
        """Look at the clock and ask a query, in one snapshot."""
        execute = link.connection.execute
        asked_at, confirmed, known = self._before(vouched=vouched)
        execute("BEGIN")
        glance = execute(_CLOCK_ALONE, (self.rows.space,)).fetchone()
        stamp = self._stamp(glance)
        news = None
        if stamp is not None and stamp > known:
            news = self._news(execute, known, limit)
        found = query(link, limit)
        execute("COMMIT")
        sight = self._after(link, glance, asked_at if vouched else None, confirmed)
        if stamp is not None and stamp < known:
            stamp = None
        return sight._replace(stamp=stamp, news=news), found

    def _before(self, *, vouched: bool) -> tuple[float, int, Stamp]:
        """When it is asked, what is the least that has to be found, and what is known already."""
        confirmed = self.port.database.confirmed() if vouched else 0
        return self._time(), confirmed, self.replica.stamp()

    def _after(
        self, link: Link, glance: tuple[int, ...] | None, asked_at: float | None, confirmed: int
    ) -> Sight:
        """What was seen; where it is to be vouched for, the file has to be the right one still."""
        if asked_at is not None:
            if glance is not None and glance[4] < confirmed:
                raise Moved("it has gone back to an earlier state")
            self.port.database.check(link.era)
        return Sight(self._stamp(glance), None, asked_at)

    def _stamp(self, glance: tuple[int, ...] | None) -> Stamp | None:
        """The clock's stamp; None where this process has something to declare first."""
        replica = self.replica
        if glance is None or glance[2] < replica.largest_bound or glance[3] < replica.declared_ttl:
            return None
        return Stamp(glance[0], glance[1])

    def _news(self, execute: Any, known: Stamp, limit: int) -> News:
        state = read_state(execute, self.rows.space)
        if state is None:
            raise Busy  # within a snapshot it cannot have gone; read it again
        news = read_news(execute, self.rows.space, known, state)
        if news.size * _MARK_BYTES > limit:
            raise Busy
        return news

    def _take_in(self, sight: Sight) -> bool:
        """Let the replica know; False if it knows of a later epoch by now."""
        replica = self.replica
        replica.syncs += sight.asked_at is not None
        if sight.news is not None:
            self._measure(sight.news)
            return sight.news.tell(replica, sight.asked_at)
        if sight.asked_at is not None and sight.stamp is not None:
            replica.vouch(sight.stamp.epoch, sight.asked_at)
        return True

    def _measure(self, news: News) -> None:
        """How late the news are, for the probe; no file knows less than it did before."""
        replica, delta = self.replica, news.delta
        if delta.epoch == replica.epoch and replica.synced_at > 0:
            recorded = (*delta.tags.values(), *delta.keys.values())
            fresh = {sequence for sequence in recorded if sequence > replica.last}
            replica.observe(fresh, self._time(), math.inf)

    async def scores(self, tags: Sequence[str]) -> dict[bytes, int] | None:
        def query(link: Link, limit: int) -> dict[bytes, int]:
            return read_scores(link.connection.execute, self.rows.space, marks_of(tags))

        found, _ = await self._look(query, vouched=False)
        self.replica.learn(self.replica.epoch, found, None)
        return found

    # -- writing -----------------------------------------------------------------------------

    async def write(self, work: Callable[[Book], T]) -> T:
        """What `work` does with the clock's book, committed."""

        def entered(transaction: Transaction) -> T:
            book = Book.of(transaction, self.rows.space)
            book.standing(self.replica, self._load_micros)
            return work(book)

        for _ in range(ATTEMPTS):
            try:
                return await self.port.write(entered)
            except Resync:
                await self.resync()
        raise self._lost()

    async def resync(self, *, restart: bool = False) -> None:
        def work(transaction: Transaction) -> None:
            Book.of(transaction, self.rows.space).synchronise(self.replica, restart=restart)

        await self.port.write(work)
        self.replica.syncs += 1

    async def declare(self, life: int) -> None:
        self.replica.declared_ttl = max(self.replica.declared_ttl, 1 << (life - 1).bit_length())
        await self.resync()

    async def _send(self, job: Unsent) -> tuple[Stamp, list[bytes]]:
        stamp, heads = Stamp(0, 0), list[bytes]()
        for at in range(0, max(len(job.tags), len(job.keys), 1), CHUNK):
            tags, keys = job.tags[at : at + CHUNK], job.keys[at : at + CHUNK]
            stamp, found = await self.write(lambda book: self._invalidated(book, tags, keys))  # noqa: B023 - awaited at once
            heads += found
        return stamp, heads

    def _invalidated(
        self, book: Book, tags: Sequence[str], keys: Sequence[str]
    ) -> tuple[Stamp, list[bytes]]:
        """Record tags and keys, and put tombstones on the keys; the headers of what was there."""
        rows, transaction = self.rows, book.transaction
        stamp = book.bump(map(mark_of, tags), map(digest, keys))
        heads = []
        for key in keys:
            old = rows.find(transaction.execute, rows.id_of(key))
            mine = old is not None and old.key == key.encode() and old.dead_at > transaction.now
            heads.append(old.head if mine and old is not None else b"")
            rows.bury(transaction, key, old, stamp=stamp, life=self.tombstone_life)
        return stamp, heads

    def _lost(self) -> BackendUnavailable:
        return BackendUnavailable(
            f"{self.port.backend} lost its clock again and again; is it being replaced?",
            backend=self.port.backend,
        )


def _nothing(link: Link, limit: int) -> None:
    """No query: the clock alone."""
