"""Caches that answer nothing for a while, so that the code under them runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from armature_cache.claims import NOTHING_STORED, Claim
from armature_cache.decorator import get_default_cache
from armature_cache.errors import ConfigError
from armature_cache.stores import hits
from armature_cache.stores.base import CacheStore
from armature_cache.stores.tagged import TaggedCache
from armature_cache.sync import CacheStore as SyncStore

if TYPE_CHECKING:
    from armature_cache.claims import Holder
    from armature_cache.entry import Entry
    from armature_cache.stores.draft import Draft

_ABSENT: Final = object()


@contextlib.contextmanager
def disabled(*caches: CacheStore | SyncStore) -> Iterator[None]:
    """Let these caches answer nothing within the block, so that every loader and function runs.

    Without a name it is the default caches of decorated functions, of both faces. Reads find
    nothing and loaded values are not kept; `set`, `add`, `increment`, `delete`, `invalidate_tag`
    and `clear` do what they always do, so that nothing stale is there after the block. Calls made
    at the same time may share one load. A cache is disabled in the face that is given, with its
    namespaces and with the caches around it; another face of it is another name to give. Raises
    `ConfigError` for what is no store.
    """
    with contextlib.ExitStack() as switches:
        for core in [_core_of(cache) for cache in caches] or _defaults():
            switches.enter_context(_Off(core))
        yield


def _core_of(cache: object) -> CacheStore:
    core = cache._core if isinstance(cache, SyncStore) else cache
    if not isinstance(core, CacheStore):
        raise ConfigError(
            f"disabled() takes stores, not {type(cache).__name__}; a decorated function runs "
            "when its store is disabled",
            field="caches",
        )
    while isinstance(core, TaggedCache):  # namespaces are around what is tagged
        core = core.store
    return core


def _defaults() -> list[CacheStore]:
    cores: list[CacheStore] = []
    for face in ("async", "sync"):
        with contextlib.suppress(ConfigError):  # there is a default of the other face alone
            cores.append(_core_of(get_default_cache(face)))
    return cores


class _Off:
    """One store, with operations of its own in place of those of its class."""

    def __init__(self, core: CacheStore) -> None:
        self._core = core
        self._before: dict[str, Any] = {}
        self._write_through = core._write

    def __enter__(self) -> None:
        hits.drop(self._core)
        self._cover()
        self._core._tell_followers()

    def __exit__(self, *_: object) -> None:
        self._uncover()
        self._core._follow_peek()

    def _cover(self) -> None:
        own = vars(self._core)
        for name, operation in self._operations().items():
            self._before[name] = own.get(name, _ABSENT)
            own[name] = operation

    def _uncover(self) -> None:
        own = vars(self._core)
        for name, before in self._before.items():
            if before is _ABSENT:
                del own[name]
            else:
                own[name] = before

    def _operations(self) -> dict[str, Any]:
        return {
            "_peek": _nothing,
            "_peeker": lambda: _nothing,
            "_follow_peek": lambda: None,
            "_remnant": _nothing,
            "_fetch": self._fetch,
            "_probe": self._probe,
            "_claim": self._claim,
            "_write": self._write,
            "_blocking": lambda: self._aside("_blocking"),
            "with_policy": lambda **policy: self._aside("with_policy", **policy),
        }

    def _aside(self, name: str, **options: Any) -> Any:
        """The outcome of a method that copies the store: the copy is not disabled."""
        self._uncover()
        try:
            return getattr(self._core, name)(**options)
        finally:
            self._cover()

    async def _fetch(
        self, keys: Sequence[str], want: object, **options: object
    ) -> dict[str, Entry]:
        self._core.counters.misses += len(keys)
        return {}

    async def _probe(self, keys: Sequence[str]) -> dict[str, Entry]:
        return {}

    async def _claim(
        self, keys: Sequence[str], mine: Holder, life: float, *, instead_of: str = ""
    ) -> list[Claim]:
        return [Claim(mine, life, NOTHING_STORED) for _ in keys]

    async def _write(self, drafts: Sequence[Draft]) -> list[bool]:
        """Store what was set, and seem to have stored what was loaded."""
        was_set = [draft.stamp is None or draft.leased for draft in drafts]
        kept = [draft for draft, mine in zip(drafts, was_set, strict=True) if mine]
        stored = iter(await self._write_through(kept) if kept else [])
        return [next(stored) if mine else True for mine in was_set]


def _nothing(key: str) -> None:
    """No entry of this key."""
