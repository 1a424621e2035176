"""Sessions that block: what a commit sends, and what a rollback takes with it."""

from __future__ import annotations

import contextlib
import logging
from typing import Any

import pytest
from sqlalchemy import Engine, ForeignKey, event, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    mapped_column,
    object_session,
    scoped_session,
    sessionmaker,
)

from armature_cache import (
    CacheKeyError,
    ConfigError,
    InvalidationError,
    InvalidTag,
    TagsNotSupported,
    open_cache,
)
from armature_cache import sync as faces
from armature_cache.integrations.sqlalchemy import deferred_to_commit, invalidate_on_commit
from tests.coherence.ports import tap
from tests.integrations.conftest import Stand, name_of

RENAME = text("UPDATE users SET name = 'Eve' WHERE id = 1")


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    boss: Mapped[int | None] = mapped_column(ForeignKey("users.id"))


def test_a_commit_sends_all_of_it_in_one_round_trip(plain: Stand, engine: Engine):
    plain.fill("a", "b", "c", "d")
    part = plain.cache.namespace("part")
    far_part = plain.far.namespace("part")
    far_part.set("a", "old", tags="t")
    with Session(engine) as session, session.begin():
        session.execute(RENAME)
        for _ in range(3):
            invalidate_on_commit(session, plain.cache, tags=["a", "b"])
        invalidate_on_commit(session, plain.cache, keys="c")
        invalidate_on_commit(session, part, tags="t", keys=["x"])
        plain.tap.sent = 0
        assert plain.left("a", "b", "c") == ["a", "b", "c"]
    assert plain.tap.sent == 1
    assert plain.left("a", "b", "c", "d") == ["d"]
    assert far_part.get("a", consistency="strong") is None
    assert plain.cache.stats().invalidations == 3


def test_what_is_sent_is_sent_after_the_commit(plain: Stand, engine: Engine):
    seen: list[Any] = []
    with Session(engine) as session:
        session.execute(RENAME)
        invalidate_on_commit(session, plain.cache, tags="a")

        async def before(commands: object) -> None:
            seen.extend((name_of(engine), session.in_transaction(), engine.pool.status()))

        plain.tap.before = before
        session.commit()
    assert seen[:2] == ["Eve", False]
    assert "Current Checked out connections: 0" in seen[2]


@pytest.mark.parametrize("end", ["rollback", "close", "error"])
def test_a_rollback_sends_nothing(plain: Stand, engine: Engine, end: str):
    plain.fill("a")
    plain.tap.sent = 0
    session = Session(engine)
    with contextlib.suppress(LookupError), session.begin():
        session.execute(RENAME)
        invalidate_on_commit(session, plain.cache, tags="a", keys="a")
        if end == "error":
            raise LookupError
        getattr(session, end)()
    assert plain.tap.sent == 0
    session.execute(RENAME)
    session.commit()  # and the next transaction inherits nothing
    session.close()
    assert plain.tap.sent == 0
    assert plain.left("a") == ["a"]


def test_a_savepoint_takes_its_own_with_it(plain: Stand, engine: Engine):
    names = ("outer", "kept", "lost", "lost within", "deep", "after")
    plain.fill(*names)
    with Session(engine) as session, session.begin():
        invalidate_on_commit(session, plain.cache, tags="outer")
        with session.begin_nested():
            invalidate_on_commit(session, plain.cache, tags="kept")
            with session.begin_nested() as inner:
                invalidate_on_commit(session, plain.cache, tags="lost")
                with session.begin_nested():
                    session.execute(RENAME)
                    invalidate_on_commit(session, plain.cache, tags="lost within")
                inner.rollback()
            with session.begin_nested(), session.begin_nested():
                invalidate_on_commit(session, plain.cache, tags="deep")
        invalidate_on_commit(session, plain.cache, tags="after")
        plain.tap.sent = 0
    assert plain.tap.sent == 1
    assert plain.left(*names) == ["lost", "lost within"]


