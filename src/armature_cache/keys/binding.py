"""A call's arguments by parameter name, defaults applied: `f(1)`, `f(a=1)` are one call."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, Literal, NamedTuple, NoReturn

from armature_cache.errors import ConfigError

Arguments = tuple[object, ...]

Receiver = Literal["self", "cls"]
"""What a method is called on: an instance or a class."""

_REQUIRED: Final = inspect.Parameter.empty
_P: Final = inspect.Parameter


class Used(NamedTuple):
    """The positions of the arguments that count, in a call of `least` to `most` positional ones."""

    least: int
    most: int
    positions: tuple[int, ...]


class Parameters:
    """The parameters of a function; `bind` sorts the arguments of a call to them.

    `names` are in the order of the signature, without the receiver. Raises `ConfigError` for a
    function whose signature Python does not know.
    """

    __slots__ = (
        "_function",
        "_keyword",
        "_order",
        "_positional",
        "_rest",
        "_simple",
        "_tail",
        "names",
        "receiver",
    )

    def __init__(self, function: Callable[..., Any], *, has_receiver: bool) -> None:
        self._function = function
        parameters = list(_signature(function).parameters.values())
        self._positional = [
            (p.name, p.default, p.kind is _P.POSITIONAL_OR_KEYWORD)
            for p in parameters
            if p.kind in {_P.POSITIONAL_ONLY, _P.POSITIONAL_OR_KEYWORD}
        ]
        self._keyword = [(p.name, p.default) for p in parameters if p.kind is _P.KEYWORD_ONLY]
        self._rest = next((p.name for p in parameters if p.kind is _P.VAR_POSITIONAL), None)
        self._tail = next((p.name for p in parameters if p.kind is _P.VAR_KEYWORD), None)
        names = [p.name for p in parameters]
        self._order = tuple(names)
        self._simple = len(names) if len(names) == len(self._positional) else -1
        has_receiver = has_receiver and bool(self._positional)
        self.receiver = names.pop(0) if has_receiver else None
        self.names = tuple(names)

    @property
    def defaults(self) -> dict[str, object]:
        """The values that parameters have when a call does not give them."""
        pairs = [*((name, default) for name, default, _ in self._positional), *self._keyword]
        return {name: default for name, default in pairs if default is not _REQUIRED}

    def used(self, names: Collection[str]) -> Used | None:
        """Where these stand among the positional arguments, the receiver aside.

        None where they are all there is, or where calls cannot give them by position alone.
        """
        own = self._positional[0 if self.receiver is None else 1 :]
        order = [name for name, _, _ in own]
        must_be_named = any(default is _REQUIRED for _, default in self._keyword)
        if must_be_named or len(names) == len(self.names) or not set(names).issubset(order):
            return None
        positions = tuple(order.index(name) for name in names)
        required = [index for index, (_, default, _) in enumerate(own) if default is _REQUIRED]
        return Used(1 + max((*positions, *required), default=-1), len(order), positions)

    def bind(self, args: Arguments, kwargs: Mapping[str, object]) -> dict[str, object]:
        """The arguments by name, in the order of the signature, the receiver included.

        Those of `*args` are a tuple, and those of `**kwargs` a dict, under their parameter's name.
        Raises the `TypeError` that the call itself would raise.
        """
        if not kwargs and len(args) == self._simple:
            return dict(zip(self._order, args, strict=True))
        rest = dict(kwargs)
        bound = self._bind_positional(args, rest)
        for name, default in self._keyword:
            bound[name] = rest.pop(name, default)
        if self._tail is not None:
            bound[self._tail], rest = rest, {}
        if rest or any(value is _REQUIRED for value in bound.values()):
            self._fail(args, kwargs)
        return bound

    def _bind_positional(self, args: Arguments, rest: dict[str, object]) -> dict[str, object]:
        """What `args` and, taken out of it, `rest` give; what does not fit is `_REQUIRED`."""
        bound: dict[str, object] = {}
        given = len(args)
        for index, (name, default, by_name) in enumerate(self._positional):
            if index < given:
                bound[name] = _REQUIRED if by_name and name in rest else args[index]
            else:
                bound[name] = rest.pop(name, default) if by_name else default
        if self._rest is not None:
            bound[self._rest] = args[len(self._positional) :]
        elif given > len(self._positional):
            self._fail(args, rest)
        return bound

    def _fail(self, args: Arguments, kwargs: Mapping[str, object]) -> NoReturn:
        name = getattr(self._function, "__qualname__", repr(self._function))
        try:
            _signature(self._function).bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{name}(): {error}") from None
        raise TypeError(f"{name}(): the arguments do not fit")  # pragma: no cover

    def check_ignored(self, ignore: Collection[str], closure: Collection[str] = ()) -> None:
        """Raises `ConfigError` for a name that is neither a parameter nor a closure variable."""
        known = [*self.names, *([self.receiver] if self.receiver else []), *closure]
        for name in ignore:
            if name not in known:
                raise ConfigError(
                    f"ignore names {name!r}, which is no parameter; there are: {listing(known)}",
                    field="ignore",
                )


def listing(names: Collection[str]) -> str:
    """Names for a message: `a, b`, or `none`."""
    return ", ".join(names) if names else "none"


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"the parameters of {function!r} cannot be read ({error}): wrap it in a function of "
            "your own",
            field="function",
        ) from None
