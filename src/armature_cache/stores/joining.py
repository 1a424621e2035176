"""When a caller may share the load of another: never one that is too old for him."""

from __future__ import annotations

from typing import Any

from armature_cache.clocks.judgement import Stamp
from armature_cache.flight import Flight
from armature_cache.stores.single import SingleMethods


class Passenger:
    """One who wants the value of a key, and may join a flight that is under way."""

    def __init__(
        self,
        store: SingleMethods,
        path: str,
        tags: tuple[str, ...],
        *,
        strong: bool,
        read: bool,
    ) -> None:
        self.tags = tags
        self._store = store
        self._path = path
        self._strong = strong
        self._read = read
        self._reached = False
        self._generation = -1

    async def catch_up(self) -> None:
        self._reached = await self._store._catch_up(strong=self._strong)

    def may_join(self, flight: Flight[Any]) -> bool:
        if not self._read:
            return False
        self._generation = self._store.clock.replica.generation
        if flight.stamp is None:
            return self._reached
        return (self._reached or self._is_young(flight)) and self._covers(
            (*self.tags, *flight.tags), flight.stamp
        )

    def _is_young(self, flight: Flight[Any]) -> bool:
        """Whether the load began within the bound: all that counts without news of the clock."""
        return not self._strong and self._store.time() - flight.began < self._store.bound

    def may_have(self, flight: Flight[Any]) -> bool:
        found = flight.found
        if flight.late_tags and flight.stamp is not None:
            return self._covers(flight.late_tags, flight.stamp)
        return (
            found is None
            or flight.knew == self._generation
            or self._covers(found.tags, Stamp(*found.stamp))
        )

    def _covers(self, tags: tuple[str, ...], stamp: Stamp) -> bool:
        return self._store.clock.replica.covers(self._path, tags, stamp)
