"""Invalidations after the commit of a SQLAlchemy session.

A session, or one of its savepoints, that is rolled back takes its invalidations with it. A COMMIT
that failed counts as done: whether the database has done it, nobody can tell, and to invalidate
too much is harmless.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from armature_cache._runtime.ready import run_ready
from armature_cache.errors import ConfigError
from armature_cache.integrations.commits import AnyCache, Plan, Terms, core_of
from armature_cache.options import OnFailure
from armature_cache.stores.deferral import Batch, Block, Wish
from armature_cache.stores.tagged import wish_of

try:
    from sqlalchemy import event
    from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session, async_session
    from sqlalchemy.orm import Session, SessionTransaction, scoped_session
    from sqlalchemy.util import await_only
except ImportError as error:
    raise ConfigError(
        f"SQLAlchemy 2 is needed: pip install 'armature-cache[sqlalchemy]' ({error})"
    ) from None

if TYPE_CHECKING:
    from armature_cache.decorator.store import Face
    from armature_cache.stores.base import CacheStore

AnySession = Session | AsyncSession | scoped_session[Any] | async_scoped_session[Any]
"""A session of either kind, or the registry of one."""

_KEY: Final = "armature_cache.commits"


def invalidate_on_commit(
    session: AnySession,
    cache: AnyCache,
    *,
    tags: str | Iterable[str] = (),
    keys: str | Iterable[str] = (),
    soft: bool = False,
    also_before: bool = False,
    again_after: float | None = None,
    on_failure: OnFailure = "log",
) -> None:
    """Invalidate tags and delete keys of a cache once the session's transaction is committed.

    All that a transaction leaves is sent in one round trip, after its connection has been given
    back and before `commit()` returns; nothing after a rollback. What was asked for within a
    savepoint goes with it when that is rolled back. Before a transaction has begun, this counts
    for the next one. An `AsyncSession` takes a cache of the async face, a `Session` one of the
    sync face.

    Args:
        session: The session that commits, or its scoped registry.
        cache: The cache; several may be named in one transaction.
        tags: Tags to invalidate, one or several.
        keys: Keys to delete, one or several.
        soft: Make the entries of the tags stale instead; see `invalidate_tag`.
        also_before: Invalidate just before the COMMIT as well, for the case that the process dies
            after it: then only what was loaded in between stays, until its lifetime ends.
        again_after: Invalidate the tags once more after so many seconds, for loads that read from
            a lagging database replica.
        on_failure: `log` writes an error to the log, and lets the commit succeed, which it has.
            `raise` raises it from `commit()` as well; before the COMMIT, that prevents it. In
            both cases what was not acknowledged is dead in this process, and stays queued.

    Raises:
        ConfigError: The cache is of the other face, or an option is wrong.
        InvalidTag, CacheKeyError: A tag or a key cannot be used.
        TagsNotSupported: The cache has no tags.
    """
    plain, face = _unwrapped(session)
    core = core_of(cache, face)
    wish = wish_of(core, tags, keys, soft=soft, again_after=again_after)
    terms = Terms(also_before=also_before, on_failure=on_failure)
    _ledger(plain).plan_of(plain).add(core, wish, terms)


def deferred_to_commit(
    session: AnySession,
    cache: AnyCache,
    *,
    also_before: bool = False,
    on_failure: OnFailure = "log",
) -> CommitBlock:
    """A block whose invalidations of a cache wait for the session's commit, wherever it commits.

    `invalidate_tag`, `invalidate_tags` and `delete` of the cache, made within the block, count as
    if they had been given to `invalidate_on_commit`; keys are deleted at once as well, for `delete`
    has an answer. `async with` for an `AsyncSession`, `with` for a `Session`. What belongs to no
    transaction when the block ends is sent then, unless it ends with an exception.
    """
    plain, face = _unwrapped(session)
    terms = Terms(also_before=also_before, on_failure=on_failure)
    return CommitBlock(plain, core_of(cache, face), terms, face)


class CommitBlock(Block):
    """Leaves invalidations to a session's transaction; made by `deferred_to_commit`."""

    def __init__(self, session: Session, cache: CacheStore, terms: Terms, face: Face) -> None:
        super().__init__(cache)
        self._session = session
        self._terms = terms
        self._face = face

    def _absorb(self, wish: Wish) -> None:
        plan = _ledger(self._session).plan_of(self._session, owner=self)
        plan.add(self._cache, wish, self._terms)

    def _enter(self, face: Face) -> None:
        if face != self._face:
            word = "async with" if self._face == "async" else "with"
            raise ConfigError(f"the block of this session is entered by `{word}`", field="session")
        self._begin()

    def _left(self, kind: type[BaseException] | None) -> Plan:
        """What has no transaction to wait for."""
        self._end()
        plan = _ledger(self._session).take_waiting(self)
        return Plan() if kind is not None else plan

    def __enter__(self) -> Self:
        self._enter("sync")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        run_ready(self._left(kind).after.send())

    async def __aenter__(self) -> Self:
        self._enter("async")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._left(kind).after.send()


