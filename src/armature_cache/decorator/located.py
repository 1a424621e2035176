"""Where a decorated function finds its store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from armature_cache.decorator.defaults import Slot, check_face, default_slot, get_default_cache
from armature_cache.decorator.store import Face, Lender, Store, face_of
from armature_cache.keys import Receiver

Arguments = tuple[Any, ...]
Named = Mapping[str, Any]

NONE: Final = object()
"""In place of a positional argument that a call does not have."""


class Located:
    """A function that works on a store: one given, that of its receiver, or the default."""

    __slots__ = (
        "_lender",
        "_store_class",
        "_using",
        "face",
        "has_receiver",
        "name",
        "receiver_name",
        "slot",
    )

    def __init__(self, name: str, face: Face, using: Store | Lender | None) -> None:
        self.name = name
        self.face: Face = face
        self._lender = using if isinstance(using, Lender) else None
        self._using = None if using is None or self._lender is not None else cast("Store", using)
        self._store_class: type | None = None
        self.find_by(None, None)

    def find_by(self, receiver: Receiver | None, receiver_name: str | None) -> None:
        """Take the first parameter, of this name, for what a method is called on."""
        self.has_receiver = receiver is not None
        self.receiver_name = receiver_name
        self.slot = self._slot()

    def _slot(self) -> Slot:
        if self._lender is not None:
            return Slot()
        if self._using is not None:
            return Slot(check_face(self._using, self.face, self.name))
        return Slot() if self.has_receiver else default_slot(self.face)

    def locate(self, first: object, kwargs: Named) -> Store:
        """The store of a call: the one given, the `cache` of its receiver, or the default.

        `first` is the first positional argument, or `NONE`. Raises `ConfigError` for a store of
        the other face.
        """
        if self.slot.store is not None:
            return self.slot.store
        if self._lender is not None:
            lent = self._lender.lend(self.face)
            self.slot.store = check_face(lent, self.face, self.name)
            return lent
        if self.has_receiver:
            if first is NONE:
                first = kwargs.get(self.receiver_name or "")
            candidate: Any = getattr(first, "cache", None)
            if type(candidate) is self._store_class:
                return candidate  # type: ignore[return-value]
            if face_of(candidate) is not None:
                found = check_face(candidate, self.face, self.name, call="self.cache = ")
                self._store_class = type(candidate)
                return found
        return get_default_cache(self.face)

    def store_of(self, args: Arguments, kwargs: Named) -> Store:
        """The store of a call with these arguments."""
        return self.locate(args[0] if args else NONE, kwargs)
