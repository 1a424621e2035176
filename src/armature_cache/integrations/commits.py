"""What a database transaction leaves to be invalidated after its commit."""

from __future__ import annotations

from typing import Final

from armature_cache import sync
from armature_cache.decorator.store import Face, face_of
from armature_cache.errors import ConfigError
from armature_cache.options import OnFailure, check_on_failure
from armature_cache.stores.base import CacheStore
from armature_cache.stores.deferral import Batch, Wish
from armature_cache.stores.primitives import logger

AnyCache = CacheStore | sync.CacheStore
"""A cache of either face."""

_CURES: Final[dict[Face, str]] = {
    "async": "an AsyncSession needs a cache whose methods are awaited, of which this one is the "
    "sync face; a blocking call would hold up the event loop",
    "sync": "code that blocks needs the sync face: give cache.sync(), made once, which shares "
    "entries and clock with the cache",
}


class Plan:
    """What a transaction, or a savepoint of one, leaves to be invalidated."""

    __slots__ = ("after", "before", "strict")

    def __init__(self) -> None:
        self.after = Batch()
        self.before = Batch()
        self.strict = False

    def add(self, cache: CacheStore, wish: Wish, terms: Terms) -> None:
        """Add a wish under these terms."""
        self.after.add(cache, wish)
        if terms.also_before:
            self.before.add(cache, wish._replace(again=(), wait=False))
        self.strict |= terms.strict

    def merge(self, other: Plan) -> None:
        """Add all that another plan holds."""
        self.after.merge(other.after)
        self.before.merge(other.before)
        self.strict |= other.strict

    def failed(self, error: Exception, *, committed: bool = True) -> None:
        """Tell whoever is to know of a failure: raises it if that was asked for."""
        if self.strict:
            if committed:
                error.add_note("The database transaction itself has been committed.")
            raise error
        logger.error(
            "%s its commit, a transaction's %d invalidations were not acknowledged: %s",
            "after" if committed else "before",
            len(self.after if committed else self.before),
            error,
        )


class Terms:
    """How invalidations are sent, checked."""

    __slots__ = ("also_before", "strict")

    def __init__(self, *, also_before: bool, on_failure: OnFailure) -> None:
        self.strict = check_on_failure(on_failure)
        self.also_before = also_before


def core_of(cache: AnyCache, face: Face) -> CacheStore:
    """What stands behind a cache of this face; `ConfigError` with the cure for another."""
    if face_of(cache) is None:
        raise ConfigError(f"cache is a cache, not {type(cache).__name__}", field="cache")
    if cache.face != face:
        raise ConfigError(_CURES[face], field="cache")
    return cache._core if isinstance(cache, sync.CacheStore) else cache
