"""MessagePack: the default codec, for any value of a type that is named, registered or built in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.msgpack import Decoder, Encoder, Ext

from armature_cache.codecs._compare import difference, fits
from armature_cache.codecs._extend import ATOMS, DESCRIBED, Lowering, encode_native, is_plain
from armature_cache.codecs._plans import Decode, Plan, Plans
from armature_cache.codecs._records import dec_hook, enc_hook
from armature_cache.codecs._refusal import Refusal
from armature_cache.codecs._restore import make_ext_hook
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

if TYPE_CHECKING:
    from collections.abc import Callable

_EXT_HEADS = frozenset((0xC7, 0xC8, 0xC9, 0xD4, 0xD5, 0xD6, 0xD7, 0xD8))

_encode_hooked = Encoder(enc_hook=enc_hook).encode
_read_ext = Decoder(Ext).decode


class MessagePackCodec:
    """Typed MessagePack through msgspec.

    With a type, the payload is compact and is checked to restore the same value before it is
    accepted. Without one, the payload describes itself: built-in types, the common ones of the
    standard library, and instances of registered classes come back as they were. Aware datetimes
    keep their instant and offset, not the name of their zone.
    """

    code: int = 1
    name: str = "msgpack"

    def encode(self, value: object, as_type: object = None) -> Encoded:
        """Encode `value`, as `as_type` when that is given.

        Raises `UnsupportedValue` for a value that `decode` could not restore; the message names
        the class, its place inside the value, and the cures.
        """
        kind = type(value)
        try:
            if kind in ATOMS and (as_type is None or as_type is kind):
                return Encoded(_encode_atom(value), 0)
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
                return _read(payload, _known(type_id)) if type_id else _decode_any(payload)
            if type_id:
                return _read(payload, _plans.of(as_type))
            value = _decode_any(payload)
            return value if type(value) is as_type else _conform(value, _plans.of(as_type))
        except Exception as error:  # classes run code of their own when restored
            raise undecodable(as_type, error) from error

    def type_id(self, as_type: object) -> int:
        """The id of a type, as it stands in the envelope; 0 for self-describing types."""
        return _plans.of(as_type).type_id


def _encode_atom(value: object) -> bytes:
    try:
        return encode_native(value)
    except (OverflowError, UnicodeEncodeError):
        return _pack(_exact.lower, value)


def _encode_any(value: object) -> bytes:
    cls = type(value)
    if cls in ATOMS or ((cls is list or cls is dict) and is_plain(value)):
        return _encode_atom(value)
    return _pack(_exact.lower, value)


def _pack(lower: Decode, value: object) -> bytes:
    try:
        return encode_native(lower(value))
    except UnicodeEncodeError:
        raise refusal_of_text(value) from None
    except RecursionError:
        raise refusal_of_depth(value) from None


def _encode_as(value: object, plan: Plan) -> Encoded:
    """Encode a value as a type, in the first of three forms that restores it exactly."""
    if not plan.type_id:
        payload = _encode_any(value)
        if type(value) is not plan.as_type and not fits(value, plan.as_type):
            _check(value, lambda: _conform(value, plan), plan)
        return Encoded(payload, 0)
    refusals = []
    for attempt in (_encode_directly, _encode_exactly, _encode_described):
        try:
            return attempt(value, plan)
        except Refusal as refusal:
            refusals.append(refusal)
    raise _clearest(refusals)


def _encode_body(value: object, cls: type) -> bytes:
    """The inside of a registered instance, to be decoded as its class."""
    plan = _plans.of(cls)
    try:
        return _encode_directly(value, plan).payload
    except Refusal as refusal:
        direct = refusal
    try:
        return _encode_described(value, plan).payload
    except Refusal as refusal:
        raise _clearest([direct, refusal]) from None


def _clearest(refusals: list[Refusal]) -> Refusal:
    """The refusal that points deepest into the value; the later one of equals."""
    return max(reversed(refusals), key=lambda refusal: len(refusal.steps))


def _encode_directly(value: object, plan: Plan) -> Encoded:
    """As msgspec writes the type."""
    try:
        payload = _encode_hooked(value)
    except Exception as error:
        raise refusal_of_mismatch(value, plan.as_type, error) from error
    _check(value, lambda: plan.decode(payload), plan)
    return Encoded(payload, plan.type_id)


def _encode_exactly(value: object, plan: Plan) -> Encoded:
    """As if no type were given: what is inside describes itself."""
    payload = _pack(_exact.lower, value)
    _check(value, lambda: _conform(_decode_any(payload), plan), plan)
    return Encoded(payload, 0)


def _encode_described(value: object, plan: Plan) -> Encoded:
    """Records as maps that the type restores, and all else describing itself."""
    payload = encode_native(Ext(DESCRIBED, _pack(_flat.flat, value)))
    _check(value, lambda: _read(payload, plan), plan)
    return Encoded(payload, plan.type_id)


def _check(value: object, restore: Callable[[], object], plan: Plan) -> None:
    try:
        lost = difference(value, restore())
    except Exception as error:
        raise refusal_of_mismatch(value, plan.as_type, error) from error
    if lost is not None:
        raise refusal_of_difference(lost)


def _read(payload: Any, plan: Plan) -> Any:
    """Decode what was encoded as a type, in either of its two forms."""
    if payload[0] not in _EXT_HEADS:
        return plan.decode(payload)
    ext = _read_ext(payload)
    if ext.code != DESCRIBED:
        return plan.decode(payload)
    return msgspec.convert(_decode_any(ext.data), plan.as_type, dec_hook=dec_hook)


def _conform(value: object, plan: Plan) -> object:
    if fits(value, plan.as_type):
        return value
    return msgspec.convert(value, plan.as_type, dec_hook=dec_hook)


def _known(type_id: int) -> Plan:
    as_type = type_of_id(type_id)
    if as_type is None:
        msg = (
            f"this process knows no type with the id {type_id:016x}; "
            "read with type=, or register the class with register_type()"
        )
        raise UndecodablePayload(msg)
    return _plans.of(as_type)


def _decode_nested(data: Any) -> Any:
    return _decode_any(data)


def _read_body(body: Any, cls: type) -> object:
    return _read(memoryview(body), _plans.of(cls))


_ext_hook = make_ext_hook(_decode_nested, _read_body)
_decode_any: Decode = Decoder(ext_hook=_ext_hook).decode
_plans = Plans(lambda as_type: Decoder(as_type, dec_hook=dec_hook, ext_hook=_ext_hook).decode)
_exact = Lowering(_encode_body, flatten=False)
_flat = Lowering(_encode_body, flatten=True)
