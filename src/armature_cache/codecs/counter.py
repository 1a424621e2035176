"""The payload of counters: a decimal integer that the server can add to."""

from __future__ import annotations

from typing import Final

from armature_cache.errors import UndecodablePayload

_DIGITS: Final = 20
COUNTER_CODE: Final = 255
"""The number of this payload form in the envelope."""


def decode_counter(payload: bytes | memoryview) -> int:
    """The integer; `UndecodablePayload` for anything but one of 64 bits."""
    raw = bytes(payload)
    if 0 < len(raw) <= _DIGITS and raw.lstrip(b"-").isdigit():
        number = int(raw)
        if -(2**63) <= number < 2**63:
            return number
    raise UndecodablePayload("not a 64-bit integer")
