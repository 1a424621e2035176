"""What a tag clock is to a store: one contract, whatever the place it lives in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from armature_cache.clocks.replica import Replica

if TYPE_CHECKING:
    from armature_cache.claims import Holder
    from armature_cache.entry import Entry


class Clock(Protocol):
    """The order of invalidations of one shared store, as seen from this process."""

    @property
    def replica(self) -> Replica:
        """This process's copy of the clock."""
        ...

    async def ensure(self, bound: float, *, strong: bool = False) -> None:
        """Trust the replica: sync unless the last sync was sent within `bound` seconds.

        `strong` insists on a sync that is sent after this call. Raises `BackendError`.
        """
        ...

    async def confirm(
        self, entries: Sequence[Entry], bound: float, *, strong: bool = False
    ) -> None:
        """`ensure`, and find out of resident entries whether they are valid.

        Afterwards the replica can tell, of all that it could not tell before. Raises
        `BackendError`.
        """
        ...

    async def brace(self, loads: Mapping[str, tuple[str, ...]]) -> None:
        """Learn what the stamps of loads are to say, by the keys and the tags of what is loaded.

        Without it, what is loaded may be refused. Raises `BackendError`.
        """
        ...

    async def overtaken(self, key: str, tags: tuple[str, ...], holder: Holder) -> bool:
        """Whether what the holder of a claim is loading was invalidated since he began."""
        ...

    async def bump(self, tags: Sequence[str], keys: Sequence[str] = ()) -> int:
        """Record an invalidation of tags and keys and return its sequence.

        They are dead in this process from the start of the call, and stay so until the clock
        has acknowledged. Raises `InvalidationError` when it did not.
        """
        ...

    async def settle(self) -> None:
        """Wait until no process can serve what was invalid before this call."""
        ...

    def declare_bound(self, bound: float) -> None:
        """Say that readers trust the replica for `bound` seconds after a sync."""
        ...

    async def restart(self) -> None:
        """Begin a new epoch: every entry of the clock is dead."""
        ...
