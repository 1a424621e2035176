"""The commands that bump a server's clock, as one process sends them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from armature_cache import envelope
from armature_cache.clocks.digest import digest, mark_of, marks_of
from armature_cache.clocks.judgement import Stamp
from armature_cache.clocks.limits import (
    KEY_MEMORY,
    MAX_SHARED_KEYS,
    MAX_SHARED_TAGS,
    load_micros,
    tombstone_life,
)
from armature_cache.clocks.server_replica import ServerReplica
from armature_cache.redisio import scripts
from armature_cache.redisio.names import Names
from armature_cache.redisio.port import RUN_ID, Argument, Command


class Sealed(NamedTuple):
    """An envelope, with its life and its end in ms."""

    key: str
    packed: bytes
    tags: tuple[str, ...]
    life: int
    dead_at: int


class BumpCommands:
    """Makes commands that carry what the replica knows at that moment."""

    def __init__(self, replica: ServerReplica, names: Names, max_load_time: float) -> None:
        self._replica = replica
        self._names = names
        self._load_us = load_micros(max_load_time)
        self.tombstone_life = tombstone_life(max_load_time)

    def _common(self, *, hint: bool = True) -> tuple[Argument, ...]:
        epoch, last = self._replica.stamp()
        failover = self._replica.failover
        return (
            RUN_ID,
            epoch,
            last,
            self._names.channel if hint else "",
            MAX_SHARED_TAGS,
            MAX_SHARED_KEYS,
            self._load_us,
            int(KEY_MEMORY * 1_000_000),
            failover.member if failover.replays else int(self._names.clustered),
        )

    def bump(self, tags: Sequence[str], keys: Sequence[str], *, hint: bool = True) -> Command:
        """Record an invalidation; on a single server it puts tombstones on the keys as well."""
        names = self._names
        buried = () if names.clustered else keys
        bare = keys if names.clustered else ()
        parts: list[bytes] = []
        for key in buried:
            parts += (digest(key), tombstone(key))
        return scripts.BUMP(
            [names.clock, names.keys, *map(names.value, buried)],
            *self._common(hint=hint),
            self.tombstone_life,
            len(tags),
            len(bare),
            *map(mark_of, tags),
            *map(digest, bare),
            *parts,
        )

    def check(
        self, key: str, tags: Sequence[str], lease: Stamp, *, written: bool = False
    ) -> Command:
        """Bump a key, and tell whether anything had happened to it or its tags since a lease."""
        names = self._names
        return scripts.CHECK(
            [names.clock, names.keys],
            *self._common(hint=written),
            *lease,
            digest(key),
            *marks_of(tags),
        )

    def set(self, sealed: Sealed, expected: bytes, *, standing: bool = False) -> Command:
        """Store a value as current now; with `standing`, only while the expected one is valid."""
        marks = marks_of(sealed.tags) if standing else []
        return scripts.SET(
            self._keys(sealed),
            *self._common(),
            expected,
            sealed.life,
            sealed.dead_at,
            sealed.key,
            digest(sealed.key),
            sealed.packed,
            len(marks) if standing else -1,
            *marks,
            *sealed.tags,
        )

    def offer(self, sealed: Sealed, lease: Stamp, *, written: bool = False) -> Command:
        """Store a value unless something happened to it since the lease.

        One that is known to be written is news to other processes in any case.
        """
        return scripts.OFFER(
            self._keys(sealed),
            *self._common(hint=written),
            *lease,
            sealed.life,
            sealed.dead_at,
            sealed.key,
            digest(sealed.key),
            sealed.packed,
            tombstone(sealed.key),
            self.tombstone_life,
            int(written),
            *marks_of(sealed.tags),
            *sealed.tags,
        )

    def _keys(self, sealed: Sealed) -> list[Argument]:
        names = self._names
        return [names.clock, names.keys, *names.of_value(sealed.key, sealed.tags)]


def unheard(command: Command) -> Command:
    """The same command, which leaves hint and delta to one that follows it in its pipeline."""
    at = 5 + int(command[2])
    return (*command[:at], -int(command[at]), *command[at + 1 :])


NO_STAMP: Final = Stamp(0, 0)


def tombstone(key: str, stamp: Stamp = NO_STAMP) -> bytes:
    """What stands in place of a deleted value."""
    grave = envelope.Envelope(stamp.asof, stamp.epoch, flags=envelope.Flag.TOMBSTONE)
    return envelope.build(key, grave)
