"""The type that a function's results are decoded to: its return annotation."""

from __future__ import annotations

import inspect
import sys
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from armature_cache._missing import UNSET

_PAIR: Final = 2
_OPEN: Final = {Any, typing.Never, typing.NoReturn, typing.Self}


def return_type(function: Callable[..., Any]) -> object | None:
    """What a function says it returns; of a coroutine function, what awaiting it gives.

    None where it says nothing that helps: no annotation, `Any`, `object`, one with type
    variables, or one whose names cannot be found in the function's module.
    """
    function = inspect.unwrap(function)
    annotation = _annotation(function)
    if annotation is inspect.Parameter.empty:
        return None
    holder = types.SimpleNamespace(__annotations__={"return": annotation})
    try:
        hints = typing.get_type_hints(
            holder, globalns=getattr(function, "__globals__", {}), include_extras=True
        )
        return None if _is_open(hints["return"]) else hints["return"]
    except Exception:  # noqa: BLE001 - an annotation is any expression
        return None


def value_type(function: Callable[..., Any], absent: object) -> object | None:
    """The type of the values of the mapping that a function says it returns, errors aside.

    With an `absent`, that is one of them. None as for `return_type`.
    """
    mapping = return_type(function)
    arguments = typing.get_args(mapping)
    origin = typing.get_origin(mapping)
    if not isinstance(origin, type) or not issubclass(origin, Mapping) or len(arguments) != _PAIR:
        return None
    value = arguments[1]
    union = typing.get_origin(value) in {typing.Union, types.UnionType}
    kinds = [
        kind for kind in (typing.get_args(value) if union else (value,)) if not _is_error(kind)
    ]
    if not kinds or any(map(_is_open, kinds)):
        return None
    if absent is not UNSET:
        kinds.append(type(absent))
    return typing.Union[tuple(kinds)]  # noqa: UP007 - made of a list


def _is_error(hint: object) -> bool:
    return isinstance(hint, type) and issubclass(hint, Exception)


def _is_open(hint: object) -> bool:
    if isinstance(hint, type):
        return hint is object or hint is Any
    return isinstance(hint, TypeVar) or bool(getattr(hint, "__parameters__", ())) or hint in _OPEN


def _annotation(function: Callable[..., Any]) -> object:
    if sys.version_info >= (3, 14):
        import annotationlib

        found = annotationlib.get_annotations(function, format=annotationlib.Format.FORWARDREF)
    else:
        found = getattr(function, "__annotations__", {})
    return found.get("return", inspect.Parameter.empty)
