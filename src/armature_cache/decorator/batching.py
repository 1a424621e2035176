"""Functions of many keys, called with single ones."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, NoReturn

from armature_cache import _forking, scopes
from armature_cache._missing import MISSING, UNSET
from armature_cache._runtime.ready import run_ready
from armature_cache.decorator.calls import Calls
from armature_cache.decorator.located import Arguments, Named
from armature_cache.decorator.scoped import Reading
from armature_cache.decorator.singles import Many, checked_answers
from armature_cache.decorator.store import Store, core_of
from armature_cache.decorator.windows import Window
from armature_cache.errors import CacheKeyError, NotLoaded, PartialLoadError
from armature_cache.flight import Joint
from armature_cache.options import check_key, resolve_tags
from armature_cache.scopes import RequestScope
from armature_cache.stores import deferral
from armature_cache.stores.base import CacheStore
from armature_cache.stores.load_many import LoadMany

_LONGEST: Final = 60.0
_Place = tuple[int, int, tuple[int, ...], int]


class BatchOptions(NamedTuple):
    """How single calls are gathered: for so many seconds, so many; and what absent keys get."""

    window: float
    most: int
    absent: object


class Batching:
    """The runs of one function of many keys.

    Calls are gathered if they are made on the same receiver and store, in the same event loop or
    in threads of one process and, where nothing is stored, in the same request.
    """

    def __init__(self, calls: Calls, function: Many, options: BatchOptions) -> None:
        self._calls = calls
        self._function = function
        self._options = options
        self._open: dict[_Place, Window] = {}
        self._lock = threading.Lock()
        _forking.register(self)

    def fork_locks(self) -> tuple[_forking.Lock, ...]:
        """What may not be held while the process forks."""
        return (self._lock,)

    def after_fork(self) -> None:
        """A child has none of its parent's calls."""
        self._open.clear()

    # -- single calls --------------------------------------------------------------------------

    async def load(
        self, _calls: Calls, store: Store, key: str, args: Arguments, _kwargs: Named
    ) -> Any:
        """The value of one key, from the store or by a run."""
        core = core_of(store)
        return core._own(await self._gathered(core, key, args, None, stored=True))

    async def unstored(self, store: Store, key: str, args: Arguments, _kwargs: Named) -> Any:
        """The value of one key, by a run of the request under way."""
        scope = scopes.current()
        return await self._gathered(core_of(store), key, args, scope, stored=False)

    async def _gathered(
        self,
        core: CacheStore,
        key: str,
        args: Arguments,
        scope: RequestScope | None,
        *,
        stored: bool,
    ) -> Any:
        *receiver, asked = args
        tags = self._tags(core, key, args)
        place = (core.runtime.scope(), id(core), tuple(map(id, receiver)), id(scope))
        with self._lock:
            window = self._open.get(place)
            if window is None or window.is_over:
                window = self._window(core, receiver, stored=stored)
                closed = functools.partial(self._close, place, window, scope)
                window.stay_open(self._options.window, closed)
                self._open[place] = window
            window.add(key, asked, tags)
            if len(window.ids) >= self._options.most:
                del self._open[place]
                window.fill()
        value = await window.outcome(key)
        self._calls.hits += key not in window.asked
        return value

    def _close(self, place: _Place, window: Window, _scope: RequestScope | None) -> None:
        """Take no more calls; the request lives for as long as its identity is in use."""
        with self._lock:
            if self._open.get(place) is window:
                del self._open[place]

    def _tags(self, core: CacheStore, key: str, args: Arguments) -> tuple[str, ...]:
        """The tags of a call, checked before it is one of several."""
        check_key(key)
        try:
            hash(args[-1])
        except TypeError:
            raise CacheKeyError(
                f"a key of {self._calls.name} is one of the mapping that it returns, and "
                f"{args[-1]!r:.100} cannot be: it has no hash",
                argument=self._calls.keys.parameters.names[-1],
            ) from None
        tags = resolve_tags(self._calls.tags(args, {}))
        core._check_tags(tags)
        return tags

    # -- several at once -----------------------------------------------------------------------

    async def many(self, receiver: Arguments, asked: Iterable[object]) -> dict[Any, Any]:
        """The values of those ids that have one."""
        args = {self._calls.key((*receiver, each), {}): (*receiver, each) for each in asked}
        core = core_of(self._calls.store_of((*receiver, None), {}))
        window = self._window(core, receiver, stored=self._calls.scope != "request")
        scope = scopes.current() if self._calls.scope != "shared" else None
        if scope is not None:
            values, errors = await self._read(scope, core, window, args)
        else:
            for key, given in args.items():
                window.add(key, given[-1], self._tags(core, key, given))
            found, errors = await window.outcomes()
            self._calls.hits += len(found.keys() - window.asked)
            values = {key: core._own(value) for key, value in found.items()}
        if errors:
            self._raise(window, args, values, errors)
        return {given[-1]: values[key] for key, given in args.items() if key in values}

    async def _read(
        self, scope: RequestScope, core: CacheStore, window: Window, args: Mapping[str, Arguments]
    ) -> tuple[dict[str, Any], dict[str, Exception]]:
        """What a request has read already, or reads now."""

        async def fresh(_store: Store, key: str, _args: Arguments, _kwargs: Named) -> Any:
            return await window.outcome(key)

        reads = {key: Reading(self._calls, scope, given, {}) for key, given in args.items()}
        values = {key: read.known() for key, read in reads.items()}
        values = {key: value for key, value in values.items() if value is not MISSING}
        errors: dict[str, Exception] = {}
        under_way: dict[str, tuple[Reading, Joint[Any] | None]] = {}
        tags = {key: self._tags(core, key, args[key]) for key in reads if key not in values}
        window.stay_open(_LONGEST, lambda: None)  # others may wait for the first one already
        for key, named in tags.items():
            joint, is_new = reads[key].begin(fresh)
            if is_new or joint.is_circular:
                window.add(key, args[key][-1], named)
            self._calls.hits += not is_new
            under_way[key] = reads[key], None if joint.is_circular else joint
        window.fill()
        for key, (read, joined) in under_way.items():
            try:
                value = await (window.outcome(key) if joined is None else joined.join())
                values[key] = read.own(value)
            except NotLoaded:
                continue
            except Exception as error:  # noqa: BLE001 - what the function raises
                errors[key] = error
        return values, errors

    async def invalidate(self, receiver: Arguments, asked: Iterable[object]) -> int:
        """Delete the entries of ids; how many there were."""
        keys = [self._calls.key((*receiver, each), {}) for each in asked]
        core = core_of(self._calls.store_of((*receiver, None), {}))
        if self._calls.scope != "request":
            return await core.delete_many(keys)
        return sum(deferral.forget(core, (key,)) for key in keys)

    @staticmethod
    def _raise(
        window: Window,
        args: Mapping[str, Arguments],
        values: Mapping[str, Any],
        errors: Mapping[str, Exception],
    ) -> NoReturn:
        """What the function has raised, or an error that has those of single keys."""
        if all(any(error is raised for raised in window.raised) for error in errors.values()):
            raise window.raised[0]
        raise PartialLoadError(
            f"{len(errors)} of {len(args)} keys could not be loaded: "
            f"{next(iter(errors.values()))!r} for one; the others are in `values`",
            errors={args[key][-1]: error for key, error in errors.items()},
            values={args[key][-1]: value for key, value in values.items()},
        )

    # -- runs ----------------------------------------------------------------------------------

    def _window(self, core: CacheStore, receiver: Sequence[object], *, stored: bool) -> Window:
        async def ask(window: Window, keys: list[str]) -> Mapping[str, object]:
            return await self._ask(core, receiver, window, keys)

        def load(window: Window) -> LoadMany:
            blocking = core.runtime.blocking

            def loader(keys: list[str]) -> Any:
                return run_ready(ask(window, keys)) if blocking else ask(window, keys)

            ttl, want, policy = self._calls.kept_for(core)
            options = core._load_options(ttl, (), want, policy, cache_none=True)
            return LoadMany(
                core,
                loader,
                options._replace(unless=lambda value: not self._calls.keeps(value)),
                window.tags.__getitem__,
                strong=core._is_strong(self._calls.consistency),
                apart=True,
            )

        return Window(core.runtime, ask, load if stored else None)

    async def _ask(
        self, core: CacheStore, receiver: Sequence[object], window: Window, keys: list[str]
    ) -> Mapping[str, object]:
        """The values of keys by runs for so many each at the most, or errors in their place."""
        most = self._options.most
        parts = [keys[start : start + most] for start in range(0, len(keys), most)]
        answers: dict[str, object] = {}
        for part in parts:
            try:
                answers |= await self._run(core, receiver, window, part)
            except Exception as error:
                if len(parts) == 1:
                    raise
                answers |= dict.fromkeys(part, error)
        return answers

    async def _run(
        self, core: CacheStore, receiver: Sequence[object], window: Window, keys: list[str]
    ) -> dict[str, object]:
        calls, asked = self._calls, [window.ids[key] for key in keys]
        window.asked.update(keys)
        calls.misses += len(keys)
        try:
            loaded = await core.runtime.call(lambda: self._function(*receiver, list(asked)))
            answers = checked_answers(loaded, asked, calls.name)
        except BaseException as error:
            calls.errors += 1
            if isinstance(error, Exception):
                window.raised.append(error)
            raise
        found = {
            key: answers[each] for key, each in zip(keys, asked, strict=True) if each in answers
        }
        absent = self._options.absent
        if absent is not UNSET:
            return {key: found.get(key, absent) for key in keys}
        return found
