"""Pickle: a codec for objects that nothing else carries, and only with a signature."""

from __future__ import annotations

import pickle
from typing import Any, Final

from armature_cache.codecs._compare import fits
from armature_cache.codecs._describe import type_name, unwrap
from armature_cache.codecs._plans import Plans
from armature_cache.codecs._records import field_names, is_pydantic
from armature_cache.codecs.base import Encoded, Verified
from armature_cache.codecs.keyring import KeyRing
from armature_cache.codecs.protection import Signature
from armature_cache.codecs.sealed import Seal
from armature_cache.errors import ConfigError, UndecodablePayload, UnsupportedValue

_PROTOCOL: Final = 5

_plans: Final = Plans(lambda _: pickle.loads)


class PickleCodec:
    """Signed pickle: any object that pickle carries, for those who hold the keys.

    Reading a pickle runs whatever its writer wanted, so whoever has a secret of the ring can run
    code in every process that reads. What was not signed with one of `keys` for its namespace and
    key is never unpickled: it is a miss. To encrypt as well, give
    `SealedCodec(PickleCodec(keys), encrypt=keys)`.

    Changed classes are noticed where a field is missing from the object itself, not deeper within.
    """

    code: int = 3
    name: str = "pickle"
    verified_only: Final = True
    """It decodes nothing but `Verified` payloads."""

    def __init__(self, keys: KeyRing) -> None:
        if not isinstance(keys, KeyRing):
            raise ConfigError(
                "PickleCodec takes the KeyRing that signs its payloads: "
                "PickleCodec(KeyRing({1: secrets.token_bytes(32)}))",
                field="keys",
            )
        self.seal: Final = Seal(protection=Signature(keys))

    def encode(self, value: object, as_type: object = None) -> Encoded:
        """Encode `value`; raises `UnsupportedValue` for what pickle cannot carry."""
        try:
            payload = pickle.dumps(value, protocol=_PROTOCOL)
            pickle.loads(payload)  # noqa: S301 - made in the line above
        except Exception as error:
            raise UnsupportedValue(
                f"value is a {type_name(type(value))}, which cannot be pickled and restored "
                f"({type(error).__name__}). Store the data that it is made of.",
                value_type=type(value),
            ) from error
        type_id = self.type_id(as_type)
        if as_type is not None and not type_id and not _fits(value, as_type):
            raise UnsupportedValue(
                f"value is a {type_name(type(value))}, not a {type_name(as_type)} as annotated",
                value_type=type(value),
            )
        return Encoded(Verified(payload), type_id)

    def decode(self, payload: bytes | memoryview, type_id: int, as_type: object = None) -> Any:
        """Decode a payload whose signature was checked; raises `UndecodablePayload`."""
        if type(payload) is not Verified:
            raise UndecodablePayload("only a payload whose signature was checked is unpickled")
        try:
            value = pickle.loads(payload)  # noqa: S301 - signed by a holder of the keys
        except Exception as error:
            raise UndecodablePayload(
                f"the pickle cannot be restored ({type(error).__name__})"
            ) from error
        same_type = type_id != 0 and type_id == self.type_id(as_type)
        if not (_is_complete(value) if same_type else _fits(value, as_type)):
            raise UndecodablePayload(f"the pickle is not a {type_name(as_type)} of today")
        return value

    def type_id(self, as_type: object) -> int:
        """The id of a type, as it stands in the envelope; 0 for none in particular."""
        return 0 if as_type is None else _plans.of(as_type).type_id


def _fits(value: object, as_type: object) -> bool:
    if as_type is None or as_type is object or (type(value) is int and unwrap(as_type) is float):
        return True
    return fits(value, as_type)


def _is_complete(value: Any) -> bool:
    cls: Any = type(value)
    if is_pydantic(cls):
        return all(name in value.__dict__ for name in cls.model_fields)
    return all(hasattr(value, name) for name in field_names(cls) or ())
