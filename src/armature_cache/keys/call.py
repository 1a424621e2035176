"""The keys of a function's calls."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, NoReturn

from armature_cache.errors import CacheKeyError, ConfigError
from armature_cache.keys.binding import Arguments, Parameters, Receiver
from armature_cache.keys.length import shortened
from armature_cache.keys.memo import PLAIN, KeyFunction, is_fixed, remembered
from armature_cache.keys.names import type_name
from armature_cache.keys.origin import Origin, closure_names
from armature_cache.keys.templates import Template, key_text
from armature_cache.keys.values import Unkeyable, cache_key_of, render

_PARTS: Final = 256


class CacheKeyWarning(RuntimeWarning):
    """Entries are shared, or cannot be shared, in a way that is easily overlooked."""


class CallKeys:
    """Turns the calls of one function into keys.

    Without a `template` a key is the function's name and its arguments, fully typed. `ignore`
    names arguments, and closure variables, that stay out of it. `receiver` says what the first
    parameter is, if it is what a method is called on. A receiver stays out of the key, except for
    what an instance says in `__cache_key__` (unless the template names the receiver), and for the
    attributes that the template names. One `CacheKeyWarning` a function is drawn when there is a
    template and an instance that says nothing, or when a second class calls a classmethod;
    `ignore=("self",)` or `("cls",)` turns it off.

    Raises `ConfigError` for a template or an ignored name that does not fit the function.
    """

    __slots__ = (
        "_also",
        "_first_class",
        "_ignored",
        "_keyed",
        "_known",
        "_origin",
        "_parts",
        "_receiver",
        "_template",
        "_warned",
        "key",
        "parameters",
        "plain",
    )

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        template: str | None = None,
        ignore: Collection[str] = (),
        receiver: Receiver | None = None,
        also: Collection[str] = (),
    ) -> None:
        self._also = also
        self._receiver = receiver
        self._ignored = frozenset(ignore)
        self._origin = Origin(function, ignore)
        self.parameters = Parameters(function, has_receiver=receiver is not None)
        self.parameters.check_ignored(ignore, closure_names(function))
        self._keyed = [name for name in self.parameters.names if name not in self._ignored]
        self._template = None if template is None else self.template(template, option="key")
        self._first_class: object = None
        self._known: dict[object, str] = {}
        self._parts: dict[tuple[type, object], str] = {}
        self.plain: Mapping[object, str] | None = None
        """Known keys of calls that give, after the receiver, only arguments of the types `PLAIN`
        by position; None where that is not enough to go by."""
        self._warned = False
        self.key = self._key_function(receiver)
        """The key of a call, from its positional arguments and a dict of its named ones."""

    def template(self, source: str, *, option: str) -> Template:
        """A template over this function's arguments; `option` is `key`, `tag` or `tags`."""
        also = [*self._also]
        if self.parameters.receiver is not None:
            also.append(self.parameters.receiver)
        if option != "key":
            also += sorted(self._ignored.intersection(self.parameters.names))
        return Template(source, self._keyed, also=also, option=option)

    @property
    def name(self) -> str:
        """The function, for messages: module and qualified name."""
        return self._origin.place

    @property
    def private_because_of(self) -> str | None:
        """The closure variable that keeps the keys from meaning anything in other processes."""
        return self._origin.private

    def filled(self, values: Mapping[str, object]) -> str:
        """The key that the template gives for arguments, and for what `also` names.

        The same as that of a reader of this template, on the same receiver.
        """
        if self._template is None:
            raise ConfigError("there is no template to fill", field="key")
        part, name = "", self.parameters.receiver
        if self._receiver == "self" and name is not None and not self._template.names(name):
            try:
                said = cache_key_of(values[name])
                part = "" if said is None else self._said(type(values[name]), said)
            except Unkeyable as error:
                self._refuse(name, values[name], error)
        return shortened(part + self._template.fill(values))

    def needs(self, name: str) -> bool:
        """Whether the template names this."""
        return self._template is not None and self._template.names(name)

    def _key_function(self, receiver: Receiver | None) -> KeyFunction:
        template, name = self._template, self.parameters.receiver
        names_it = template is not None and name is not None and template.names(name)
        changeable = template is not None and (names_it or template.has_attributes)
        fixed = all(
            parameter in self._ignored or is_fixed(default)
            for parameter, default in self.parameters.defaults.items()
        )
        compute: KeyFunction = self._compute
        if fixed and not changeable:
            used = self.parameters.used(self._used())
            compute = remembered(compute, self._known, used)
            if used is None and (receiver is None or name in self._ignored):
                self.plain = self._known
        if receiver is None or name is None:
            return compute
        is_silent = names_it or name in self._ignored
        part = self._no_part if is_silent else self._part
        if receiver == "cls":
            part = self._no_part if is_silent else self._watch

        def method_key(
            args: Arguments,
            kwargs: Mapping[str, object],
            _part: str = "",
            _target: object = None,
            /,
        ) -> str:
            if not args:
                args, kwargs = self._lift(kwargs)
            target = args[0]
            return compute(args[1:], kwargs, part(target), target)

        return method_key

    def _used(self) -> list[str]:
        """The parameters that keys are made of, the receiver aside."""
        if self._template is None:
            return self._keyed
        return [name for name in self._keyed if self._template.names(name)]

    def _compute(
        self,
        args: Arguments,
        kwargs: Mapping[str, object],
        part: str = "",
        target: object = None,
        /,
    ) -> str:
        if self.parameters.receiver is not None:
            args = (target, *args)
        bound = self.parameters.bind(args, kwargs)
        if self._template is not None:
            return shortened(part + self._template.fill(bound))
        inner = []
        for name in self._keyed:
            value = bound[name]
            try:
                inner.append(f"{name}={render(value)}")
            except Unkeyable as error:
                self._refuse(name, value, error)
        return shortened(f"{self._origin.name}{part}({','.join(inner)})")

    def _refuse(self, name: str, value: object, error: Unkeyable) -> NoReturn:
        kind = type(error.value)
        what = f"it is a {kind.__module__}.{kind.__qualname__}"
        if error.value is not value:
            what = f"it contains a {kind.__module__}.{kind.__qualname__}"
        reason = f", and {error.reason}" if error.reason else ""
        raise CacheKeyError(
            f"argument {name!r} of {self.name} cannot be part of a stable key: {what}{reason}. "
            f'Leave it out with ignore=("{name}",), give its class a __cache_key__, or name what '
            f'matters in a template such as key="...:{{{name}.id}}"',
            argument=name,
        ) from None

    def _no_part(self, _target: object) -> str:
        return ""

    def _part(self, target: object) -> str:
        try:
            said = cache_key_of(target)
            if said is not None:
                return self._said(type(target), said)
        except Unkeyable as error:
            self._refuse(self.parameters.receiver or "self", target, error)
        if self._template is not None and not self._warned:
            self._warn(
                f"{self.name}: all instances share entries, because self is not in the key; give "
                f"{type(target).__qualname__} a __cache_key__, name what tells instances apart in "
                'a template such as key="{self.tenant}:...", or accept it with ignore=("self",)'
            )
        return ""

    def _said(self, kind: type, said: object) -> str:
        """What an instance of this class says in `__cache_key__`, as part of a key."""
        part = self._parts.get((kind, said)) if type(said) in PLAIN else None
        if part is None:
            if self._template is not None:
                part = f"{key_text(said, '|')}|"
            else:
                part = f"[{type_name(kind)}<{render(said)}>]"
            if type(said) in PLAIN:
                if len(self._parts) >= _PARTS:
                    self._parts.clear()
                self._parts[kind, said] = part
        return part

    def _watch(self, target: object) -> str:
        if target is not self._first_class:
            if self._first_class is None:
                self._first_class = target
            elif not self._warned:
                self._warn(
                    f"{self.name}: all classes share entries, because cls is not in the key; name "
                    'it in a template such as key="{cls}:..." or "{cls.table}:...", or accept it '
                    'with ignore=("cls",)'
                )
        return ""

    def _warn(self, message: str) -> None:
        self._warned = True
        warnings.warn(message, CacheKeyWarning, stacklevel=5)

    def _lift(self, kwargs: Mapping[str, object]) -> tuple[Arguments, Mapping[str, object]]:
        """A call that names its receiver, as one that does not."""
        name = self.parameters.receiver
        if name not in kwargs:
            self.parameters.bind((), kwargs)
        rest = {key: value for key, value in kwargs.items() if key != name}
        return (kwargs[name],) if name else (), rest
