"""Async sessions: the invalidation is awaited before the commit returns, and blocks nobody."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
)
from sqlalchemy.orm import Session

from armature_cache import ConfigError, InvalidationError
from armature_cache.integrations.sqlalchemy import deferred_to_commit, invalidate_on_commit
from tests.contract.faces import DEADLINE
from tests.integrations.conftest import Stand, name_of

RENAME = text("UPDATE users SET name = 'Eve' WHERE id = 1")


async def test_a_commit_waits_for_the_invalidation_and_blocks_nobody(
    awaited: Stand, async_engine: AsyncEngine, engine: Engine
):
    awaited.fill("a", "b")
    reached, gate = asyncio.Event(), asyncio.Event()

    async def before(commands: object) -> None:
        reached.set()
        await gate.wait()

    async with AsyncSession(async_engine) as session, asyncio.timeout(DEADLINE):
        await session.execute(RENAME)
        invalidate_on_commit(session, awaited.cache, tags=["a"], keys="b")
        awaited.tap.sent, awaited.tap.before = 0, before
        commit = asyncio.create_task(session.commit())
        await reached.wait()  # so this loop is not blocked
        assert name_of(engine) == "Eve"
        assert awaited.left("a", "b") == ["a", "b"]
        assert not commit.done()
        gate.set()
        await commit
    assert awaited.tap.sent == 1
    assert awaited.left("a", "b") == []


async def test_a_rollback_sends_nothing(awaited: Stand, async_engine: AsyncEngine):
    awaited.fill("a")
    awaited.tap.sent = 0
    with contextlib.suppress(LookupError):
        async with async_sessionmaker(async_engine).begin() as session:
            await session.execute(RENAME)
            invalidate_on_commit(session, awaited.cache, tags="a")
            raise LookupError
    async with AsyncSession(async_engine) as session:
        await session.execute(RENAME)
        invalidate_on_commit(session, awaited.cache, tags="a")
        await session.rollback()
        await session.execute(RENAME)
        invalidate_on_commit(session, awaited.cache, tags="a")
    assert awaited.tap.sent == 0
    assert awaited.left("a") == ["a"]


async def test_a_savepoint_takes_its_own_with_it(awaited: Stand, async_engine: AsyncEngine):
    awaited.fill("outer", "kept", "lost")
    async with async_sessionmaker(async_engine).begin() as session:
        invalidate_on_commit(session, awaited.cache, tags="outer")
        async with session.begin_nested():
            await session.execute(RENAME)
            invalidate_on_commit(session, awaited.cache, tags="kept")
        with contextlib.suppress(IntegrityError):
            async with session.begin_nested():
                invalidate_on_commit(session, awaited.cache, tags="lost")
                await session.execute(text("UPDATE users SET name = 'Bob' WHERE id = 1"))
        awaited.tap.sent = 0
    assert awaited.tap.sent == 1
    assert awaited.left("outer", "kept", "lost") == ["lost"]


async def test_sessions_at_once_do_not_mix(awaited: Stand, async_engine: AsyncEngine):
    names = [f"tag:{number}" for number in range(10)]
    awaited.fill(*names)

    async def work(number: int) -> None:
        async with AsyncSession(async_engine) as session:
            await session.execute(text("SELECT 1"))
            invalidate_on_commit(session, awaited.cache, tags=names[number])
            await (session.rollback() if number % 2 else session.commit())

    async with asyncio.timeout(DEADLINE):
        await asyncio.gather(*map(work, range(10)))
    assert awaited.left(*names) == names[1::2]


async def test_a_task_cancelled_while_it_invalidates_has_committed(
    awaited: Stand, async_engine: AsyncEngine, engine: Engine
):
    awaited.fill("a")
    reached = asyncio.Event()

    async def before(commands: object) -> None:
        reached.set()
        await asyncio.sleep(DEADLINE)

    async def work() -> None:
        async with AsyncSession(async_engine) as session:
            await session.execute(RENAME)
            invalidate_on_commit(session, awaited.cache, tags="a")
            awaited.tap.before = before
            await session.commit()

    task = asyncio.create_task(work())
    async with asyncio.timeout(DEADLINE):
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    awaited.tap.before = None
    assert name_of(engine) == "Eve"
    assert awaited.cache.stats().pending_invalidations == 1
    assert awaited.left("a") == ["a"]
    await awaited.cache.invalidate_tag("anything")
    assert awaited.left("a") == []


async def test_a_task_cancelled_in_its_commit_may_have_committed(
    awaited: Stand, async_engine: AsyncEngine, engine: Engine
):
    """The database thread goes on with a COMMIT that nobody waits for any more."""
    awaited.fill("a")
    session = AsyncSession(async_engine)
    await session.execute(RENAME)
    invalidate_on_commit(session, awaited.cache, tags="a")
    commit = asyncio.create_task(session.commit())
    await asyncio.sleep(0)
    assert not commit.done()
    commit.cancel()
    with pytest.raises(asyncio.CancelledError):
        await commit
    await session.close()
    assert awaited.left("a") == []


async def test_a_failure_of_the_cache_is_logged_or_raised(
    awaited: Stand,
    async_engine: AsyncEngine,
    engine: Engine,
    caplog: pytest.LogCaptureFixture,
):
    awaited.fill("a", "b")
    awaited.tap.failing = True
    async with async_sessionmaker(async_engine).begin() as session:
        await session.execute(RENAME)
        invalidate_on_commit(session, awaited.cache, tags="a")
    assert name_of(engine) == "Eve"
    assert [each.levelno for each in caplog.records].count(logging.ERROR) == 1
    async with AsyncSession(async_engine) as session:
        await session.execute(text("UPDATE users SET name = 'Fay' WHERE id = 1"))
        invalidate_on_commit(session, awaited.cache, tags="b", on_failure="raise")
        with pytest.raises(InvalidationError):
            await session.commit()
        assert name_of(engine) == "Fay"
        assert (await session.execute(text("SELECT 7"))).scalar() == 7  # it goes on
    awaited.tap.failing = False
    assert awaited.cache.stats().pending_invalidations == 2
    await awaited.cache.invalidate_tag("anything")
    assert awaited.left("a", "b") == []


async def test_also_before_waits_on_both_sides_of_the_commit(
    awaited: Stand, async_engine: AsyncEngine, engine: Engine
):
    awaited.fill("a")
    seen: list[str | None] = []

    async def before(commands: object) -> None:
        seen.append(name_of(engine))

    async with async_sessionmaker(async_engine).begin() as session:
        await session.execute(RENAME)
        invalidate_on_commit(session, awaited.cache, tags="a", also_before=True)
        awaited.tap.before = before
    assert seen == ["Ada", "Eve"]
    assert awaited.left("a") == []


async def test_a_registry_and_plain_code_within_run_sync_serve_too(
    awaited: Stand, async_engine: AsyncEngine
):
    awaited.fill("a", "b")
    registry = async_scoped_session(async_sessionmaker(async_engine), asyncio.current_task)

    def change(session: Session) -> None:
        session.execute(RENAME)
        invalidate_on_commit(session, awaited.cache, tags="b")

    invalidate_on_commit(registry, awaited.cache, tags="a")
    await registry().run_sync(change)
    await registry.commit()
    await registry.remove()
    assert awaited.left("a", "b") == []


async def test_a_cache_that_blocks_is_refused(awaited: Stand, async_engine: AsyncEngine):
    async with AsyncSession(async_engine) as session:
        for place in (session, session.sync_session):
            with pytest.raises(ConfigError, match="hold up the event loop"):
                invalidate_on_commit(place, awaited.cache.sync(), tags="a")
        block: Any = deferred_to_commit(session, awaited.cache)
        with pytest.raises(ConfigError, match="async with"), block:
            pass


async def test_a_block_leaves_to_the_transaction_what_is_invalidated_in_it(
    awaited: Stand, async_engine: AsyncEngine
):
    awaited.fill("a", "b", "c", "lost", "late")
    twin = awaited.cache.sync()

    async def within() -> None:
        await awaited.cache.invalidate_tag("a")
        await asyncio.to_thread(twin.invalidate_tag, "b")  # the other face belongs to it, too
        assert await awaited.cache.delete("c")

    async with AsyncSession(async_engine) as session:
        async with deferred_to_commit(session, awaited.cache):
            async with session.begin():
                await session.execute(RENAME)
                await asyncio.create_task(within())
                with contextlib.suppress(LookupError):
                    async with session.begin_nested():
                        await awaited.cache.invalidate_tag("lost")
                        raise LookupError
                awaited.far.set("c", "read before the commit")
                assert awaited.left("a", "b", "c", "lost") == ["a", "b", "c", "lost"]
                awaited.tap.sent = 0
            assert awaited.tap.sent == 1
            assert awaited.left("a", "b", "c", "lost") == ["lost"]
            await awaited.cache.invalidate_tag("late")
            assert awaited.left("late") == ["late"]
        assert awaited.left("late") == []
    twin.close()
