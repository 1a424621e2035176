"""Claims of loads on Memcached: items of their own, beside the values of their keys.

A claim names its holder and the g that he began under. Nobody is told when it ends: processes look
again, and within one process a bell rings.
"""

from __future__ import annotations

import math
import re
import threading
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Final

from armature_cache import _forking
from armature_cache.claims import NOTHING_STORED, Claim, Holder, Version
from armature_cache.clocks.digest import digest
from armature_cache.memcachedio import wire
from armature_cache.memcachedio.frame import VALUE
from armature_cache.memcachedio.wire import At, Command, Reply

if TYPE_CHECKING:
    from armature_cache._runtime.base import Runtime, Signal
    from armature_cache.clocks.memcached import MemcachedClock
    from armature_cache.memcachedio.names import Names

_SAID: Final = re.compile(rb"([0-9a-f]+) ([0-9a-f]{16}) (\d{1,20})")
_MOST: Final = 10_000
_NOBODY: Final = Holder("?", 0, 0)


class Claims:
    """The claims of one namespace, as one face reaches them."""

    def __init__(self, clock: MemcachedClock, names: Names, runtime: Runtime) -> None:
        self._clock = clock
        self._names = names
        self._runtime = runtime
        self._mine: OrderedDict[tuple[str, str], At] = OrderedDict()
        self._lock = threading.Lock()
        _forking.register(self)

    def fork_locks(self) -> tuple[_forking.Lock, ...]:
        """What may not be held while the process forks."""
        return (self._lock,)

    def after_fork(self) -> None:
        """A child holds no claims."""
        self._mine.clear()

    async def take(
        self, keys: Sequence[str], mine: Holder, life: float, *, instead_of: str = ""
    ) -> list[Claim]:
        """Claim loads."""
        replica = self._clock.replica
        run, cas = replica.g_at
        said = b"%b %b %d" % (mine.nonce.encode(), run or b"0" * 16, cas)
        lasting = max(1, math.ceil(life)) + 1
        commands: list[Command] = []
        for key in keys:
            place = self._names.claim(key)
            commands += [
                wire.store(*place, said, ttl=lasting, add=True),
                wire.fetch(*place),
                wire.fetch(*self._names.value(key), value=False),
            ]
        replies = await self._clock.ask(commands, retry=False)
        claims = [
            self._claim(key, mine, life, replies[at * 3 : at * 3 + 3])
            for at, key in enumerate(keys)
        ]
        if instead_of:
            for at, claim in enumerate(claims):
                if claim.holder.nonce == instead_of:
                    over = replies[at * 3 + 1].at
                    command = wire.store(*self._names.claim(keys[at]), said, ttl=lasting, over=over)
                    claims[at] = await self._replaced(keys[at], mine, claim, command)
        return claims

    def _claim(self, key: str, mine: Holder, life: float, replies: Sequence[Reply]) -> Claim:
        stored, held, item = replies
        there = item.done and item.flags == VALUE
        version = Version(1, item.cas, 0.0) if there else NOTHING_STORED
        if stored.done:
            self._note(key, mine.nonce, stored.at)
            return Claim(mine, life, version)
        holder = _holder(held.value)
        if holder.nonce == mine.nonce:  # it was stored, and the answer was lost
            self._note(key, mine.nonce, held.at)
        return Claim(holder, min(life, max(held.ttl, 0.0)), version)

    async def _replaced(self, key: str, mine: Holder, claim: Claim, command: Command) -> Claim:
        """Take the claim of a load that is lost already."""
        (reply,) = await self._clock.ask([command], retry=False)
        if not reply.done:
            return claim
        self._note(key, mine.nonce, reply.at)
        return claim._replace(holder=mine)

    def _note(self, key: str, nonce: str, at: At) -> None:
        with self._lock:
            self._mine[key, nonce] = at
            if len(self._mine) > _MOST:
                self._mine.popitem(last=False)

    def endings(self, key: str, nonce: str) -> list[Command]:
        """The commands that give a claim up, if it is one of this store's."""
        with self._lock:
            at = self._mine.pop((key, nonce), None)
        return [] if at is None else [wire.remove(*self._names.claim(key), over=at)]

    async def release(self, keys: Sequence[str], nonce: str) -> None:
        """Give claims up."""
        commands = [command for key in keys for command in self.endings(key, nonce)]
        try:
            if commands:
                await self._clock.ask(commands)
        finally:
            self.wake(keys)

    def wake(self, keys: Sequence[str]) -> None:
        """Wake those of this process who wait for claims of these keys."""
        for key in keys:
            self._clock.replica.bells.ring(digest(key))

    def listening(self, key: str) -> AbstractContextManager[Signal]:
        """A signal that is given when this process gives the claim of a key up."""
        return self._clock.replica.bells.listening(digest(key), self._runtime)


def _holder(held: bytes) -> Holder:
    """What stands in a claim; nobody, whom one need not wait for, if it is anything else."""
    said = _SAID.fullmatch(held)
    if said is None:
        return _NOBODY
    return Holder(said[1].decode(), int(said[2], 16), int(said[3]))
