"""What one decorated function knows: its keys, its options, its store and its counts."""

from __future__ import annotations

import inspect
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from armature_cache._missing import UNSET, Unset
from armature_cache.decorator.located import Arguments, Located, Named
from armature_cache.decorator.options import CacheOptions
from armature_cache.decorator.returns import return_type
from armature_cache.decorator.store import Face, Store, face_of, fits, is_shared
from armature_cache.entry import Entry
from armature_cache.errors import ConfigError
from armature_cache.keys import CacheKeyWarning, CallKeys, Receiver
from armature_cache.load_context import NOT_MODIFIED, load_context
from armature_cache.options import TTL, Consistency
from armature_cache.policy import LoadKeywords

_CLASS_NAMES: Final = {"cls", "mcs", "metacls"}


@dataclass(frozen=True, slots=True)
class FunctionStats:
    """Counts of one decorated function in this process, over all instances and stores.

    `hits` are calls answered without running the function, by the cache or by another caller's
    run; `misses` are runs of the function, refreshes included; `errors` are runs that raised. Of a
    function of many keys, `misses` are the keys that it was asked for. Calls that `when` turns
    away are not counted. Without the interpreter's global lock, hits are approximate.
    """

    hits: int = 0
    misses: int = 0
    errors: int = 0


Load = Callable[["Calls", Store, str, Arguments, Named], Any]


class Calls(Located):
    """The calls of one decorated function, of whose results `returns` says the type."""

    __slots__ = (
        "_options",
        "_returns",
        "_sharing_checked",
        "_tags",
        "_want",
        "errors",
        "function",
        "hits",
        "key",
        "keys",
        "load",
        "misses",
        "plain",
        "plain_of_one",
        "receiver",
        "scope",
        "strong",
        "unless",
        "when",
    )

    load: Load
    """Answers a call that no resident entry answers."""

    def __init__(
        self,
        function: Callable[..., Any],
        options: CacheOptions,
        *,
        receiver: Receiver | None,
        returns: Callable[[Callable[..., Any]], object | None] = return_type,
    ) -> None:
        self.function = function
        self._options = options
        self._returns = returns
        self._want: object | Unset = UNSET if options.type is None else options.type
        self._sharing_checked = False
        self.hits = self.misses = self.errors = 0
        self.scope, self.unless = options.scope, options.unless
        self.strong = options.consistency == "strong"
        keys = options.keys_of(function, receiver)
        super().__init__(keys.name, face_of_function(function), options.using)
        self._settle(receiver, keys)

    def receive(self, receiver: Receiver) -> None:
        """Take the first parameter for what a method is called on."""
        self._settle(receiver, self._options.keys_of(self.function, receiver))

    def _settle(self, receiver: Receiver | None, keys: CallKeys) -> None:
        self.receiver, self.keys = receiver, keys
        self.key, self.plain = keys.key, keys.plain
        self.plain_of_one = keys.plain if receiver is None else None
        self._tags = self._options.tag_templates(keys)
        self.when = self._options.test_of(keys.parameters)
        self.find_by(receiver, keys.parameters.receiver)

    def tags(self, args: Arguments, kwargs: Named) -> tuple[str, ...]:
        """The tags of a call, in order, each once."""
        if not self._tags:
            return ()
        bound = self.keys.parameters.bind(args, kwargs)
        return tuple(dict.fromkeys(template.fill(bound) for template in self._tags))

    def want(self) -> object | None:
        """The type that results are decoded to; None if nothing is known of it."""
        if self._want is UNSET:
            self._want = self._returns(self.function)
        return self._want

    def storing(self, store: Store) -> dict[str, Any]:
        """How results are stored, their tags aside, as arguments of `get_or_set`."""
        ttl, want, policy = self.kept_for(store)
        return {"ttl": ttl, "type": want, "cache_none": self._options.cache_none, **policy}

    def kept_for(self, store: Store) -> tuple[TTL | Unset, object | None, LoadKeywords]:
        """How long results are kept, what they are decoded to, and by which policy."""
        if not self._sharing_checked:
            self._sharing_checked = True
            self._check_sharing(store)
        return self._options.ttl, self.want(), self._options.policy

    @property
    def consistency(self) -> Consistency | Unset:
        """That of its reads; `UNSET`: as the store says."""
        return self._options.consistency

    def keeps(self, value: object) -> bool:
        """Whether a result is to be kept."""
        if value is None and not self._options.cache_none:
            return False
        return self.unless is None or not self.unless(value)

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
        if self.receiver != "cls":
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
                f"{self.name}: the class is not known here; write @cache above @classmethod",
                field="function",
            )
        return (found, *args)

    def _check_sharing(self, store: Store) -> None:
        variable = self.keys.private_because_of
        if variable is not None and is_shared(store):
            warnings.warn(
                f"{self.name}: no other process finds or invalidates these entries, because "
                f"the function was made around {variable!r}, which cannot be part of a stable "
                f'key; give it a key template, or leave it out with ignore=("{variable}",)',
                CacheKeyWarning,
                stacklevel=4,
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
            return self._checked(self._calls.function(*self._args, **self._kwargs))
        except BaseException:
            self._calls.errors += 1
            raise

    def _checked(self, value: Any) -> Any:
        """The result, which is not stored if the function's condition says so."""
        unless = self._calls.unless
        if unless is not None:
            context = load_context()
            if unless(context.stale_value if value is NOT_MODIFIED else value):
                context.skip()
        return value


class AsyncRun(Run):
    """One run of a coroutine function."""

    __slots__ = ()

    async def __call__(self) -> Any:
        self.happened = True
        self._calls.misses += 1
        try:
            return self._checked(await self._calls.function(*self._args, **self._kwargs))
        except BaseException:
            self._calls.errors += 1
            raise


def face_of_function(function: Callable[..., Any]) -> Face:
    """The face of the store that a function needs."""
    return "async" if inspect.iscoroutinefunction(function) else "sync"


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


def check_function(function: Any) -> None:
    """Refuse what is no function to decorate."""
    advice = None
    if face_of(function) is not None:
        advice = "a store is given by name: @cache(using=store), or @store.cached(...)"
    elif not callable(function) or isinstance(function, type):
        advice = "decorate a function; options are given by name, as in @cache(ttl=300)"
    elif inspect.ismethod(function) or _is_bound_builtin(function):
        advice = "decorate the method in the body of its class, not a bound one"
    elif inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        advice = "a generator cannot be cached: return a list instead of yielding"
    if advice is not None:
        raise ConfigError(f"{function!r:.100} cannot be decorated: {advice}", field="function")


def _is_bound_builtin(function: Any) -> bool:
    return inspect.isbuiltin(function) and not inspect.ismodule(function.__self__)