def test_a_rollback_takes_released_savepoints_with_it(plain: Stand, engine: Engine):
    plain.fill("a")
    with Session(engine) as session:
        with session.begin_nested():
            session.execute(RENAME)
            invalidate_on_commit(session, plain.cache, tags="a")
        session.rollback()
    assert plain.left("a") == ["a"]


def test_a_savepoint_whose_flush_failed_takes_its_own_with_it(plain: Stand, engine: Engine):
    plain.fill("a", "b")
    with Session(engine) as session, session.begin():
        invalidate_on_commit(session, plain.cache, tags="a")
        with contextlib.suppress(IntegrityError), session.begin_nested():
            invalidate_on_commit(session, plain.cache, tags="b")
            session.add(User(id=1, name="Ada"))
    assert plain.left("a", "b") == ["b"]


def test_before_a_transaction_has_begun_it_counts_for_the_next(plain: Stand, engine: Engine):
    plain.fill("a", "b")
    with Session(engine) as session:
        invalidate_on_commit(session, plain.cache, tags="a")
        assert not session.in_transaction()
        with session.begin():
            session.execute(RENAME)
            assert plain.left("a") == ["a"]
        assert plain.left("a", "b") == ["b"]
        invalidate_on_commit(session, plain.cache, tags="b")
        session.commit()
    assert plain.left("b") == []


def test_sessions_do_not_mix(plain: Stand, engine: Engine):
    plain.fill("a", "b")
    with Session(engine) as one, Session(engine) as two:
        one.execute(text("SELECT 1"))
        two.execute(text("SELECT 1"))
        invalidate_on_commit(one, plain.cache, tags="a")
        invalidate_on_commit(two, plain.cache, tags="b")
        two.rollback()
        assert plain.left("a", "b") == ["a", "b"]
        one.commit()
        assert plain.left("a", "b") == ["b"]


def test_one_transaction_may_name_several_servers(
    plain: Stand, engine: Engine, valkey: Any, redis7: Any, namespace: str
):
    servers = [open_cache(each.url, namespace=namespace).sync() for each in (valkey, redis7)]
    for cache in servers:
        cache.set("a", 1, tags="t")
    with Session(engine) as session, session.begin():
        for cache in servers:
            invalidate_on_commit(session, cache, tags="t")
    for cache in servers:
        assert cache.get("a", consistency="strong") is None
        cache.close()


def test_a_commit_that_failed_before_it_was_sent_sends_nothing(plain: Stand, engine: Engine):
    plain.fill("a")
    with Session(engine) as session:
        session.add(User(id=1, name="Ada"))
        invalidate_on_commit(session, plain.cache, tags="a")
        with pytest.raises(IntegrityError):
            session.commit()
        session.rollback()
    assert plain.left("a") == ["a"]


@pytest.mark.parametrize("in_flush", [False, True])
def test_a_commit_that_was_sent_and_failed_may_have_happened(
    plain: Stand, engine: Engine, in_flush: bool
):
    """Nobody can tell, so it is invalidated: here a constraint is checked at the COMMIT."""
    plain.fill("a")

    def flushed(session: Session, context: object) -> None:
        invalidate_on_commit(session, plain.cache, tags="a", on_failure="raise")

    with Session(engine) as session:
        session.add(User(id=3, name="Cid", boss=99))
        if in_flush:
            event.listen(session, "after_flush", flushed)
        else:
            flushed(session, None)
        with pytest.raises(IntegrityError):
            session.commit()
        assert plain.left("a") == ["a"]
    assert plain.left("a") == []


