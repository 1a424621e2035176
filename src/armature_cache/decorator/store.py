"""What the decorator needs of a store, in either face."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal, Protocol, Unpack, cast, runtime_checkable

from armature_cache._missing import Unset
from armature_cache.entry import Entry
from armature_cache.options import TTL, Consistency
from armature_cache.policy import LoadKeywords
from armature_cache.stores.base import CacheStore

Face = Literal["async", "sync"]
"""`async`: operations are awaited. `sync`: they are plain calls."""


class Store(Protocol):
    """A store of either face; those of the async face return awaitables."""

    face: ClassVar[Face]

    def _peek(self, key: str) -> Entry | None: ...

    def get_or_set(
        self,
        key: str,
        loader: Callable[[], Any],
        *,
        ttl: TTL | Unset = ...,
        tags: str | tuple[str, ...] = ...,
        type: object = ...,
        cache_none: bool = ...,
        consistency: Consistency | Unset = ...,
        **policy: Unpack[LoadKeywords],
    ) -> Any: ...

    def refresh(
        self,
        key: str,
        loader: Callable[[], Any],
        *,
        ttl: TTL | Unset = ...,
        tags: str | tuple[str, ...] = ...,
        type: object = ...,
        cache_none: bool = ...,
        **policy: Unpack[LoadKeywords],
    ) -> Any: ...

    def delete(self, key: str) -> Any: ...

    def delete_many(self, keys: list[str]) -> Any: ...


@runtime_checkable
class Lender(Protocol):
    """Has a store for functions of either face, and is asked for it at their first call."""

    def lend(self, face: Face) -> Store:
        """The store in this face."""
        ...


def face_of(candidate: object) -> Face | None:
    """The face of a store; None for what is no store."""
    face = None if isinstance(candidate, type) else getattr(candidate, "face", None)
    return cast("Face", face) if face in {"async", "sync"} else None


def core_of(store: Store) -> CacheStore:
    """What stands behind a store of either face."""
    core: Any = getattr(store, "_core", store)
    return cast("CacheStore", core)


def is_shared(store: Store) -> bool:
    """Whether other processes see what this store holds."""
    replica = getattr(getattr(core_of(store), "clock", None), "replica", None)
    return not getattr(replica, "own", True)


def fits(store: Store, entry: Entry, want: object) -> bool:
    """Whether a resident entry is what decoding to this type would give."""
    return core_of(store)._fits(entry, want)
