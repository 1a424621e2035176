"""JSON: a codec for payloads that people and other programs read."""

from __future__ import annotations

import math
from typing import Any

from msgspec.json import Decoder, Encoder

from armature_cache.codecs._compare import difference, fits
from armature_cache.codecs._plans import Plan, Plans
from armature_cache.codecs._records import dec_hook, enc_hook
from armature_cache.codecs._refusal import Refusal, item_step, key_step, refusal_of_class
from armature_cache.codecs._typed import (
    refusal_of_depth,
    refusal_of_difference,
    refusal_of_mismatch,
    refusal_of_text,
    undecodable,
)
from armature_cache.codecs.base import Encoded
from armature_cache.codecs.types import type_of_id
from armature_cache.errors import UndecodablePayload

_MAX_DEPTH = 128
_CURE = "Name the type in the return annotation or with type=, or use MessagePackCodec"

_STR = frozenset((str,))
_SAFE = frozenset((str, int, bool, type(None)))

_encode = Encoder(enc_hook=enc_hook).encode
_decode_any = Decoder().decode
_plans = Plans(lambda as_type: Decoder(as_type, dec_hook=dec_hook).decode)


class JsonCodec:
    """Typed JSON through msgspec.

    With a type, it carries what JSON can hold of that type, and refuses the rest (NaN, values in
    places annotated `Any`). Without one, it carries exactly str, int, finite float, bool, None,
    list, and dict with str keys.
    """

    code: int = 2
    name: str = "json"

    def encode(self, value: object, as_type: object = None) -> Encoded:
        """Encode `value`, as `as_type` when that is given.

        Raises `UnsupportedValue` for a value that `decode` could not restore; the message names
        the class, its place inside the value, and the cures.
        """
        try:
            if as_type is None or as_type is Any or as_type is object:
                return Encoded(_encode_any(value), 0)
            return _encode_as(value, _plans.of(as_type))
        except Refusal as refusal:
            raise refusal.error() from refusal.__cause__

    def decode(self, payload: bytes | memoryview, type_id: int, as_type: object = None) -> Any:
        """Decode a payload, to `as_type` when that is given.

        Raises `UndecodablePayload` for anything that does not decode to the asked type. Without a
        type, the type id is looked up among those that this process knows.
        """
        try:
            if as_type is None or as_type is Any or as_type is object:
                return _known(type_id).decode(payload) if type_id else _decode_any(payload)
            plan = _plans.of(as_type)
            if plan.type_id:
                return plan.decode(payload)
            value = _decode_any(payload)
            return value if fits(value, as_type) else plan.decode(payload)
        except Exception as error:
            raise undecodable(as_type, error) from error

    def type_id(self, as_type: object) -> int:
        """The id of a type, as it stands in the envelope; 0 for self-describing types."""
        return _plans.of(as_type).type_id


def _encode_any(value: object) -> bytes:
    try:
        _check_plain(value, 0)
        return _encode(value)
    except UnicodeEncodeError:
        raise refusal_of_text(value) from None


def _check_plain(value: Any, depth: int) -> None:
    cls = type(value)
    if cls is str or cls is int or cls is bool or value is None:
        return
    if cls is float:
        if not math.isfinite(value):
            raise Refusal(cls, "which JSON cannot hold unless finite", "Use MessagePackCodec")
    elif cls is not list and cls is not dict:
        raise refusal_of_class(value, "which JSON alone does not restore", _CURE)
    elif depth >= _MAX_DEPTH:
        raise refusal_of_depth(value)
    else:
        _check_items(value, depth)


def _check_items(value: Any, depth: int) -> None:
    keyed = type(value) is dict
    members, keys = (value.values(), value) if keyed else (value, ())
    if _SAFE.issuperset(map(type, members)) and _STR.issuperset(map(type, keys)):
        return
    for key, item in value.items() if keyed else enumerate(value):
        if keyed and type(key) is not str:
            reason = "where JSON has only str keys"
            raise Refusal(type(key), reason, _CURE).inside(key_step(key))
        try:
            _check_plain(item, depth + 1)
        except Refusal as refusal:
            raise refusal.inside(item_step(key)) from None


def _encode_as(value: object, plan: Plan) -> Encoded:
    if not plan.type_id:
        payload = _encode_any(value)
        if fits(value, plan.as_type):
            return Encoded(payload, 0)
    try:
        payload = _encode(value)
        lost = difference(value, plan.decode(payload))
    except Exception as error:
        raise _advised(refusal_of_mismatch(value, plan.as_type, error)) from error
    if lost is not None:
        raise _advised(refusal_of_difference(lost))
    return Encoded(payload, plan.type_id)


def _advised(refusal: Refusal) -> Refusal:
    refusal.cure = _CURE
    return refusal


def _known(type_id: int) -> Plan:
    as_type = type_of_id(type_id)
    if as_type is None:
        msg = (
            f"this process knows no type with the id {type_id:016x}; "
            "read with type=, or register the class with register_type()"
        )
        raise UndecodablePayload(msg)
    return _plans.of(as_type)
