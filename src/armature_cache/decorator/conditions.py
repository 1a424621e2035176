"""Conditions of decorated functions: on the arguments of a call, and on its result."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final

from armature_cache.errors import ConfigError
from armature_cache.keys.binding import Arguments, Parameters, listing

OnArguments = Callable[..., bool]
"""A condition on the arguments of a call: it takes those that it names, defaults applied."""

OnResult = Callable[[Any], bool]
"""A condition on what a function returned."""

_P: Final = inspect.Parameter


class ArgumentTest:
    """A condition on the arguments of a call, which are given to it by name.

    Raises `ConfigError` for one that names what is no parameter of the function.
    """

    __slots__ = ("_all", "_by_name", "_by_position", "_parameters", "_test")

    def __init__(self, test: OnArguments, parameters: Parameters) -> None:
        self._test = test
        self._parameters = parameters
        known = [*parameters.names, *([parameters.receiver] if parameters.receiver else [])]
        self._by_position: list[str] = []
        self._by_name: list[str] = []
        self._all = False
        for wanted in _signature(test, "when").parameters.values():
            if wanted.kind is _P.VAR_KEYWORD:
                self._all = True
            elif wanted.kind is _P.VAR_POSITIONAL:
                raise _bad("when", "takes arguments by name, so that *args would stay empty")
            elif wanted.name in known:
                by_name = wanted.kind is not _P.POSITIONAL_ONLY
                (self._by_name if by_name else self._by_position).append(wanted.name)
            elif wanted.default is _P.empty:
                raise _bad(
                    "when", f"names {wanted.name!r}, which is no parameter; there are: "
                    f"{listing(known)}"
                )  # fmt: skip

    def holds(self, args: Arguments, kwargs: Mapping[str, object]) -> bool:
        """Whether the condition holds for a call."""
        bound = self._parameters.bind(args, kwargs)
        first = [bound.pop(name) for name in self._by_position]
        named = bound if self._all else {name: bound[name] for name in self._by_name}
        return bool(self._test(*first, **named))


def check_on_arguments(test: OnArguments | None) -> OnArguments | None:
    """The condition, if it is a plain function; else `ConfigError`."""
    return None if test is None else _plain("when", test)


def check_on_result(test: OnResult | None) -> OnResult | None:
    """The condition, if it is a plain function of one argument; else `ConfigError`."""
    if test is None:
        return None
    _plain("unless", test)
    try:
        inspect.signature(test).bind(None)
    except TypeError:
        raise _bad("unless", "takes one argument, the result") from None
    except ValueError:
        pass  # a builtin such as `bool` does not say what it takes
    return test


def _plain(field: str, test: Any) -> Any:
    if not callable(test):
        raise _bad(field, f"is a function that returns a bool, not {type(test).__name__}")
    if inspect.iscoroutinefunction(test):
        raise _bad(field, "is a plain function: what a coroutine function returns is always true")
    return test


def _signature(test: Callable[..., object], field: str) -> inspect.Signature:
    try:
        return inspect.signature(test)
    except (TypeError, ValueError):
        raise _bad(field, "has parameters that cannot be read: wrap it in a lambda") from None


def _bad(field: str, reason: str) -> ConfigError:
    return ConfigError(f"the condition {field}= {reason}", field=field)
