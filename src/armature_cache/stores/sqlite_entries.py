"""Entries in a cache file: how they are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from armature_cache.clocks.judgement import Stamp
from armature_cache.clocks.sqlite import together_with
from armature_cache.sqliteio.failures import Busy
from armature_cache.sqliteio.rows import marks, padded
from armature_cache.stores.shared_entries import Judged
from armature_cache.stores.sqlite_listing import SQLiteListing

if TYPE_CHECKING:
    from armature_cache.sqliteio.links import Link
    from armature_cache.sqliteio.upkeep import Upkeep
    from armature_cache.stores.sqlite_claims import SQLiteClaims
    from armature_cache.stores.sqlite_writes import SQLiteWrites

_COLUMNS: Final = (
    "{0}id, {0}key, {0}dead_at, {0}touched, {0}head, length({0}body), "
    "CASE WHEN length({0}body) <= ? THEN {0}body END"
)
_ONE: Final = together_with(_COLUMNS.format("e."), "e.id = ?")
_MANY: Final = f"SELECT {_COLUMNS.format('')} FROM entries WHERE id IN ({{}})"


class Stored(NamedTuple):
    """A row that was read; `body` is None where it was too long for that."""

    number: int
    name: bytes
    dead_at: int
    touched: int
    head: bytes
    length: int
    body: bytes | None


class SQLiteEntries(SQLiteListing):
    """The entry-level operations of `SQLiteCache`."""

    kind = "sqlite"
    _writes: SQLiteWrites
    _claims: SQLiteClaims
    _upkeep: Upkeep

    # -- reading -----------------------------------------------------------------------------

    async def _judged(self, keys: Sequence[str], *, strong: bool) -> list[Judged]:
        rows, seen = await self._read(keys, strong=strong)
        raws = [None if row is None else row.head + (row.body or b"") for row in rows]
        return await self._judge(keys, raws, seen)

    async def _raw(self, key: str) -> tuple[bytes | None, int]:
        (row,), seen = await self._read((key,), strong=True)
        return None if row is None else row.head + (row.body or b""), seen

    async def _read(self, keys: Sequence[str], *, strong: bool) -> tuple[list[Stored | None], int]:
        """What is stored of these keys and has not ended, and the cursor of that moment."""
        numbers = [self._rows.id_of(key) for key in keys]
        rows, seen = await self._read_rows(numbers, strong=strong)
        now = self._writes.now()
        for one in rows.values():
            self._upkeep.saw(one.number, one.touched, now)
        return [
            self._current(rows.get(number), key, now)
            for number, key in zip(numbers, keys, strict=True)
        ], seen

    def _current(self, row: Stored | None, key: str, now: int) -> Stored | None:
        if row is None or row.dead_at <= now or row.name != key.encode():
            return None
        return row

    async def _read_rows(
        self, numbers: Sequence[int], *, strong: bool
    ) -> tuple[dict[int, Stored], int]:
        if len(numbers) == 1:
            found = await self.clock.read_one(_ONE, (numbers[0],), self.bound, strong=strong)
            if found is not None:
                columns, seen = found
                if columns[0] is None:
                    return {}, seen
                if columns[6] is not None:
                    return {numbers[0]: Stored(*columns)}, seen
        query, values = _MANY.format(marks(len(numbers))), padded(numbers, len(numbers))

        def read(link: Link, limit: int) -> list[tuple[Any, ...]]:
            rows: list[tuple[Any, ...]] = link.connection.execute(
                query, (limit, *values)
            ).fetchall()
            if sum(row[5] for row in rows) > limit:
                raise Busy
            return rows

        rows, seen = await self.clock.read(read, self.bound, strong=strong)
        return {row[0]: Stored(*row) for row in rows}, seen

    # -- writing -----------------------------------------------------------------------------

    async def _add_to(
        self, key: str, delta: int, least: int, tags: bytes, stamp: bytes
    ) -> int | None:
        known = Stamp(self._replica.epoch, least)
        return await self._writes.add_to(key, delta, known, tags, stamp)
