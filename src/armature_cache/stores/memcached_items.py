"""The items of values on Memcached: their bytes, their size, and how long they are kept."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

from armature_cache.errors import ValueTooLarge
from armature_cache.memcachedio import frame, wire
from armature_cache.memcachedio.wire import LONGEST_TTL, At, Command

if TYPE_CHECKING:
    from armature_cache._time import TimeSource
    from armature_cache.clocks.memcached import MemcachedClock
    from armature_cache.envelope import Closed
    from armature_cache.memcachedio.names import Names
    from armature_cache.memcachedio.port import Port
    from armature_cache.stores.memcached_bases import Marks

_OVERHEAD: Final = 64
"""Bytes that Memcached needs for an item beside its name and value, at the most."""


class Life(NamedTuple):
    """How long Memcached is to keep an item: as it is told, and in seconds where it can tell."""

    told: int
    seconds: int


class Item(NamedTuple):
    """An item to be stored, with its lifetime as Memcached is told it."""

    node: int
    name: bytes
    value: bytes
    ttl: int

    def store(self) -> Command:
        """Store it, whatever is there."""
        return wire.store(self.node, self.name, self.value, ttl=self.ttl, flags=frame.VALUE)

    def over(self, at: At) -> Command:
        """Store it over a CAS value."""
        return wire.store(
            self.node, self.name, self.value, ttl=self.ttl, flags=frame.VALUE, over=at
        )


class Items:
    """Makes the items of one store."""

    def __init__(self, clock: MemcachedClock, port: Port, names: Names, wall: TimeSource) -> None:
        self._clock = clock
        self._port = port
        self._names = names
        self._wall = wall

    def lasting(self, milliseconds: int) -> Life:
        """A lifetime for Memcached: whole seconds, and beyond a month a moment in time."""
        seconds = math.ceil(milliseconds / 1000) + 1
        if seconds > LONGEST_TTL:
            return Life(int(self._wall()) + seconds, 0)
        return Life(seconds, seconds)

    def left(self, seconds: int, told: int) -> Life:
        """The lifetime that an item has left, by what Memcached said and was told at first."""
        if seconds < 0:
            return Life(0, told)
        if seconds > LONGEST_TTL:
            return Life(int(self._wall()) + seconds, told)
        return Life(max(1, seconds), told)

    async def make(self, key: str, closed: Closed, marks: Marks, life: Life) -> Item:
        """What stores an envelope; raises `ValueTooLarge` where Memcached would refuse it."""
        place = self._names.value(key)
        said = key if self._names.is_hashed(place.name) else ""
        value = frame.build(frame.Frame(marks, said, life.seconds, closed.stamped(0, 0)))
        server = self._port.servers[place.node]
        if server.largest is None:
            await self._clock.ask([wire.nothing(place.node)])
        size, largest = len(place.name) + len(value) + _OVERHEAD, server.largest
        if largest is not None and size > largest:
            raise ValueTooLarge(
                f"the value takes {size} bytes on {server.shown}, whose limit is {largest}; store "
                "it in parts, compress it, or start Memcached with a larger -I",
                size=size,
                limit=largest,
            )
        return Item(place.node, place.name, value, life.told)