def test_a_failure_of_the_cache_is_logged(
    plain: Stand, engine: Engine, caplog: pytest.LogCaptureFixture
):
    plain.fill("a", "b")
    assert plain.cache.get("a") == "old"
    plain.tap.failing = True
    with Session(engine) as session, session.begin():
        session.execute(RENAME)
        invalidate_on_commit(session, plain.cache, tags="a", keys="b")
    assert name_of(engine) == "Eve"
    (record,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert "after its commit, a transaction's 2 invalidations" in record.getMessage()
    assert plain.cache.stats().pending_invalidations == 2
    assert plain.cache.get("a") is None  # dead here at once
    assert plain.left("a", "b") == ["a", "b"]
    plain.tap.failing = False
    plain.cache.invalidate_tag("anything")
    assert plain.left("a", "b") == []
    assert plain.cache.stats().pending_invalidations == 0


def test_a_failure_of_the_cache_can_be_raised(plain: Stand, engine: Engine):
    plain.fill("a", "b")
    plain.tap.failing = True
    with Session(engine) as session:
        session.execute(RENAME)
        invalidate_on_commit(session, plain.cache, tags="a", on_failure="raise")
        invalidate_on_commit(session, plain.cache, tags="b")
        with pytest.raises(InvalidationError) as caught:
            session.commit()
        assert caught.value.tags == ("a", "b")
        assert "has been committed" in caught.value.__notes__[0]
        assert name_of(engine) == "Eve"
        session.execute(text("UPDATE users SET name = 'Fay' WHERE id = 1"))
        plain.tap.failing = False
        session.commit()  # the session goes on
    assert name_of(engine) == "Fay"
    plain.cache.invalidate_tag("anything")
    assert plain.left("a", "b") == []


def test_a_failure_of_the_cache_does_not_hide_that_of_the_commit(plain: Stand, engine: Engine):
    plain.tap.failing = True

    def add() -> None:
        with Session(engine) as session, session.begin():
            session.add(User(id=3, name="Cid", boss=99))
            invalidate_on_commit(session, plain.cache, tags="a", on_failure="raise")

    with pytest.raises(IntegrityError):
        add()
    assert plain.cache.stats().pending_invalidations == 1
    plain.tap.failing = False


def test_each_server_is_tried_also_after_the_failure_of_one(
    plain: Stand, engine: Engine, valkey: Any, namespace: str
):
    """And the error tells of all of them."""
    first, second = (
        open_cache(valkey.url, namespace=f"{namespace}{number}", hints=False).sync()
        for number in range(2)
    )
    for cache in (first, second):
        cache.set("a", 1, tags="t")
    ports: list[Any] = [first._core, second._core]
    taps = [tap(core.store._far) for core in ports]

    def change(*failing: bool) -> InvalidationError:
        for each, fails in zip(taps, failing, strict=True):
            each.failing = fails
        with Session(engine) as session:
            invalidate_on_commit(session, first, tags="t", on_failure="raise")
            invalidate_on_commit(session, second, tags=["t", "u"])
            with pytest.raises(InvalidationError) as caught:
                session.commit()
        return caught.value

    assert change(True, False).tags == ("t",)
    assert second.get("a", consistency="strong") is None
    both = change(True, True)
    assert both.tags == ("t", "t", "u")
    assert "2 stores" in str(both)
    for each, cache in zip(taps, (first, second), strict=True):
        each.failing = False
        cache.invalidate_tag("anything")
        assert cache.stats().pending_invalidations == 0
        cache.close()


def test_a_raised_failure_passes_through_the_blocks(plain: Stand, engine: Engine):
    plain.tap.failing = True

    def rename() -> None:
        with sessionmaker(engine).begin() as session:
            session.execute(RENAME)
            invalidate_on_commit(session, plain.cache, tags="a", on_failure="raise")

    with pytest.raises(InvalidationError):
        rename()
    assert name_of(engine) == "Eve"
    assert "Current Checked out connections: 0" in engine.pool.status()
    plain.tap.failing = False


def test_also_before_is_sent_on_both_sides_of_the_commit(plain: Stand, engine: Engine):
    plain.fill("a", "b")
    seen: list[str | None] = []

    async def before(commands: object) -> None:
        seen.append(name_of(engine))

    with Session(engine) as session, session.begin():
        session.execute(RENAME)
        plain.tap.before = before
        with session.begin_nested():
            invalidate_on_commit(session, plain.cache, tags="a", also_before=True)
        invalidate_on_commit(session, plain.cache, tags="b")
    assert seen == ["Ada", "Eve"]
    assert plain.left("a", "b") == []


def test_a_strict_failure_before_the_commit_prevents_it(
    plain: Stand, engine: Engine, caplog: pytest.LogCaptureFixture
):
    plain.fill("a")
    plain.tap.failing = True
    terms: Any = {"also_before": True, "on_failure": "raise"}

    def rename() -> None:
        with Session(engine) as session, session.begin():
            session.execute(RENAME)
            invalidate_on_commit(session, plain.cache, tags="a", **terms)

    with pytest.raises(InvalidationError) as caught:
        rename()
    assert not hasattr(caught.value, "__notes__")
    assert name_of(engine) == "Ada"
    assert not [each for each in caplog.records if each.levelno == logging.ERROR]
    plain.tap.failing = False


def test_a_lenient_failure_before_the_commit_does_not(
    plain: Stand, engine: Engine, caplog: pytest.LogCaptureFixture
):
    plain.tap.failing = True
    with Session(engine) as session, session.begin():
        session.execute(RENAME)
        invalidate_on_commit(session, plain.cache, tags="a", also_before=True)
    assert name_of(engine) == "Eve"
    messages = [each.getMessage() for each in caplog.records if each.levelno == logging.ERROR]
    assert [message.partition(" ")[0] for message in messages] == ["before", "after"]
    plain.tap.failing = False


def test_tags_can_be_invalidated_once_more(plain: Stand, engine: Engine):
    plain.fill("a")
    with Session(engine) as session, session.begin():
        invalidate_on_commit(session, plain.cache, tags="a", again_after=3600)
    assert plain.left("a") == []
    plain.fill("a")
    plain.cache.close()  # does at once what was to come
    assert plain.left("a") == []


def test_events_of_the_mapper_may_ask(plain: Stand, engine: Engine):
    plain.fill("user:1", "user:2")

    def changed(mapper: object, connection: object, user: User) -> None:
        session = object_session(user)
        assert session is not None
        invalidate_on_commit(session, plain.cache, tags=f"user:{user.id}")

    event.listen(User, "after_update", changed)
    try:
        with Session(engine) as session, session.begin():
            user = session.get_one(User, 1)
            user.name = "Eve"
            with session.begin_nested() as savepoint:
                session.get_one(User, 2).name = "Fay"
                session.flush()
                savepoint.rollback()
    finally:
        event.remove(User, "after_update", changed)
    assert plain.left("user:1", "user:2") == ["user:2"]


def test_scoped_sessions_and_subclasses_are_sessions(plain: Stand, engine: Engine):
    class OwnSession(Session):
        pass

    plain.fill("a")
    registry = scoped_session(sessionmaker(engine, class_=OwnSession))
    registry.execute(RENAME)
    invalidate_on_commit(registry, plain.cache, tags="a")
    registry.commit()
    registry.remove()
    assert plain.left("a") == []


def test_a_session_over_a_connection_commits_for_itself(plain: Stand, engine: Engine):
    """As in a test that rolls back an outer transaction when it is done."""
    plain.fill("a")
    with engine.connect() as connection, connection.begin() as outer:
        mode: Any = "create_savepoint"
        with Session(connection, join_transaction_mode=mode) as session:
            session.execute(RENAME)
            invalidate_on_commit(session, plain.cache, tags="a")
            session.commit()
        assert plain.left("a") == []
        outer.rollback()


def test_nothing_asked_is_nothing_sent(plain: Stand, engine: Engine):
    plain.tap.sent = 0
    with Session(engine) as session, session.begin():
        invalidate_on_commit(session, plain.cache)
        invalidate_on_commit(session, plain.cache, tags=[], keys=[])
    assert plain.tap.sent == 0


def test_what_is_wrong_is_told_at_once(plain: Stand, engine: Engine):
    awaited = open_cache("memory://")
    bare = faces.InMemoryCache()
    wrong: Any = object()
    with Session(engine) as session:
        for error, field, ask in (
            (ConfigError, "cache", lambda: invalidate_on_commit(session, awaited, tags="a")),
            (ConfigError, "cache", lambda: invalidate_on_commit(session, wrong, tags="a")),
            (ConfigError, "session", lambda: invalidate_on_commit(wrong, plain.cache, tags="a")),
            (InvalidTag, "", lambda: invalidate_on_commit(session, plain.cache, tags="")),
            (InvalidTag, "", lambda: invalidate_on_commit(session, plain.cache, tags=wrong)),
            (CacheKeyError, "", lambda: invalidate_on_commit(session, plain.cache, keys=["\0"])),
            (CacheKeyError, "", lambda: invalidate_on_commit(session, plain.cache, keys=wrong)),
            (TagsNotSupported, "", lambda: invalidate_on_commit(session, bare, tags="a")),
            (
                ConfigError,
                "again_after",
                lambda: invalidate_on_commit(session, bare, keys="a", again_after=1),
            ),
            (
                ConfigError,
                "again_after",
                lambda: invalidate_on_commit(session, plain.cache, tags="a", again_after=-1),
            ),
            (
                ConfigError,
                "on_failure",
                lambda: invalidate_on_commit(session, plain.cache, tags="a", on_failure=wrong),
            ),
        ):
            with pytest.raises(error) as caught:
                ask()
            assert getattr(caught.value, "field", "") == field
        with pytest.raises(ConfigError, match=r"cache\.sync\(\)"):
            deferred_to_commit(session, awaited)
        bare.set("a", 1)
        invalidate_on_commit(session, bare, keys="a")  # keys need no tags
        session.commit()
    assert bare.get("a") is None


# -- blocks ------------------------------------------------------------------------------------


def test_a_block_leaves_to_the_transaction_what_is_invalidated_in_it(plain: Stand, engine: Engine):
    plain.fill("a", "b", "c", "lost")
    with Session(engine) as session:
        with deferred_to_commit(session, plain.cache), session.begin():
            session.execute(RENAME)
            plain.cache.invalidate_tag("a")
            with session.begin_nested() as savepoint:
                plain.cache.invalidate_tags(["lost"])
                savepoint.rollback()
            plain.cache.invalidate_tag("b")
            assert plain.cache.delete("c") is True
            plain.far.set("c", "read before the commit")
            plain.tap.sent = 0
            assert plain.left("a", "b", "c", "lost") == ["a", "b", "c", "lost"]
        assert plain.tap.sent == 1
    assert plain.left("a", "b", "c", "lost") == ["lost"]
    plain.cache.invalidate_tag("lost")
    assert plain.left("lost") == []


def test_a_block_may_end_before_its_transaction(plain: Stand, engine: Engine):
    plain.fill("a")
    with Session(engine) as session, session.begin():
        session.execute(RENAME)
        with deferred_to_commit(session, plain.cache):
            plain.cache.invalidate_tag("a")
        assert plain.left("a") == ["a"]
    assert plain.left("a") == []


def test_what_has_no_transaction_when_a_block_ends_is_sent(plain: Stand, engine: Engine):
    plain.fill("a", "b", "c")
    with Session(engine) as session:
        invalidate_on_commit(session, plain.cache, tags="c")
        with deferred_to_commit(session, plain.cache):
            plain.cache.invalidate_tag("a")
        assert plain.left("a", "c") == ["c"]
        with contextlib.suppress(LookupError), deferred_to_commit(session, plain.cache):
            plain.cache.invalidate_tag("b")
            raise LookupError
        session.commit()
    assert plain.left("b", "c") == ["b"]


def test_a_block_is_entered_as_its_session_is(plain: Stand, engine: Engine):
    with Session(engine) as session:
        block: Any = deferred_to_commit(session, plain.cache)
        with pytest.raises(ConfigError, match="entered by `with`"):
            block.__aenter__().send(None)
