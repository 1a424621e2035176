"""What one decorated function knows: its keys, its options, its store and its counts."""

from __future__ import annotations

import inspect
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from armature_cache._missing import UNSET, Unset
from armature_cache.decorator.defaults import Slot, check_face, default_slot, get_default_cache
from armature_cache.decorator.options import CacheOptions
from armature_cache.decorator.returns import return_type
from armature_cache.decorator.store import Face, Lender, Store, face_of, fits, is_shared
from armature_cache.entry import Entry
from armature_cache.errors import ConfigError
from armature_cache.keys import CacheKeyWarning, Receiver

Arguments = tuple[Any, ...]
Named = Mapping[str, Any]

NONE: Final = object()
"""In place of a positional argument that a call does not have."""

_CLASS_NAMES: Final = {"cls", "mcs", "metacls"}


@dataclass(frozen=True, slots=True)
class FunctionStats:
    """Counts of one decorated function in this process, over all instances and stores.

    `hits` are calls answered without running the function, by the cache or by another caller's
    run; `misses` are runs of the function, refreshes included; `errors` are runs that raised.
    Without the interpreter's global lock, hits are approximate.
    """

    hits: int = 0
    misses: int = 0
    errors: int = 0


class Calls:
    """The calls of one decorated function."""

    __slots__ = (
        "_lender",
        "_options",
        "_receiver",
        "_sharing_checked",
        "_store_class",
        "_tags",
        "_want",
        "errors",
        "face",
        "function",
        "has_receiver",
        "hits",
        "key",
        "keys",
        "misses",
        "plain",
        "slot",
    )

    def __init__(
        self,
        function: Callable[..., Any],
        options: CacheOptions,
        *,
        receiver: Receiver | None,
    ) -> None:
        self.function = function
        self.face: Face = "async" if inspect.iscoroutinefunction(function) else "sync"
        self._options = options
        self._lender = options.using if isinstance(options.using, Lender) else None
        self._want: object | Unset = UNSET if options.type is None else options.type
        self._sharing_checked = False
        self._store_class: type | None = None
        self.hits = self.misses = self.errors = 0
        self.receive(receiver)

    def receive(self, receiver: Receiver | None) -> None:
        """Take the first parameter for what a method is called on."""
        self._receiver = receiver
        self.keys = self._options.keys_of(self.function, receiver)
        self.key, self.plain = self.keys.key, self.keys.plain
        self.has_receiver = receiver is not None
        self._tags = self._options.tag_templates(self.keys)
        self.slot = self._slot()

    def _slot(self) -> Slot:
        if self._lender is not None:
            return Slot()
        if self._options.using is not None:
            store = cast("Store", self._options.using)
            return Slot(check_face(store, self.face, self.keys.name))
        return default_slot(self.face) if self._receiver is None else Slot()

    def locate(self, first: object, kwargs: Named) -> Store:
        """The store of a call: the one given, the `cache` of its receiver, or the default.

        `first` is the first positional argument, or `NONE`. Raises `ConfigError` for a store of
        the other face.
        """
        if self.slot.store is not None:
            return self.slot.store
        if self._lender is not None:
            lent = self._lender.lend(self.face)
            self.slot.store = check_face(lent, self.face, self.keys.name)
            return lent
        if self.has_receiver:
            if first is NONE:
                first = kwargs.get(self.keys.parameters.receiver or "")
            candidate: Any = getattr(first, "cache", None)
            if type(candidate) is self._store_class:
                return candidate  # type: ignore[return-value]
            if face_of(candidate) is not None:
                found = check_face(candidate, self.face, self.keys.name, call="self.cache = ")
                self._store_class = type(candidate)
                return found
        return get_default_cache(self.face)

    def tags(self, args: Arguments, kwargs: Named) -> tuple[str, ...]:
        """The tags of a call, in order, each once."""
        if not self._tags:
            return ()
        bound = self.keys.parameters.bind(args, kwargs)
        return tuple(dict.fromkeys(template.fill(bound) for template in self._tags))

    def want(self) -> object | None:
        """The type that results are decoded to; None if nothing is known of it."""
        if self._want is UNSET:
            self._want = return_type(self.function)
        return self._want

    def storing(self, store: Store, args: Arguments, kwargs: Named) -> dict[str, Any]:
        """How the result of a call is stored."""
        if not self._sharing_checked:
            self._sharing_checked = True
            self._check_sharing(store)
        return {
            "ttl": self._options.ttl,
            "tags": self.tags(args, kwargs),
            "type": self.want(),
            "cache_none": self._options.cache_none,
            **self._options.policy,
        }

    def fits(self, store: Store, entry: Entry) -> bool:
        """Whether a resident entry is what this function returns."""
        want = self.want()
        return want is None or fits(store, entry, want)

    def stats(self) -> FunctionStats:
        """The counts so far."""
        return FunctionStats(self.hits, self.misses, self.errors)

    def complete(self, args: Arguments) -> Arguments:
        """The arguments with the class that a classmethod was asked about.

        From Python 3.13 on, `C.method.invalidate(1)` does not tell the class if `@classmethod`
        stands above `@cache`: it is taken to be the class that defines the method.
        """
        if self._receiver != "cls":
            return args
        function = inspect.unwrap(self.function)
        module, path = function.__module__, function.__qualname__.rpartition(".")[0]
        if args and isinstance(args[0], type):
            names = {(base.__module__, base.__qualname__) for base in args[0].__mro__}
            if (module, path) in names:
                return args
        found: object = sys.modules.get(module)
        for part in path.split("."):
            found = getattr(found, part, None)
        if not isinstance(found, type):
            raise ConfigError(
                f"{self.keys.name}: the class is not known here; write @cache above @classmethod",
                field="function",
            )
        return (found, *args)

    def _check_sharing(self, store: Store) -> None:
        variable = self.keys.private_because_of
        if variable is not None and is_shared(store):
            warnings.warn(
                f"{self.keys.name}: no other process finds or invalidates these entries, because "
                f"the function was made around {variable!r}, which cannot be part of a stable "
                f'key; give it a key template, or leave it out with ignore=("{variable}",)',
                CacheKeyWarning,
                stacklevel=3,
            )


class Run:
    """One run of a plain function, if it comes to that: then `happened` is true."""

    __slots__ = ("_args", "_calls", "_kwargs", "happened")

    def __init__(self, calls: Calls, args: Arguments, kwargs: Named) -> None:
        self._calls, self._args, self._kwargs = calls, args, kwargs
        self.happened = False

    def __call__(self) -> Any:
        self.happened = True
        self._calls.misses += 1
        try:
            return self._calls.function(*self._args, **self._kwargs)
        except BaseException:
            self._calls.errors += 1
            raise


class AsyncRun(Run):
    """One run of a coroutine function."""

    __slots__ = ()

    async def __call__(self) -> Any:
        self.happened = True
        self._calls.misses += 1
        try:
            return await self._calls.function(*self._args, **self._kwargs)
        except BaseException:
            self._calls.errors += 1
            raise


def receiver_of(function: Callable[..., Any]) -> Receiver | None:
    """What a function of a class body is called on, by the name of its first parameter."""
    body = getattr(function, "__qualname__", "").rpartition(".")[0]
    if not body or body.endswith("<locals>"):
        return None
    try:
        first = next(iter(inspect.signature(function).parameters), None)
    except ValueError:
        return None
    if first == "self":
        return "self"
    return "cls" if first in _CLASS_NAMES else None
