"""`@cache_invalidate`: a call of a writing function invalidates what depends on it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from armature_cache.decorator.conditions import OnArguments, OnResult, check_on_result
from armature_cache.decorator.located import Arguments, Named
from armature_cache.decorator.names import (
    RESULT,
    Bound,
    KeySource,
    key_templates,
    needs_result,
    several_sources,
    split,
    tag_templates,
)
from armature_cache.decorator.options import check_using, several
from armature_cache.decorator.store import Store, core_of
from armature_cache.decorator.writing import Write, WriteDecorator, Writer, write_decorator
from armature_cache.errors import ConfigError
from armature_cache.keys import Receiver
from armature_cache.options import OnFailure, check_on_failure, check_seconds
from armature_cache.stores import deferral
from armature_cache.stores.base import CacheStore
from armature_cache.stores.tagged import wish_of


class InvalidateOptions(NamedTuple):
    """What `@cache_invalidate(...)` was told, checked as far as it can be without the function."""

    tags: tuple[str, ...]
    keys: tuple[KeySource, ...]
    using: Store | None
    before: bool
    after: bool
    on_error: bool
    soft: bool
    wait: bool
    again_after: float | None
    when: OnArguments | None
    unless: OnResult | None
    strict: bool


class Invalidator(Writer):
    """What the calls of one function invalidate."""

    __slots__ = ("_keys", "_tags", "_targets", "late", "options")

    def __init__(
        self, function: Callable[..., Any], receiver: Receiver | None, options: InvalidateOptions
    ) -> None:
        super().__init__(
            function, receiver, options.using, when=options.when, strict=options.strict
        )
        self.options = options
        texts, self._targets = split(options.keys, self.parameters, receiver, "keys")
        for target in self._targets:
            self.check_target(target)
        self._keys = key_templates(texts, function, receiver)
        self._tags = tag_templates(options.tags, self.parameters)
        if not (self._keys or self._targets or self._tags):
            raise ConfigError("there is nothing to invalidate: give tags or keys", field="tags")
        self.late = needs_result(self._keys, self._tags, self.parameters)
        self.check_moments("before", early=options.before, late=self.late)
        self.check_moments("on_error", early=options.on_error, late=self.late)

    def begin(self, args: Arguments, kwargs: Named) -> Write | None:
        if not self.concerns(args, kwargs):
            return None
        core = core_of(self.store_of(args, kwargs))
        return _Invalidation(self, core, self.parameters.bind(args, kwargs))

    def wishes(self, core: CacheStore, bound: Bound) -> list[tuple[CacheStore, deferral.Wish]]:
        """What is to be invalidated of each store, as far as it can be told without the result."""
        options, known = self.options, RESULT in bound
        named = [key.filled(bound) for key in self._keys if known or not key.needs(RESULT)]
        parts: dict[int, _Part] = {id(core): _Part(core, named, [])}
        for target in self._targets:
            other = target.core(bound)
            part = parts.setdefault(id(other), _Part(other, [], []))
            kept = target.calls.scope != "request"
            (part.keys if kept else part.memos).append(target.key(bound))
        tags = [tag.fill(bound) for tag in self._tags if known or not tag.names(RESULT)]
        return [
            (
                part.core,
                wish_of(
                    part.core,
                    tags if part.core is core else (),
                    part.keys,
                    soft=options.soft,
                    wait=options.wait,
                    again_after=options.again_after if part.core is core and tags else None,
                )._replace(memos=tuple(part.memos)),
            )
            for part in parts.values()
        ]


class _Part(NamedTuple):
    """What is named of one store; `memos` are keys that only requests hold."""

    core: CacheStore
    keys: list[str]
    memos: list[str]


class _Invalidation(Write):
    """One call."""

    __slots__ = ("_bound", "_core", "_owner", "_wishes")

    def __init__(self, owner: Invalidator, core: CacheStore, bound: Bound) -> None:
        self._owner, self._core, self._bound = owner, core, bound
        self._wishes = owner.wishes(core, bound)

    async def before(self) -> None:
        if self._owner.options.before:
            await self._owner.attempt(self._sent(early=True), returned=False)

    async def after(self, result: Any) -> None:
        if self._owner.options.after:
            await self._owner.attempt(self._settled(result))

    async def failed(self) -> None:
        if self._owner.options.on_error:
            await self._owner.attempt(self._sent(), returned=False, silent=True)

    async def _settled(self, result: Any) -> None:
        """Send what the result asks for; where it gives an error, what was known without it."""
        owner = self._owner
        try:
            unless = owner.options.unless
            if unless is not None and unless(result):
                return
            if owner.late:
                bound = owner.with_result(self._bound, result)
                self._wishes = owner.wishes(self._core, bound)
        except Exception:
            await owner.attempt(self._sent(), silent=True)
            raise
        await self._sent()

    async def _sent(self, *, early: bool = False) -> None:
        """Send it in one round trip for each shared store, unless a block takes it over."""
        batch = deferral.Batch()
        for core, wish in self._wishes:
            deferral.forget(core, wish.memos)
            told = wish._replace(memos=())
            if early:
                told = told._replace(again=(), wait=False)
            if (told.tags or told.keys) and not deferral.defer(core, told):
                batch.add(core, told)
        await batch.send()


def cache_invalidate(
    *,
    tag: str | None = None,
    tags: str | Iterable[str] = (),
    keys: KeySource | Iterable[KeySource] = (),
    using: Store | None = None,
    before: bool = False,
    after: bool = True,
    on_error: bool = False,
    soft: bool = False,
    wait: bool = False,
    again_after: float | None = None,
    when: OnArguments | None = None,
    unless: OnResult | None = None,
    on_failure: OnFailure = "log",
) -> WriteDecorator:
    """Invalidate when a writing function returns: `@cache_invalidate(tags="user:{user_id}")`.

    Everything goes out in one round trip, also that of namespaces of one cache. Within
    `deferred_invalidation()` and blocks that wait for a commit, it waits for the end of the block;
    without one, the function has to commit what it writes.

    Args:
        tag: One tag template over the arguments and `{result}`.
        tags: One or more of them, in addition.
        keys: Key templates, and cached functions: of those, the entry of the call with the
            arguments of the same names.
        using: The store of tags and key templates. Default: as for `cache`.
        before: Whether to invalidate before the function runs.
        after: Whether to invalidate after it has returned. A load between `before` and the
            commit reads the old row, so leave it on unless you know of no such reader.
        on_error: Whether to invalidate, too, when the function raises: it may have written.
        soft: Whether entries with these tags become stale instead; keys are deleted.
        wait: Whether to return only when no process can serve the old entries any more.
        again_after: Seconds after which tags are invalidated once more, in the background.
        when: A condition on the arguments. Where it is false, the function is simply called.
        unless: A condition on the result. Where it is true, nothing is invalidated afterwards.
        on_failure: `"log"`: the caller gets the result even if the shared store does not
            acknowledge; the tags and keys are dead in this process then, and stay queued.
            `"raise"`: the caller gets the error; before the function runs, it does not run then.

    Raises:
        ConfigError: An option or template does not fit the function.
        InvalidTag: A tag without fields is not a tag.
    """
    check_using(using)
    if not (before or after):
        raise ConfigError("neither before nor after: it would do nothing", field="after")
    options = InvalidateOptions(
        tags=(*several("tag", () if tag is None else tag), *several("tags", tags)),
        keys=several_sources(keys),
        using=using,
        before=before,
        after=after,
        on_error=on_error,
        soft=soft,
        wait=wait,
        again_after=None if again_after is None else check_seconds("again_after", again_after),
        when=when,
        unless=check_on_result(unless),
        strict=check_on_failure(on_failure),
    )
    return write_decorator(lambda function, receiver: Invalidator(function, receiver, options))
