"""What a database transaction leaves to be invalidated after its commit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, get_args

from armature_cache import sync
from armature_cache.clocks.digest import softly
from armature_cache.decorator.store import Face, face_of
from armature_cache.errors import ConfigError
from armature_cache.options import check_seconds, check_tags
from armature_cache.stores.base import CacheStore
from armature_cache.stores.bulk import check_keys
from armature_cache.stores.deferral import Batch, Wish
from armature_cache.stores.primitives import logger
from armature_cache.stores.tagged import TaggedCache

AnyCache = CacheStore | sync.CacheStore
"""A cache of either face."""

OnFailure = Literal["log", "raise"]
"""Who learns that an invalidation was not acknowledged after its commit.

`log`: the log, at level error. `raise`: also whoever committed.
"""

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
        if on_failure not in get_args(OnFailure):
            raise ConfigError(
                f'on_failure is "log" or "raise", not {on_failure!r}', field="on_failure"
            )
        self.also_before = also_before
        self.strict = on_failure == "raise"


def core_of(cache: AnyCache, face: Face) -> CacheStore:
    """What stands behind a cache of this face; `ConfigError` with the cure for another."""
    if face_of(cache) is None:
        raise ConfigError(f"cache is a cache, not {type(cache).__name__}", field="cache")
    if cache.face != face:
        raise ConfigError(_CURES[face], field="cache")
    return cache._core if isinstance(cache, sync.CacheStore) else cache


def wish_of(
    core: CacheStore,
    tags: str | Iterable[str],
    keys: str | Iterable[str],
    *,
    soft: bool,
    again_after: float | None,
) -> Wish:
    """What is to be invalidated, checked; a single string is one tag, and one key."""
    named = check_tags(tags)
    core._check_tags(named)
    if soft:
        named = tuple(map(softly, named))
    checked = tuple(check_keys((keys,) if isinstance(keys, str) else keys))
    if again_after is None:
        return Wish(named, checked)
    delay = check_seconds("again_after", again_after)
    if not isinstance(core, TaggedCache):
        raise ConfigError("again_after repeats tags, and needs a TaggedCache", field="again_after")
    return Wish(named, checked, again=((delay, named),))
