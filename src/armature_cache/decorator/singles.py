"""What a function of many keys is for one of them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from armature_cache._missing import UNSET
from armature_cache.decorator.windows import not_loaded
from armature_cache.errors import ConfigError
from armature_cache.keys import Receiver

Many = Callable[..., Any]
"""A function of several keys, after its receiver if it has one."""


def checked_answers(loaded: object, asked: Sequence[object], name: str) -> Mapping[Any, object]:
    """What a function of many keys has returned; raises `ConfigError`."""
    if not isinstance(loaded, Mapping):
        raise ConfigError(
            f"{name} is to return a mapping of keys to values, not {type(loaded).__name__}",
            field="function",
        )
    if len(loaded) > len(asked) or not loaded.keys() <= set(asked):
        strangers = [key for key in loaded if key not in set(asked)]
        raise ConfigError(
            f"{name} returned keys that it was not asked for: {strangers[:3]!r:.100}",
            field="function",
        )
    return loaded


def single(function: Many, receiver: Receiver | None, absent: object) -> Callable[..., Any]:
    """The function of one key that a function of many keys gives.

    Raises `ConfigError` for a function that takes anything but keys.
    """
    field = _key_parameter(function, receiver)
    name = function.__qualname__

    def pick(loaded: object, asked: Any) -> Any:
        answers = checked_answers(loaded, [asked], name)
        value = answers.get(asked, absent)
        if isinstance(value, Exception):
            raise value
        if value is UNSET:
            raise not_loaded(asked)
        return value

    async def one_async(*args: Any) -> Any:
        return pick(await function(*args[:-1], [args[-1]]), args[-1])

    def one(*args: Any) -> Any:
        return pick(function(*args[:-1], [args[-1]]), args[-1])

    found: Any = one_async if inspect.iscoroutinefunction(function) else one
    functools.update_wrapper(found, function)
    names = [] if receiver is None else [next(iter(inspect.signature(function).parameters))]
    kind = inspect.Parameter.POSITIONAL_ONLY
    found.__signature__ = inspect.Signature(
        [inspect.Parameter(each, kind) for each in (*names, field)]
    )
    return found  # type: ignore[no-any-return]


def _key_parameter(function: Many, receiver: Receiver | None) -> str:
    """What one of the keys is called in templates: `user_id`, if the parameter is `user_ids`."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    own = parameters[0 if receiver is None else 1 :]
    kinds = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
    if len(own) != 1 or own[0].kind not in kinds:
        raise ConfigError(
            f"{function!r:.100} is to take one parameter, the list of keys (after self or cls); "
            "what else it needs can be an attribute of self",
            field="function",
        )
    name = own[0].name
    return name[:-1] if name.endswith("s") and len(name) > 1 else name
