"""Claims of loads in a cache file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Final

from armature_cache import envelope
from armature_cache.claims import NOTHING_STORED, Claim, Holder, Version
from armature_cache.clocks.sqlite_ear import bell_of

if TYPE_CHECKING:
    from armature_cache._runtime.base import Runtime, Signal
    from armature_cache._time import TimeSource
    from armature_cache.clocks.sqlite import SQLiteClock
    from armature_cache.sqliteio.links import Link
    from armature_cache.sqliteio.port import Port
    from armature_cache.sqliteio.transaction import Transaction

Execute = Callable[..., Any]

_HELD: Final = "SELECT holder, ends_at FROM claims WHERE id = ?"
_TAKE: Final = "INSERT OR REPLACE INTO claims VALUES (?, ?, ?)"
_END: Final = "DELETE FROM claims WHERE id = ? AND holder GLOB ?"


class SQLiteClaims:
    """The claims of one namespace, as one face reaches them.

    Who waits is woken by others of his process, and by the listener, which looks whether a claim
    of another process has ended.
    """

    def __init__(self, clock: SQLiteClock, port: Port, runtime: Runtime, time: TimeSource) -> None:
        self._clock = clock
        self._port = port
        self._rows = clock.rows
        self._runtime = runtime
        self._time = time

    async def take(
        self, keys: Sequence[str], mine: Holder, life: float, *, instead_of: str = ""
    ) -> list[Claim]:
        """Claim loads, where nobody else has."""

        def look(link: Link, limit: int) -> list[Claim | None]:
            now = int(self._time() * 1000)
            return [self._held(link.connection.execute, key, now, instead_of) for key in keys]

        claims = await self._port.read(look, light=True)
        if any(claim is None for claim in claims):
            claims = await self._port.write(
                lambda tx: self._taken(tx, keys, mine, life, instead_of)
            )
        found = [claim for claim in claims if claim is not None]
        if any(claim.holder.nonce != mine.nonce for claim in found):
            self._clock.expect_hints()
        return found

    def _held(self, execute: Execute, key: str, now: int, instead_of: str) -> Claim | None:
        """The claim of somebody else; None if one may claim."""
        row = execute(_HELD, (self._rows.id_of(key),)).fetchone()
        if row is None or row[1] <= now:
            return None
        holder = _holder(row[0])
        if instead_of and holder.nonce == instead_of:
            return None
        return Claim(holder, (row[1] - now) / 1000, self._stored(execute, key))

    def _taken(
        self, transaction: Transaction, keys: Sequence[str], mine: Holder, life: float,
        instead_of: str,
    ) -> list[Claim | None]:  # fmt: skip
        execute, now = transaction.execute, transaction.now
        claims: list[Claim | None] = []
        for key in keys:
            held = self._held(execute, key, now, instead_of)
            if held is None:
                ends_at = now + max(1, round(life * 1000))
                execute(_TAKE, (self._rows.id_of(key), "|".join(map(str, mine)), ends_at))
                held = Claim(mine, life, self._stored(execute, key))
            claims.append(held)
        return claims

    def _stored(self, execute: Execute, key: str) -> Version:
        """What stands under a key."""
        row = self._rows.find(execute, self._rows.id_of(key))
        parsed = None if row is None else envelope.parse_head(row.head)
        if row is None or parsed is None or row.key != key.encode():
            return NOTHING_STORED
        return Version(parsed.epoch, parsed.asof, parsed.fresh_until / 1000)

    def end(self, transaction: Transaction, key: str, nonce: str) -> None:
        """Give a claim up, within a transaction."""
        transaction.execute(_END, (self._rows.id_of(key), f"{nonce}|*"))

    async def release(self, keys: Sequence[str], nonce: str) -> None:
        """Give claims up, and wake those in this process who wait for them."""

        def work(transaction: Transaction) -> None:
            for key in keys:
                self.end(transaction, key, nonce)

        await self._port.write(work)
        for key in keys:
            self.wake(key)

    def wake(self, key: str) -> None:
        """Wake those in this process who wait for a key."""
        self._clock.replica.bells.ring(bell_of(self._rows.id_of(key)))

    def listening(self, key: str) -> AbstractContextManager[Signal]:
        """A signal that is given when the claim of a key has ended."""
        name = bell_of(self._rows.id_of(key))
        return self._clock.replica.bells.listening(name, self._runtime)


def _holder(held: str) -> Holder:
    """What stands in a claim; nobody, whom one need not wait for, if it is anything else."""
    nonce, _, stamp = held.partition("|")
    epoch, _, asof = stamp.partition("|")
    known = epoch.isdigit() and asof.isdigit()
    return Holder(nonce, int(epoch), int(asof)) if known else Holder(nonce, 0, 0)
