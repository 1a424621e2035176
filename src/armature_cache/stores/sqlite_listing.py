"""Looking into a cache file: headers, scans, and the entries of a tag."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from armature_cache import envelope
from armature_cache.entry import Entry
from armature_cache.envelope import Envelope
from armature_cache.sqliteio.rows import Rows, marks, number_of, padded
from armature_cache.stores.shared_entries import PAGE
from armature_cache.stores.shared_store import SharedStore

if TYPE_CHECKING:
    from armature_cache.clocks.sqlite import SQLiteClock
    from armature_cache.sqliteio.links import Link
    from armature_cache.sqliteio.port import Port

_HEADS: Final = "SELECT id, key, dead_at, head FROM entries WHERE id IN ({})"
_BY_KEY: Final = (
    "SELECT key, dead_at, head FROM entries "
    "WHERE space = ? AND key >= ? AND key < ? ORDER BY key LIMIT ?"
)
_BY_TAG: Final = (
    "SELECT e.id, e.key, e.dead_at, e.head FROM listing AS l JOIN entries AS e ON e.id = l.id "
    "WHERE l.space = ? AND l.tag = ? AND l.id > ? ORDER BY l.id LIMIT ?"
)
_NEXT_TAG: Final = "SELECT min(tag) FROM listing WHERE space = ? AND tag > ?"
_LOWEST: Final = -(2**63)
_LEAST, _BEYOND = b"\0", b"\xff"
"""A byte not above any other, and one above every byte of UTF-8."""


class SQLiteListing(SharedStore):
    """The listing half of `SQLiteCache`: no value is decoded here.

    The listing index changes together with the entries, so what it says is exact.
    """

    clock: SQLiteClock
    _port: Port
    _rows: Rows

    # -- headers -----------------------------------------------------------------------------

    async def _heads(self, keys: Sequence[str]) -> list[Envelope | None]:
        found = await self._rows_of(keys)
        heads = [found.get(self._rows.id_of(key)) for key in keys]
        return [None if row is None else envelope.parse_head(row[1]) for row in heads]

    async def _date_sliding(self, entries: Sequence[Entry]) -> None:
        found = await self._rows_of([entry.key for entry in entries])
        for entry in entries:
            row = found.get(self._rows.id_of(entry.key))
            end = self.time() if row is None else row[0] / 1000
            entry.fresh_until = entry.dead_at = end

    async def _rows_of(self, keys: Sequence[str]) -> dict[int, tuple[int, bytes]]:
        """End and header of what is there of these keys, by number."""
        if not keys:
            return {}
        names = {self._rows.id_of(key): key.encode() for key in keys}
        query, values = _HEADS.format(marks(len(names))), padded(list(names), len(names))

        def read(link: Link, limit: int) -> list[tuple[int, bytes, int, bytes]]:
            return link.connection.execute(query, values).fetchall()

        rows, _ = await self.clock.read(read, self.bound, strong=False)
        now = self._writes.now()
        return {
            number: (dead_at, head)
            for number, name, dead_at, head in rows
            if dead_at > now and name == names[number]
        }

    # -- scans -------------------------------------------------------------------------------

    async def _scan(self, prefix: str) -> AsyncIterator[str]:
        start, beyond = prefix.encode(), prefix.encode() + _BEYOND
        while rows := await self._page(_BY_KEY, start, beyond):
            start = rows[-1][0] + _LEAST
            for key in await self._alive(rows):
                yield key

    async def _tagged_keys(self, tag: str, *, exact: bool) -> list[str]:
        number = number_of(tag)
        return [entry.key async for entry in self._carrying(number) if tag in entry.tags]

    async def _carrying(self, number: int) -> AsyncIterator[Entry]:
        """The valid entries in the list of tags of this number."""
        after = _LOWEST
        while rows := await self._page(_BY_TAG, number, after):
            after = rows[-1][0]
            for entry in (await self._alive([row[1:] for row in rows])).values():
                yield entry

    async def _page(self, query: str, *values: Any) -> list[Any]:
        def read(link: Link, limit: int) -> list[Any]:
            execute = link.connection.execute
            return execute(query, (self._rows.space, *values, PAGE)).fetchall()

        return (await self.clock.read(read, self.bound, strong=False, light=False))[0]

    async def _alive(self, rows: Sequence[tuple[bytes, int, bytes]]) -> dict[str, Entry]:
        """The fresh entries among rows, by key."""
        now = self._writes.now()
        sealed = []
        for name, dead_at, raw in rows:
            head = envelope.parse_head(raw) if dead_at > now else None
            key = name.decode("utf-8", "replace")
            if head is not None and not head.tombstone and self._sealing.accepts(head):
                sealed.append((key, head))
        alive = await self._sift(sealed)
        seen_at = self.time()
        entries = [self._entry(key, head, 0, seen_at) for key, head in alive]
        return {entry.key: entry for entry in entries if seen_at < entry.fresh_until}

    async def _live_tags(self) -> list[str]:
        live = list[str]()
        number = await self._next_tag(_LOWEST)
        while number is not None:
            async for entry in self._carrying(number):
                live += [tag for tag in entry.tags if number_of(tag) == number]
                break
            number = await self._next_tag(number)
        return live

    async def _next_tag(self, after: int) -> int | None:
        def read(link: Link, limit: int) -> int | None:
            row = link.connection.execute(_NEXT_TAG, (self._rows.space, after)).fetchone()
            number: int | None = row[0]
            return number

        return (await self.clock.read(read, self.bound, strong=False))[0]
