"""`@cache_update`: the result of a writing function takes the place of what is cached."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from armature_cache._missing import UNSET, Unset
from armature_cache.decorator.conditions import OnArguments, OnResult, check_on_result
from armature_cache.decorator.located import Arguments, Named
from armature_cache.decorator.names import (
    RESULT,
    Bound,
    KeySource,
    Target,
    key_templates,
    needs_result,
    split,
    tag_templates,
)
from armature_cache.decorator.options import check_using, several
from armature_cache.decorator.returns import return_type
from armature_cache.decorator.store import Store, core_of
from armature_cache.decorator.writing import Write, WriteDecorator, Writer, write_decorator
from armature_cache.errors import CacheKeyError, ConfigError
from armature_cache.keys import CallKeys, Receiver, Template
from armature_cache.load_context import LoadContext
from armature_cache.options import (
    TTL,
    OnFailure,
    check_key,
    check_on_failure,
    resolve_tags,
    resolve_ttl,
)
from armature_cache.policy import LoadKeywords
from armature_cache.stores import deferral
from armature_cache.stores.base import CacheStore
from armature_cache.stores.draft import Draft, Mark
from armature_cache.stores.loads import Loads


class UpdateOptions(NamedTuple):
    """What `@cache_update(...)` was told, checked as far as it can be without the function."""

    key: KeySource
    ttl: TTL | Unset
    tags: tuple[str, ...]
    using: Store | None
    type: object
    cache_none: bool
    when: OnArguments | None
    unless: OnResult | None
    on_error: bool
    strict: bool


class Updater(Writer):
    """What the calls of one function store."""

    __slots__ = ("_key", "_options", "_tags", "_target", "_want", "on_error")

    def __init__(
        self, function: Callable[..., Any], receiver: Receiver | None, options: UpdateOptions
    ) -> None:
        super().__init__(
            function, receiver, options.using, when=options.when, strict=options.strict
        )
        self._options, self.on_error = options, options.on_error
        texts, targets = split(options.key, self.parameters, receiver, "key")
        if len(texts) + len(targets) != 1:
            raise ConfigError("key is one key template or one cached function", field="key")
        self._key: CallKeys | None = None
        self._target: Target | None = None
        self._tags: tuple[Template, ...] = ()
        self._want = return_type(function) if options.type is None else options.type
        if targets:
            self._target = self._checked(targets[0])
            return
        (self._key,) = keys = key_templates(texts, function, receiver)
        self._tags = tag_templates(options.tags, self.parameters)
        late = needs_result(keys, (), self.parameters)
        self.check_moments("on_error", early=options.on_error, late=late)

    def _checked(self, target: Target) -> Target:
        self.check_target(target)
        options, name = self._options, target.calls.name
        own = {"ttl": options.ttl, "tags": options.tags or UNSET, "using": options.using or UNSET}
        for field, value in {
            **own,
            "type": UNSET if options.type is None else options.type,
        }.items():
            if value is not UNSET:
                raise ConfigError(f"{field} is that of {name}, which is the key", field=field)
        if target.calls.scope == "request":
            raise ConfigError(
                f"{name} keeps results for one request and stores nothing: use cache_invalidate",
                field="key",
            )
        return target

    def begin(self, args: Arguments, kwargs: Named) -> Write | None:
        if not self.concerns(args, kwargs):
            return None
        bound = self.parameters.bind(args, kwargs)
        if self._target is not None:
            return _Update(self, bound, self._target.core(bound))
        return _Update(self, bound, core_of(self.store_of(args, kwargs)))

    def key(self, bound: Bound) -> str | None:
        """The key of a call's entry; None as long as the result is needed to tell."""
        if self._target is not None:
            return self._target.key(bound)
        if self._key is None or self._awaits(bound, (self._key,), ()):
            return None
        return check_key(self._key.filled(bound))

    def tags(self, core: CacheStore, bound: Bound) -> tuple[str, ...]:
        """The tags of a call's entry; none as long as the result is needed to tell."""
        if self._target is not None:
            tags = self._target.calls.tags(*self._target.call(bound))
        elif self._awaits(bound, (), self._tags):
            return ()
        else:
            tags = tuple(tag.fill(bound) for tag in self._tags)
        tags = resolve_tags(tags)
        core._check_tags(tags)
        return tags

    def _awaits(self, bound: Bound, keys: tuple[CallKeys, ...], tags: tuple[Template, ...]) -> bool:
        return RESULT not in bound and needs_result(keys, tags, self.parameters)

    def keeps(self, result: object) -> bool:
        """Whether a result is to be stored."""
        options = self._options
        if self._target is not None and not self._target.calls.keeps(result):
            return False
        if result is None and not options.cache_none:
            return False
        return options.unless is None or not options.unless(result)

    def draft(
        self, core: CacheStore, key: str, tags: tuple[str, ...], result: object, mark: Mark
    ) -> Draft:
        """The result, to be stored like what a reader loads."""
        ttl, want, policy = self._options.ttl, self._want, LoadKeywords()
        if self._target is not None:
            ttl, want, policy = self._target.calls.kept_for(core)
        options = core._load_options(ttl, tags, want, policy, cache_none=True)
        loads = Loads(core, options, strong=False)
        context = LoadContext(core.path + key)
        return loads._draft(key, result, context, stamp=mark.stamp, began=mark.taken_at)


