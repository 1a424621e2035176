"""What the workers do: operations that read and update, made from a service."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Coroutine, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from armature_cache import TaggedCache, TieredCacheConfig


class Version(NamedTuple):
    """One object's version, as read or as committed; `number` is its place in the ledger."""

    number: int
    version: int


@dataclasses.dataclass(frozen=True, slots=True)
class Read:
    """A read, and what its value says of versions."""

    call: Callable[[], Coroutine[Any, Any, Any]]
    versions: Callable[[Any], Iterable[Version]]


@dataclasses.dataclass(frozen=True, slots=True)
class Update:
    """An update with its invalidation, or an invalidation alone, which gives None."""

    call: Callable[[], Coroutine[Any, Any, Version | None]]


Operation = Read | Update


class Session(Protocol):
    """A workload in one worker, over one cache."""

    cache: TaggedCache

    def operations(self, rank: int, workers: int) -> Iterator[Operation]:
        """What this worker of so many does, the same each time."""

    async def truth(self, number: int) -> int:
        """The version in the database."""

    async def aclose(self) -> None:
        """Close the cache and the database."""


class Workload(Protocol):
    """Something to do, described; it is sent to the workers."""

    @property
    def title(self) -> str:
        """What the display says."""

    def create(self, folder: Path) -> int:
        """Make the database in this folder; how many objects it has."""

    def open(self, folder: Path, url: str, namespace: str, tiers: TieredCacheConfig) -> Session:
        """Begin, in a worker."""
