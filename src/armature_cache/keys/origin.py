"""A function's name in its keys: where it was defined and, for closures, around what."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Collection, Iterator
from typing import Any, Final

from armature_cache.errors import ConfigError
from armature_cache.keys.names import clean, module_name, private_mark
from armature_cache.keys.values import Unkeyable, render

_taken: dict[str, types.CodeType] = {}

_BY_IDENTITY: Final = (list, dict, set, bytearray)
"""Containers that change: two closures around equal ones are still two closures."""


class Origin:
    """Where a function comes from; `name` is its part of every default key.

    `private` says that the name means nothing in other processes: the function was made inside
    another one, around a variable that has no stable text (a client, a list, a local function).
    """

    __slots__ = ("_function", "_ignore", "_mark", "_name", "place", "private")

    def __init__(self, function: Callable[..., Any], ignore: Collection[str] = ()) -> None:
        self._function = inspect.unwrap(function)
        self._ignore = ignore
        self._mark = private_mark()
        self._name: str | None = None
        self.place = _place(self._function)
        self.private: str | None = None

    @property
    def name(self) -> str:
        """Module, qualified name and what else it takes to tell this function from all others.

        Closure variables go in with the values that they have at the first call.
        """
        if self._name is None:
            self._name = self.place + self._surroundings()
        return self._name

    def _surroundings(self) -> str:
        parts = []
        for variable, value in _closure(self._function):
            if variable in self._ignore or _is_same(value, self._function):
                continue
            try:
                parts.append(f"{variable}={_stable(value)}")
            except Unkeyable:
                self.private = variable
                return f"[#{self._mark}]"
        return f"[{','.join(parts)}]" if parts else ""


def closure_names(function: Callable[..., Any]) -> list[str]:
    """The names of the variables that a function takes from the function around it."""
    return [name for name, _ in _closure(inspect.unwrap(function))]


def _place(function: Callable[..., Any]) -> str:
    qualname = getattr(function, "__qualname__", None)
    if not isinstance(qualname, str):
        raise ConfigError(
            f"{type(function).__name__} objects have no name to make keys of: decorate a function",
            field="function",
        )
    place = f"{module_name(function.__module__ or '')}:{clean(qualname)}"
    code = getattr(function, "__code__", None)
    if not isinstance(code, types.CodeType):
        return place
    if "<" in qualname or place.startswith("__main__:"):
        place = f"{place}@{_position(code)}"
    return _claim(place, code)


def _position(code: types.CodeType) -> str:
    if code.co_name != "<lambda>":
        return str(code.co_firstlineno)
    columns = (column for _, _, column, _ in code.co_positions() if column)
    return f"{code.co_firstlineno}:{next(columns, 0)}"


def _claim(place: str, code: types.CodeType) -> str:
    """The place; with its line where a different function of the same name came first."""
    if _taken.setdefault(place, code) == code:
        return place
    base = place if "@" in place else f"{place}@{_position(code)}"
    name, number = base, 1
    while _taken.setdefault(name, code) != code:
        number += 1
        name = f"{base}~{number}"
    return name


def _closure(function: Callable[..., Any]) -> Iterator[tuple[str, object]]:
    code = getattr(function, "__code__", None)
    cells = getattr(function, "__closure__", None)
    if code is None or cells is None:
        return
    for name, cell in zip(code.co_freevars, cells, strict=True):
        if name != "__class__":
            try:
                yield name, cell.cell_contents
            except ValueError:
                yield name, None


def _is_same(value: object, function: Callable[..., Any]) -> bool:
    return inspect.unwrap(value) is function if callable(value) else False


def _stable(value: object) -> str:
    """The text of a closure variable; `Unkeyable` for whatever may change or is not shared."""
    if isinstance(value, types.ModuleType):
        return f"module({module_name(value.__name__)})"
    if isinstance(value, types.FunctionType | types.BuiltinFunctionType):
        return _stable_function(value)
    if isinstance(value, _BY_IDENTITY) or (
        isinstance(value, type) and "<locals>" in value.__qualname__
    ):
        raise Unkeyable(value)
    return render(value)


def _stable_function(value: types.FunctionType | types.BuiltinFunctionType) -> str:
    name = f"{module_name(value.__module__ or '')}:{clean(value.__qualname__)}"
    if isinstance(value, types.BuiltinFunctionType):
        if not isinstance(value.__self__, types.ModuleType | None):
            raise Unkeyable(value)
    elif "<" in name:
        if value.__closure__ or value.__defaults__ or value.__kwdefaults__:
            raise Unkeyable(value)
        name = f"{name}@{_position(value.__code__)}"
    return f"function({name})"
