"""The type that a function's results are decoded to: its return annotation."""

from __future__ import annotations

import inspect
import sys
import types
import typing
from collections.abc import Callable
from typing import Any, Final, TypeVar

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
