"""Invalidations after the commit of a Django transaction, by `transaction.on_commit`."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from armature_cache._runtime.ready import run_ready
from armature_cache.errors import ConfigError
from armature_cache.integrations.commits import Plan, Terms, core_of
from armature_cache.options import OnFailure
from armature_cache.stores.deferral import Block, Wish
from armature_cache.stores.tagged import wish_of

try:
    from django.db import transaction
    from django.utils.asyncio import async_unsafe
except ImportError as error:
    raise ConfigError(
        f"Django 4.2 or later is needed: pip install 'armature-cache[django]' ({error})"
    ) from None

if TYPE_CHECKING:
    from armature_cache import sync
    from armature_cache.stores.base import CacheStore


@async_unsafe
def invalidate_on_commit(
    cache: sync.CacheStore,
    *,
    tags: str | Iterable[str] = (),
    keys: str | Iterable[str] = (),
    using: str | None = None,
    soft: bool = False,
    also_before: bool = False,
    again_after: float | None = None,
    on_failure: OnFailure = "log",
) -> None:
    """Invalidate tags and delete keys of a cache once the current transaction is committed.

    All that a transaction leaves is sent in one round trip, when the first of its hooks that come
    from here runs; nothing after a rollback. What was asked for within an inner `atomic` block
    goes with it when that is rolled back. Outside of `atomic` it is sent at once.

    Django's transactions belong to threads: an async view calls this within `sync_to_async`,
    beside its queries. From an event loop it raises `SynchronousOnlyOperation`.

    Args:
        cache: A cache of the sync face; several may be named in one transaction.
        tags: Tags to invalidate, one or several.
        keys: Keys to delete, one or several.
        soft: Make the entries of the tags stale instead; see `invalidate_tag`.
        using: The alias of the database whose transaction counts; None for the default one.
        also_before: Invalidate now as well, for the case that the process dies after the commit:
            then only what was loaded in between stays, until its lifetime ends.
        again_after: Invalidate the tags once more after so many seconds, for loads that read from
            a lagging database replica.
        on_failure: `log` writes an error to the log, and lets the block end as the success that it
            is. `raise` raises it from the end of the outermost block as well, where hooks that
            were registered later do not run then. In both cases what was not acknowledged is dead
            in this process, and stays queued.

    Raises:
        ConfigError: The cache is of the async face, or an option is wrong.
        InvalidTag, CacheKeyError: A tag or a key cannot be used.
        TagsNotSupported: The cache has no tags.
    """
    core = core_of(cache, "sync")
    wish = wish_of(core, tags, keys, soft=soft, again_after=again_after)
    _register(core, wish, Terms(also_before=also_before, on_failure=on_failure), using)


@async_unsafe
def deferred_to_commit(
    cache: sync.CacheStore,
    *,
    using: str | None = None,
    also_before: bool = False,
    on_failure: OnFailure = "log",
) -> CommitBlock:
    """A block whose invalidations of a cache wait for the commit of their transactions.

    `invalidate_tag`, `invalidate_tags` and `delete` of the cache, made within the block, count as
    if they had been given to `invalidate_on_commit`; keys are deleted at once as well, for `delete`
    has an answer.
    """
    terms = Terms(also_before=also_before, on_failure=on_failure)
    return CommitBlock(core_of(cache, "sync"), terms, using)


class CommitBlock(Block):
    """Leaves invalidations to the transaction they are made in; made by `deferred_to_commit`."""

    def __init__(self, cache: CacheStore, terms: Terms, using: str | None) -> None:
        super().__init__(cache)
        self._terms = terms
        self._using = using

    def _absorb(self, wish: Wish) -> None:
        _register(self._cache, wish, self._terms, self._using)

    def __enter__(self) -> Self:
        self._begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()


_hooks: Final[weakref.WeakKeyDictionary[Any, weakref.WeakSet[_Hook]]] = weakref.WeakKeyDictionary()
"""The hooks of each connection that Django still holds: those of a rolled back block are gone."""


class _Hook:
    """One hook of a transaction; the first one that runs does the work of all."""

    def __init__(self, plan: Plan, siblings: weakref.WeakSet[_Hook]) -> None:
        self.plan = plan
        self._siblings = siblings
        siblings.add(self)

    def __call__(self) -> None:
        whole = Plan()
        for hook in list(self._siblings):
            whole.merge(hook.plan)
            hook.plan = Plan()
        try:
            run_ready(whole.after.send())
        except Exception as error:  # noqa: BLE001 - told to whoever is to know
            whole.failed(error)


def _register(cache: CacheStore, wish: Wish, terms: Terms, using: str | None) -> None:
    connection = transaction.get_connection(using)
    plan = Plan()
    plan.add(cache, wish, terms)
    if plan.before and connection.in_atomic_block:
        try:
            run_ready(plan.before.send())
        except Exception as error:  # noqa: BLE001 - told to whoever is to know
            plan.failed(error, committed=False)
    siblings = _hooks.setdefault(connection, weakref.WeakSet())
    transaction.on_commit(_Hook(plan, siblings), using=using)
