"""What a codec is: values to payload bytes and back, typed."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Encoded(NamedTuple):
    """A payload and what it takes to decode it.

    `type_id` is the 64-bit id of the type that the value was encoded as, or 0 when the payload
    describes itself.
    """

    payload: bytes
    type_id: int


class Verified(bytes):
    """A payload whose writer is known to hold a secret of this process's configuration.

    Nothing but the check of a signature or of an encryption makes one of stored bytes.
    """

    __slots__ = ()


class Codec(Protocol):
    """Turns values into payload bytes and back; holds no state of any entry."""

    code: int
    """The codec's number in the envelope, 1 to 255. A number is never reused."""

    name: str

    def encode(self, value: object, as_type: object = None) -> Encoded:
        """Encode `value`, as `as_type` when that is given.

        Raises `UnsupportedValue` for a value that `decode` could not restore.
        """
        ...

    def decode(self, payload: bytes | memoryview, type_id: int, as_type: object = None) -> object:
        """Decode a payload, to `as_type` when that is given.

        Raises `UndecodablePayload` for anything that does not decode to the asked type.
        """
        ...

    def type_id(self, as_type: object) -> int:
        """The id of a type, as it stands in the envelope; 0 for self-describing types."""
        ...
