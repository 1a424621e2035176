"""Claims of loads on a Redis or Valkey server."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from armature_cache.claims import NOTHING_STORED, Claim, Holder, Version
from armature_cache.clocks.digest import digest
from armature_cache.clocks.redis_wire import text
from armature_cache.redisio import scripts
from armature_cache.redisio.port import Command, checked

if TYPE_CHECKING:
    from armature_cache._runtime.base import Runtime, Signal
    from armature_cache.clocks.redis import RedisClock
    from armature_cache.redisio.names import Names
    from armature_cache.redisio.port import Port


class Claims:
    """The claims of one namespace, as one face reaches them."""

    def __init__(self, clock: RedisClock, port: Port, names: Names, runtime: Runtime) -> None:
        self._clock = clock
        self._port = port
        self._names = names
        self._runtime = runtime

    async def take(
        self, keys: Sequence[str], mine: Holder, life: float, *, instead_of: str = ""
    ) -> list[Claim]:
        """Claim loads; whoever has to wait is told by the listener that a claim has ended."""
        self._clock.check()
        said, lasting = "|".join(map(str, mine)), max(1, round(life * 1000))
        commands = [
            scripts.CLAIM(
                [self._names.claim(key), self._names.value(key)], said, lasting, instead_of
            )
            for key in keys
        ]
        replies = checked(await self._port.send(commands), self._port.backend)
        claims = [self._claim(reply) for reply in replies]
        if any(claim.holder.nonce != mine.nonce for claim in claims):
            self._clock.expect_hints()
        return claims

    def _claim(self, reply: Sequence[Any]) -> Claim:
        held, left, epoch, asof, fresh_until = map(text, reply)
        stored = NOTHING_STORED
        if epoch and asof and fresh_until:
            end = (int(fresh_until) - self._clock.replica.server_ahead) / 1000
            stored = Version(int(epoch), int(asof), end)
        return Claim(_holder(held), int(left) / 1000, stored)

    def ending(self, key: str, nonce: str) -> Command:
        """The command that gives a claim up."""
        clustered = self._names.clustered
        channel = "" if clustered else self._names.channel
        return scripts.RELEASE([self._names.claim(key)], nonce, channel, _message(key))

    async def release(self, keys: Sequence[str], nonce: str) -> None:
        """Give claims up."""
        commands = [self.ending(key, nonce) for key in keys]
        replies = checked(await self._port.send(commands), self._port.backend)
        await self.wake(keys, replies)

    async def wake(self, keys: Sequence[str], replies: Sequence[Any]) -> None:
        """In a cluster, tell those who wait: the channel is on the clock's node."""
        if not self._names.clustered:
            return
        commands: list[Command] = [
            ("SPUBLISH", self._names.channel, _message(key))
            for key, reply in zip(keys, replies, strict=True)
            if reply == _AWAITED
        ]
        if commands:
            checked(await self._port.send(commands), self._port.backend)

    def listening(self, key: str) -> AbstractContextManager[Signal]:
        """A signal that is given when the claim of a key has ended."""
        return self._clock.replica.bells.listening(digest(key), self._runtime)


def _holder(held: str) -> Holder:
    """What stands in a claim; nobody, whom one need not wait for, if it is anything else."""
    nonce, _, stamp = held.partition("|")
    epoch, _, asof = stamp.partition("|")
    known = epoch.isdigit() and asof.isdigit()
    return Holder(nonce, int(epoch), int(asof)) if known else Holder(nonce, 0, 0)


_AWAITED = 2


def _message(key: str) -> bytes:
    return scripts.WAKE + digest(key)
