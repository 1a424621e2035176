"""When a caller may share the load of another: never one that is too old for him."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from armature_cache.loading import Flight
    from armature_cache.stores.single import SingleMethods


class Caller:
    """One who wants the value of a key, and may join a flight that is under way."""

    def __init__(
        self, store: SingleMethods, path: str, tags: tuple[str, ...], *, strong: bool
    ) -> None:
        self.tags = tags
        self._store = store
        self._path = path
        self._strong = strong
        self._reached = True
        self._generation = -1

    async def catch_up(self) -> None:
        """Know what a caller of now has to know, if the shared store can be reached."""
        self._reached = await self._store._catch_up(strong=self._strong)

    def may_join(self, flight: Flight[Any]) -> bool:
        """Whether a flight under way will do, by what is known of it now."""
        replica = self._store.clock.replica
        self._generation = replica.generation
        if flight.stamp is None:
            return self._reached
        if not self._reached and not self._is_young(flight):
            return False
        return replica.covers(self._path, (*self.tags, *flight.tags), flight.stamp)

    def _is_young(self, flight: Flight[Any]) -> bool:
        """Whether the load began within the bound: all that counts without news of the clock."""
        return not self._strong and self._store.time() - flight.began < self._store.bound

    def may_have(self, flight: Flight[Any]) -> bool:
        """Whether the outcome will do, of a flight that was joined before it began to load.

        It may have found an entry, and judged it before this caller knew the news.
        """
        found = flight.found
        return (
            found is None
            or flight.knew == self._generation
            or self._store.clock.replica.covers(self._path, found.tags, found.stamp)
        )
