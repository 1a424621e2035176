"""Keys and tags that a writing function names: by templates, or by the functions that read."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from armature_cache.decorator.calls import Calls
from armature_cache.decorator.functions import AsyncCachedFunction, CachedFunction
from armature_cache.decorator.store import core_of
from armature_cache.errors import ConfigError
from armature_cache.keys import CallKeys, Receiver, Template
from armature_cache.keys.binding import Parameters, listing
from armature_cache.options import check_tag
from armature_cache.stores.base import CacheStore

AnyCachedFunction = CachedFunction[..., Any] | AsyncCachedFunction[..., Any]
"""A decorated function of either face."""

KeySource = str | AnyCachedFunction
"""A key template, or the function whose entry is meant: that of the arguments of the same names."""

RESULT: Final = "result"
"""What templates call the result of the function, unless that is a parameter of it."""

Bound = Mapping[str, object]
_SINGLE: Final = {
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.KEYWORD_ONLY,
}


class Target:
    """The entry of a cached function that a call of another function changes.

    It is that of the arguments of the same names, and of the same receiver. Raises `ConfigError`
    where the writing function does not have what it takes.
    """

    __slots__ = ("_calls", "_name", "_names", "_of", "_positional", "_receiver")

    def __init__(
        self,
        function: AnyCachedFunction,
        parameters: Parameters,
        receiver: Receiver | None,
        field: str,
    ) -> None:
        self._calls: Calls = function._calls
        self._of: tuple[Any, ...] = function.args
        self._name, self._receiver = parameters.receiver, receiver
        self._names: list[str] = []
        self._positional: list[str] = []
        missing = []
        for name, parameter in inspect.signature(self._calls.function).parameters.items():
            if name == self._calls.keys.parameters.receiver:
                continue
            if parameter.kind not in _SINGLE:
                raise _unfit(self._calls, field, f"its parameter {name!r} takes any number")
            if name in parameters.names:
                by_name = parameter.kind is not inspect.Parameter.POSITIONAL_ONLY
                (self._names if by_name else self._positional).append(name)
            elif parameter.default is inspect.Parameter.empty:
                missing.append(name)
        if missing:
            raise _unfit(
                self._calls, field, f"the function has no parameter {listing(missing)}; it has: "
                f"{listing(parameters.names)}"
            )  # fmt: skip
        if not self._of and self._calls.receiver not in {None, "cls", receiver}:
            raise _unfit(self._calls, field, "it is a method, and the function has no self")
        if not self._of and self._calls.receiver == "cls" and receiver is None:
            raise _unfit(self._calls, field, "it is a classmethod, and the function has no class")

    @property
    def calls(self) -> Calls:
        """The calls of the cached function."""
        return self._calls

    def call(self, bound: Bound) -> tuple[tuple[Any, ...], dict[str, object]]:
        """The call whose entry is meant, as positional and named arguments."""
        first = self._of
        if not first and self._calls.has_receiver and self._name is not None:
            on = bound[self._name]
            first = (type(on) if self._calls.receiver != self._receiver else on,)
        given = (bound[name] for name in self._positional)
        return (*first, *given), {name: bound[name] for name in self._names}

    def core(self, bound: Bound) -> CacheStore:
        """What stands behind the store that the entry is in."""
        return core_of(self._calls.store_of(*self.call(bound)))

    def key(self, bound: Bound) -> str:
        """The key of the entry."""
        return self._calls.key(*self.call(bound))


def _unfit(calls: Calls, field: str, reason: str) -> ConfigError:
    return ConfigError(
        f"the entry of {calls.name} cannot be told by {field}: {reason}; give a key template",
        field=field,
    )


def key_templates(
    sources: Iterable[str], function: Callable[..., Any], receiver: Receiver | None
) -> tuple[CallKeys, ...]:
    """Key templates over the arguments and the result of a function; `ConfigError`."""
    return tuple(
        CallKeys(function, template=source, receiver=receiver, also=(RESULT,)) for source in sources
    )


def tag_templates(sources: Iterable[str], parameters: Parameters) -> tuple[Template, ...]:
    """Tag templates over arguments and the result; `ConfigError`, `InvalidTag`."""
    also = [RESULT, *([parameters.receiver] if parameters.receiver else [])]
    made = tuple(Template(source, parameters.names, also=also, option="tags") for source in sources)
    for template in made:
        if template.is_fixed:
            check_tag(template.fill({}))
    return made


def needs_result(
    keys: Iterable[CallKeys], tags: Iterable[Template], parameters: Parameters
) -> bool:
    """Whether some of these can be filled only after the function has returned."""
    if RESULT in parameters.names:
        return False
    return any(key.needs(RESULT) for key in keys) or any(tag.names(RESULT) for tag in tags)


def split(
    sources: KeySource | Iterable[KeySource],
    parameters: Parameters,
    receiver: Receiver | None,
    field: str,
) -> tuple[list[str], list[Target]]:
    """Key templates, and the entries of cached functions, among what was given; `ConfigError`."""
    texts: list[str] = []
    targets: list[Target] = []
    for source in several_sources(sources):
        found: Any = source
        if isinstance(found, classmethod | staticmethod):
            found = found.__func__
        if isinstance(found, str):
            texts.append(found)
        elif isinstance(found, CachedFunction | AsyncCachedFunction):
            targets.append(Target(found, parameters, receiver, field))
        else:
            raise ConfigError(
                f"{field} takes key templates and cached functions, not {source!r:.80}",
                field=field,
            )
    return texts, targets


def several_sources(sources: KeySource | Iterable[KeySource]) -> tuple[KeySource, ...]:
    """One source or several, as several."""
    if isinstance(sources, str | CachedFunction | AsyncCachedFunction):
        return (sources,)
    return tuple(sources) if isinstance(sources, Iterable) else (sources,)