class _Ledger:
    """What the transactions of one session leave, by savepoint."""

    __slots__ = ("_committed", "_committing", "_plans", "_waiting")

    def __init__(self) -> None:
        self._plans: dict[SessionTransaction, Plan] = {}
        self._waiting: dict[CommitBlock | None, Plan] = {}
        self._committing: set[SessionTransaction] = set()
        self._committed: set[SessionTransaction] = set()

    def plan_of(self, session: Session, owner: CommitBlock | None = None) -> Plan:
        """The plan of the innermost transaction; before one has begun, that of the next one."""
        boundary = _boundary(session)
        if boundary is None:
            return self._waiting.setdefault(owner, Plan())
        return self._plans.setdefault(boundary, Plan())

    def take_waiting(self, owner: CommitBlock | None) -> Plan:
        """What an owner's invalidations are that wait for a transaction to begin."""
        return self._waiting.pop(owner, Plan())

    def begun(self, transaction: SessionTransaction) -> None:
        """A transaction begins: what was asked for before belongs to it."""
        waiting, self._waiting = self._waiting, {}
        for plan in waiting.values():
            self._plans.setdefault(transaction, Plan()).merge(plan)

    def commits(self, transaction: SessionTransaction) -> Plan | None:
        """A transaction or savepoint is about to be committed."""
        self._committing.add(transaction)
        return self._plans.get(transaction)

    def cannot_commit(self, transaction: SessionTransaction) -> None:
        """It did not come to the COMMIT: something before it failed."""
        self._committing.discard(transaction)

    def has_committed(self, transaction: SessionTransaction) -> None:
        """The COMMIT, or the release of the savepoint, has succeeded."""
        self._committed.add(transaction)

    def ended(self, transaction: SessionTransaction) -> tuple[Plan | None, bool]:
        """What a transaction that is over leaves, and whether that it was committed is certain."""
        plan = self._plans.pop(transaction, None)
        certain, tried = transaction in self._committed, transaction in self._committing
        self._committed.discard(transaction)
        self._committing.discard(transaction)
        return (plan if certain or tried else None), certain


def _ledger(session: Session) -> _Ledger:
    ledger: _Ledger | None = session.info.get(_KEY)
    if ledger is None:
        ledger = session.info[_KEY] = _Ledger()
    return ledger


def _boundary(session: Session) -> SessionTransaction | None:
    """The innermost savepoint, or else the transaction."""
    return session.get_nested_transaction() or session.get_transaction()


def _unwrapped(session: AnySession) -> tuple[Session, Face]:
    """The session that has the events, and the face of the caches that fit it."""
    inner: object = session
    if isinstance(inner, scoped_session | async_scoped_session):
        inner = inner()
    if isinstance(inner, AsyncSession):
        return inner.sync_session, "async"
    if isinstance(inner, Session):
        return inner, "async" if async_session(inner) is not None else "sync"
    raise ConfigError(
        f"session is a Session or an AsyncSession, not {type(inner).__name__}", field="session"
    )


# -- events ----------------------------------------------------------------------------------


def _after_create(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None:
        ledger: _Ledger | None = session.info.get(_KEY)
        if ledger is not None:
            ledger.begun(transaction)


def _before_commit(session: Session) -> None:
    # For each session, also those without a ledger yet: the flush that follows may ask for one.
    boundary = _boundary(session)
    if boundary is None:
        return
    plan = _ledger(session).commits(boundary)
    if plan is None or boundary.parent is not None or not plan.before:
        return
    try:
        _wait_for(session, plan.before)
    except Exception as error:  # noqa: BLE001 - told to whoever is to know
        if plan.strict:
            _ledger(session).cannot_commit(boundary)
        plan.failed(error, committed=False)


def _after_commit(session: Session) -> None:
    boundary = _boundary(session)
    if boundary is not None:
        _ledger(session).has_committed(boundary)


def _after_soft_rollback(session: Session, previous: SessionTransaction) -> None:
    boundary = _boundary(session)
    if boundary is not None and previous.parent is not None and not previous.nested:
        _ledger(session).cannot_commit(boundary)


def _after_end(session: Session, transaction: SessionTransaction) -> None:
    ledger: _Ledger | None = session.info.get(_KEY)
    if ledger is None:
        return
    plan, certain = ledger.ended(transaction)
    if plan is None:
        return
    if transaction.parent is not None:
        ledger.plan_of(session).merge(plan)
        return
    try:
        _wait_for(session, plan.after)
    except Exception as error:  # noqa: BLE001 - told to whoever is to know
        plan.strict &= certain  # else it would hide why the COMMIT failed
        plan.failed(error)


def _wait_for(session: Session, batch: Batch) -> None:
    """Send a batch: on the event loop where the session runs on one."""
    if async_session(session) is not None:
        await_only(batch.send())
    else:
        run_ready(batch.send())


event.listen(Session, "after_transaction_create", _after_create)
event.listen(Session, "before_commit", _before_commit)
event.listen(Session, "after_commit", _after_commit)
event.listen(Session, "after_soft_rollback", _after_soft_rollback)
event.listen(Session, "after_transaction_end", _after_end)
