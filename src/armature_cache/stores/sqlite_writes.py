"""How values are stored in a cache file: each operation is one short transaction.

The rules are those of the scripts for Redis. The key clock is in the rows themselves: the stamp of
an entry or tombstone says when its key was last set or deleted, and none of them leaves before a
load that was under way then is too old to be stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from armature_cache import envelope
from armature_cache.clocks.digest import digest, marks_of
from armature_cache.clocks.judgement import Stamp
from armature_cache.clocks.sqlite_book import Book, read_scores
from armature_cache.envelope import Flag
from armature_cache.sqliteio.rows import Row, Sealed
from armature_cache.stores.shared_entries import in_range
from armature_cache.stores.shared_writes import ComparingWrites

if TYPE_CHECKING:
    from armature_cache._time import TimeSource
    from armature_cache.clocks.sqlite import SQLiteClock
    from armature_cache.config import CacheConfig
    from armature_cache.entry import Entry
    from armature_cache.stores.draft import Draft
    from armature_cache.stores.sealing import Sealing
    from armature_cache.stores.sqlite_claims import SQLiteClaims

_VERSION_AT, _FLAGS_AT = 2, 3
_FACTS_FROM, _FACTS_TO = 52, 72
"""Codec, compressor, key, type, sizes: what tells one value from another, but for its times."""


class SQLiteWrites(ComparingWrites):
    """Writes to a cache file."""

    def __init__(
        self, clock: SQLiteClock, *, sealing: Sealing, config: CacheConfig, time: TimeSource,
        claims: SQLiteClaims,
    ) -> None:  # fmt: skip
        super().__init__(clock.replica, sealing, config, time)
        self._clock = clock
        self._claims = claims

    # -- loaded values -----------------------------------------------------------------------

    async def fill(self, drafts: Sequence[Draft]) -> list[bool]:
        stored = await self._clock.write(lambda book: [self._fill(book, one) for one in drafts])
        for draft, done in zip(drafts, stored, strict=True):
            if draft.claim:
                draft.claim = ""
                self._claims.wake(draft.key)
            if done is None and draft.stamp is not None:
                self._clock.suspect(draft.stamp)
        return [bool(done) for done in stored]

    def _fill(self, book: Book, draft: Draft) -> bool | None:
        """Store a loaded value; None where something newer is known, False where it is too late."""
        transaction, rows, state = book.transaction, self._clock.rows, book.state
        if draft.claim:
            self._claims.end(transaction, draft.key, draft.claim)
        if transaction.now > self._latest(draft):
            return False
        stamp = draft.stamp or Stamp(0, 0)
        old = rows.find(transaction.execute, rows.id_of(draft.key))
        if state is None or stamp.epoch != state.epoch or (old is not None and old.stamp > stamp):
            return None
        if old is not None and old.head[_VERSION_AT] > envelope.VERSION:
            return None
        rows.put(transaction, draft.key, _sealed(draft, stamp), old)
        return True

    # -- current values ----------------------------------------------------------------------

    async def put(self, drafts: Sequence[Draft]) -> list[bool]:
        def work(book: Book) -> list[tuple[bool, Stamp]]:
            return [
                self._offer(book, one, one.stamp)
                if one.leased and one.stamp is not None
                else (True, self._set(book, one, self._old(book, one.key)))
                for one in drafts
            ]

        with self._clock.written([draft.key for draft in drafts]):
            outcomes = await self._clock.write(work)
        for draft, (_, stamp) in zip(drafts, outcomes, strict=True):
            draft.stamp = stamp
        return [stored for stored, _ in outcomes]

    def _old(self, book: Book, key: str) -> Row | None:
        return self._clock.rows.find(book.transaction.execute, self._clock.rows.id_of(key))

    def _set(self, book: Book, draft: Draft, old: Row | None, body: bytes | None = None) -> Stamp:
        stamp = book.bump((), (digest(draft.key),))
        sealed = _sealed(draft, stamp)
        if body is not None:
            sealed = sealed._replace(body=body)
        self._clock.rows.put(book.transaction, draft.key, sealed, old)
        return stamp

    def _offer(self, book: Book, draft: Draft, lease: Stamp) -> tuple[bool, Stamp]:
        """Store a value that was read or made after a miss, if nothing has happened to it since.

        Otherwise a tombstone does, unless a later one is there; a valid entry of the same value
        stays. What is known to be written makes all that is older invalid, in any case.
        """
        old, state = self._old(book, draft.key), book.state
        newer = old is not None and old.stamp > lease
        if not newer and self._untouched(book, draft, lease):
            return True, self._set(book, draft, old)
        settled = newer and not draft.written
        if settled and old is not None and state is not None and old.stamp[0] == state.epoch:
            found = Stamp(*old.stamp)
            if old.head[_FLAGS_AT] & Flag.TOMBSTONE:
                return False, found
            if self._is_same(book, old, draft) and self._untouched(book, draft, found):
                return True, found
        stamp = book.bump((), (digest(draft.key),))
        self._clock.rows.bury(
            book.transaction, draft.key, old, stamp=stamp, life=self._clock.tombstone_life
        )
        return False, stamp

    def _untouched(self, book: Book, draft: Draft, since: Stamp) -> bool:
        """Whether no tag of a draft was invalidated since a moment that the clock still knows."""
        state = book.state
        if state is None or since.epoch != state.epoch or since.asof < state.floor:
            return False
        return self._tags_stand(book, draft.tags, since.asof)

    def _tags_stand(self, book: Book, tags: Sequence[str], asof: int) -> bool:
        execute, space = book.transaction.execute, self._clock.rows.space
        found = read_scores(execute, space, marks_of(tags))
        return all(sequence <= asof for sequence in found.values())

    def _is_same(self, book: Book, old: Row, draft: Draft) -> bool:
        """Whether what is stored is the very value, alive."""
        sealed, rows = _sealed(draft, Stamp(0, 0)), self._clock.rows
        return (
            old.key == draft.key.encode()
            and old.dead_at > book.transaction.now
            and old.head[: envelope.STAMP_AT] == sealed.head[: envelope.STAMP_AT]
            and old.head[_FACTS_FROM:_FACTS_TO] == sealed.head[_FACTS_FROM:_FACTS_TO]
            and old.head[envelope.HEADER_SIZE :] == sealed.head[envelope.HEADER_SIZE :]
            and rows.body(book.transaction.execute, rows.id_of(draft.key)) == sealed.body
        )

    # -- compare and set ---------------------------------------------------------------------

    async def swap(self, draft: Draft, expected: bytes, judged: Stamp | None) -> bool:
        def work(book: Book) -> Stamp | None:
            old = self._alive(book, draft.key)
            if (b"" if old is None else old.head[: envelope.HEADER_SIZE]) != expected:
                return None
            body = None
            if judged is not None and old is not None:
                if not self._stands(book, old, draft.tags):
                    return None
                if draft.counter and old.head[_FLAGS_AT] & Flag.COUNTER:
                    # Counting does not change the header: the count goes on from where it is.
                    rows = self._clock.rows
                    body = rows.body(book.transaction.execute, rows.id_of(draft.key))
            return self._set(book, draft, old or self._old(book, draft.key), body)

        with self._clock.written([draft.key], undo=not draft.counter):
            stamp = await self._clock.write(work)
        if stamp is not None:
            draft.stamp = stamp
        return stamp is not None

    def _alive(self, book: Book, key: str) -> Row | None:
        """The row of a key, entry or tombstone, whose end has not come."""
        old = self._old(book, key)
        if old is None or old.key != key.encode() or old.dead_at <= book.transaction.now:
            return None
        return old

    def _stands(self, book: Book, row: Row, tags: Sequence[str]) -> bool:
        """Whether an entry is valid by the clock."""
        state, stamp = book.state, Stamp(*row.stamp)
        if state is None or stamp.epoch != state.epoch or stamp.asof < state.floor:
            return False
        return self._tags_stand(book, tags, stamp.asof)

    async def add_to(
        self, key: str, delta: int, least: Stamp, tags: bytes, stamp: bytes
    ) -> int | None:
        """Add to a counter in place; its sum, or None if it is not the one that is meant."""

        def work(book: Book) -> int | None:
            old = self._alive(book, key)
            if old is None or not old.head[_FLAGS_AT] & Flag.COUNTER or not _is_one(old):
                return None
            meant = (
                old.head[: envelope.HEADER_SIZE] == stamp
                if stamp
                else old.stamp >= least and old.stamp[0] == least.epoch and old.named == tags
            )
            if not meant:
                return None
            execute, rows = book.transaction.execute, self._clock.rows
            number = rows.id_of(key)
            total = in_range(key, int(rows.body(execute, number)) + delta)
            execute("UPDATE entries SET body = ? WHERE id = ?", (b"%d" % total, number))
            return total

        return await self._clock.write(work)

    # -- sliding lifetimes -------------------------------------------------------------------

    async def touch(self, entries: Sequence[Entry]) -> None:
        def work(book: Book) -> None:
            for entry in entries:
                self._touch(book, entry)

        if entries:
            await self._clock.write(work)

    def _touch(self, book: Book, entry: Entry) -> None:
        """Let an entry's life begin anew, judged by what was known when it was read."""
        transaction, rows = book.transaction, self._clock.rows
        old = self._alive(book, entry.key)
        if old is None or old.stamp != entry.stamp:
            return
        stamp = envelope.pack_stamp(max(entry.asof, entry.seen), entry.epoch)
        head = old.head[: envelope.STAMP_AT] + stamp + old.head[envelope.BODY_AT :]
        life = max(1, round(entry.more.window * 1000))
        rows.move(transaction.execute, rows.id_of(entry.key), transaction.now + life, head)


def _is_one(row: Row) -> bool:
    return row.head[_VERSION_AT] == envelope.VERSION and row.stamp != (0, 0)


def _sealed(draft: Draft, stamp: Stamp) -> Sealed:
    """A draft's envelope with a stamp."""
    if draft.closed is None:
        raise RuntimeError("a draft is stored before its envelope was closed")
    start, rest, payload = draft.closed
    packed = envelope.pack_stamp(stamp.asof, stamp.epoch)
    return Sealed(b"".join((start, packed, rest)), payload, draft.dead_at)
