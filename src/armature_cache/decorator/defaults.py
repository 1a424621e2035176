"""The store of functions that were given none."""

from __future__ import annotations

from typing import Final, cast

from armature_cache import _forking
from armature_cache.decorator.store import Face, Store, face_of
from armature_cache.errors import ConfigError


class Slot:
    """Where functions of one face find their store; empty until it is looked for."""

    __slots__ = ("store",)

    def __init__(self, store: Store | None = None) -> None:
        self.store = store


_lock: Final = _forking.outer_lock()
_slots: Final[dict[Face, Slot]] = {"async": Slot(), "sync": Slot()}
_chosen: dict[Face, Store] = {}
_in_process: dict[Face, Store] = {}

_CURES: Final[dict[Face, str]] = {
    "sync": "a plain function needs the sync face: {call}(store.sync()), which shares entries and "
    "clock with the store",
    "async": "a coroutine function needs a store whose methods are awaited: {call}(store), of "
    "which the sync face is store.sync()",
}


def set_default_cache(store: Store | None) -> None:
    """Use this store for decorated functions that were given none; None: the in-process one.

    Each face has its own default: a store serves coroutine functions, `store.sync()` plain ones.
    Once one of them is set, functions of the other face raise `ConfigError` until theirs is set,
    too. Raises `ConfigError` for what is no store.
    """
    with _lock:
        if store is None:
            _chosen.clear()
        else:
            face = face_of(store)
            if face is None:
                raise ConfigError(
                    f"a store is needed, not {type(store).__name__}: set_default_cache(store)",
                    field="store",
                )
            _chosen[face] = store
        for face, slot in _slots.items():
            slot.store = _chosen.get(face)


def get_default_cache(face: Face = "async") -> Store:
    """The store of functions of this face that were given none.

    Without `set_default_cache` it is a `TaggedCache(InMemoryCache())` of this process, or its
    sync face. Raises `ConfigError` if only the other face has a default.
    """
    slot = default_slot(face)
    with _lock:
        if slot.store is None:
            if _chosen:
                raise ConfigError(
                    "the default cache is of the other face: "
                    + _CURES[face].format(call="set_default_cache"),
                    field="using",
                )
            slot.store = _made(face)
        return slot.store


def default_slot(face: Face) -> Slot:
    """The place of the default store of a face."""
    return _slots[face]


def check_face(store: Store, face: Face, name: str, *, call: str = "using=") -> Store:
    """The store, if it is of this face; else `ConfigError` with the cure."""
    if store.face != face:
        raise ConfigError(f"{name}: {_CURES[face].format(call=call)}", field="using")
    return store


def _made(face: Face) -> Store:
    if not _in_process:
        from armature_cache.stores.memory import InMemoryCache
        from armature_cache.stores.tagged import TaggedCache

        store = TaggedCache(InMemoryCache())
        _in_process["async"] = cast("Store", store)
        _in_process["sync"] = cast("Store", store.sync())
    return _in_process[face]
