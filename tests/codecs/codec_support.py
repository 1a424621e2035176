"""Equality that counts types, at every level."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any


def same(left: Any, right: Any) -> bool:
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        pairs = zip(left.items(), right.items(), strict=False)
        return len(left) == len(right) and all(
            same(a, b) for pair in pairs for a, b in zip(*pair, strict=True)
        )
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if dataclasses.is_dataclass(left):
        fields = dataclasses.fields(left)
        return all(same(getattr(left, one.name), getattr(right, one.name)) for one in fields)
    if isinstance(left, set | frozenset):
        tokens = [sorted(map(token, one)) for one in (left, right)]
        return tokens[0] == tokens[1]
    return bool(left == right or (left != left and right != right))  # noqa: PLR0124  NaN


def token(value: Any) -> str:
    if isinstance(value, tuple | frozenset):
        return f"{type(value).__name__}({sorted(map(token, value))})"
    if isinstance(value, dt.datetime | dt.time):
        return f"{type(value).__name__}:{value.isoformat()}"
    return f"{type(value).__name__}:{value!r}"


def round_trip(codec: Any, value: Any, as_type: Any = None) -> Any:
    encoded = codec.encode(value, as_type)
    assert type(encoded.payload) is bytes
    return codec.decode(memoryview(encoded.payload), encoded.type_id, as_type)
