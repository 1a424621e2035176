"""What a codec works out once per type: its id, and the decoder that restores it."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from armature_cache.codecs._describe import is_self_describing
from armature_cache.codecs._records import Unrestorable
from armature_cache.codecs.types import remember, type_of_id

Decode = Callable[[Any], Any]


class Plan(NamedTuple):
    """A type as one codec handles it; `type_id` is 0 for a self-describing type."""

    as_type: Any
    type_id: int
    decode: Decode


class Plans:
    """A codec's plans, the last 1024 used ones; safe to share between threads."""

    def __init__(self, make_decoder: Callable[[Any], Decode]) -> None:
        self._make_decoder = make_decoder
        self._cached = lru_cache(maxsize=1024)(self._make)

    def of(self, as_type: Any) -> Plan:
        """The plan for a type."""
        try:
            plan = self._cached(as_type)
        except TypeError:
            plan = self._make(as_type)
        if plan.type_id and type_of_id(plan.type_id) is None:
            remember(as_type)
        return plan

    def _make(self, as_type: Any) -> Plan:
        type_id = 0 if is_self_describing(as_type) else remember(as_type)
        try:
            decode = self._make_decoder(as_type)
        except Exception as error:  # noqa: BLE001  whatever an annotation can hold
            decode = _failing(error)
        return Plan(as_type, type_id, decode)


def _failing(error: Exception) -> Decode:
    text = str(error)

    def decode(_payload: object) -> object:
        raise Unrestorable(text)

    return decode