class _Update(Write):
    """One call."""

    __slots__ = ("_bound", "_core", "_key", "_mark", "_updater")

    _mark: Mark

    def __init__(self, updater: Updater, bound: Bound, core: CacheStore) -> None:
        self._updater, self._bound, self._core = updater, bound, core
        self._key = updater.key(bound)
        updater.tags(core, bound)

    async def before(self) -> None:
        self._mark = await self._core._marked()

    async def after(self, result: Any) -> None:
        await self._updater.attempt(self._stored(result))

    async def failed(self) -> None:
        if self._updater.on_error and self._key is not None:
            work = self._dropped(self._key)
            await self._updater.attempt(work, returned=False, silent=True)

    async def _stored(self, result: Any) -> None:
        updater, core = self._updater, self._core
        bound = updater.with_result(self._bound, result)
        try:
            key = self._key or updater.key(bound)
        except CacheKeyError:
            if updater.keeps(result):
                raise
            return  # such as None, which names no entry
        if key is None or deferral.defer(core, deferral.Wish(keys=(key,))):
            return
        try:
            draft = self._draft(key, bound, result)
        except Exception:
            await updater.attempt(self._dropped(key), silent=True)
            raise
        if draft is None:
            await self._dropped(key)
        else:
            await core._offer(draft, self._mark)

    def _draft(self, key: str, bound: Bound, result: Any) -> Draft | None:
        """What is to be stored; None for nothing."""
        updater, core = self._updater, self._core
        if not updater.keeps(result):
            return None
        return updater.draft(core, key, updater.tags(core, bound), result, self._mark)

    async def _dropped(self, key: str) -> None:
        await self._core._delete((key,))


def cache_update(
    *,
    key: KeySource,
    ttl: TTL | Unset = UNSET,
    tag: str | None = None,
    tags: str | Iterable[str] = (),
    using: Store | None = None,
    type: object = None,
    cache_none: bool = True,
    when: OnArguments | None = None,
    unless: OnResult | None = None,
    on_error: bool = False,
    on_failure: OnFailure = "log",
) -> WriteDecorator:
    """Store what a function returns that has just written it: `@cache_update(key=get_user)`.

    The function always runs. Its result takes the place of the entry unless anything has happened
    to the key or its tags since the function began: another update, an invalidation, a delete.
    Nobody can tell then which came last, and the next read loads. What was cached before is dead
    in every process either way. The function has to commit what it writes; within
    `deferred_invalidation()` and blocks that wait for a commit, nothing is stored, and the key is
    invalidated when the block ends.

    Args:
        key: The cached function that reads this entry, whose arguments of the same names are
            meant, and whose options hold. Or a key template over the arguments and `{result}`,
            such as `"user:{result.id}"`.
        ttl: Lifetime, with a key template. Default: the store's.
        tag: One tag template.
        tags: One or more of them, in addition; `{result.team}` is an attribute of the result.
        using: The store. Default: as for `cache`.
        type: What results are decoded to. Default: the return annotation.
        cache_none: Whether a result of `None` is stored; else the entry is deleted.
        when: A condition on the arguments. Where it is false, the function is simply called.
        unless: A condition on the result. Where it is true, the entry is deleted instead.
        on_error: Whether the entry is deleted when the function raises: it may have written.
        on_failure: `"log"`: the caller gets the result even if the shared store does not
            acknowledge; the key is dead in this process then, and the deletion stays queued.
            `"raise"`: the caller gets the error.

    Raises:
        ConfigError: An option or template does not fit the function.
    """
    check_using(using)
    resolve_ttl(ttl, None)
    options = UpdateOptions(
        key=key,
        ttl=ttl,
        tags=(*several("tag", () if tag is None else tag), *several("tags", tags)),
        using=using,
        type=type,
        cache_none=cache_none,
        when=when,
        unless=check_on_result(unless),
        on_error=on_error,
        strict=check_on_failure(on_failure),
    )
    return write_decorator(lambda function, receiver: Updater(function, receiver, options))
