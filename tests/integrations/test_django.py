"""Django's transactions: what a commit sends, and what a rollback takes with it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import unittest
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.exceptions import SynchronousOnlyOperation
from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import AsyncClient, TestCase

from armature_cache import ConfigError, InvalidationError, InvalidTag, TagsNotSupported, open_cache
from armature_cache import sync as faces
from tests.integrations import django_site as site
from tests.integrations.conftest import Stand
from tests.integrations.django_site import rename

from armature_cache.integrations.django import (  # isort: skip - wants the settings
    deferred_to_commit,
    invalidate_on_commit,
)


@pytest.fixture(autouse=True)
def database() -> Iterator[None]:
    site.reset()
    yield
    connections.close_all()


def seen_elsewhere() -> str:
    """What another connection reads: committed data alone."""
    other: BaseDatabaseWrapper = connections.create_connection("default")
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT name FROM users")
            return str(cursor.fetchone()[0])
    finally:
        other.close()


def test_a_commit_sends_all_of_it_in_one_round_trip(plain: Stand):
    plain.fill("a", "b", "c", "d", "e")
    seen: list[str] = []

    async def before(commands: object) -> None:
        seen.append(seen_elsewhere())

    with transaction.atomic():
        rename("Eve")
        for _ in range(3):
            invalidate_on_commit(plain.cache, tags=["a", "b"], keys="c")
        with transaction.atomic():
            invalidate_on_commit(plain.cache, tags="d")
        plain.tap.before = before
        assert plain.left("a", "b", "c", "d") == ["a", "b", "c", "d"]
    assert seen == ["Eve"]
    assert plain.left("a", "b", "c", "d", "e") == ["e"]


def test_a_rollback_sends_nothing(plain: Stand):
    plain.fill("a")
    plain.tap.sent = 0
    with contextlib.suppress(LookupError), transaction.atomic():
        rename("Eve")
        invalidate_on_commit(plain.cache, tags="a")
        raise LookupError
    with transaction.atomic():
        invalidate_on_commit(plain.cache, tags="a")
        transaction.set_rollback(True)
    with transaction.atomic():
        rename("Fay")  # and the next transaction inherits nothing
    assert plain.tap.sent == 0
    assert plain.left("a") == ["a"]


def test_a_savepoint_takes_its_own_with_it(plain: Stand):
    names = ("outer", "kept", "lost", "lost within", "deep", "after")
    plain.fill(*names)
    with transaction.atomic():
        rename("Eve")
        invalidate_on_commit(plain.cache, tags="outer")
        with transaction.atomic():
            invalidate_on_commit(plain.cache, tags="kept")
            with contextlib.suppress(LookupError), transaction.atomic():
                invalidate_on_commit(plain.cache, tags="lost")
                with transaction.atomic():
                    invalidate_on_commit(plain.cache, tags="lost within")
                raise LookupError
            with transaction.atomic(), transaction.atomic():
                invalidate_on_commit(plain.cache, tags="deep")
        invalidate_on_commit(plain.cache, tags="after")
        plain.tap.sent = 0
    assert plain.tap.sent == 1
    assert plain.left(*names) == ["lost", "lost within"]


def test_many_savepoints_cost_one_round_trip(plain: Stand):
    with transaction.atomic():
        for number in range(100):
            with contextlib.suppress(LookupError), transaction.atomic():
                invalidate_on_commit(plain.cache, tags=f"tag:{number}")
                if number % 3 == 2:
                    raise LookupError
        plain.tap.sent = 0
    assert plain.tap.sent == 1
    assert plain.cache.stats().invalidations == 67


def test_outside_of_a_transaction_it_is_sent_at_once(plain: Stand):
    plain.fill("a")
    invalidate_on_commit(plain.cache, tags="a", also_before=True)
    assert plain.left("a") == []


def test_each_database_has_its_own_transaction(plain: Stand):
    plain.fill("a", "b")
    with transaction.atomic(using="other"):
        with transaction.atomic():
            rename("Eve")
            invalidate_on_commit(plain.cache, tags="a")
            invalidate_on_commit(plain.cache, tags="b", using="other")
        assert plain.left("a", "b") == ["b"]
    assert plain.left("b") == []


def test_a_failure_of_the_cache_is_logged(plain: Stand, caplog: pytest.LogCaptureFixture):
    plain.fill("a")
    plain.tap.failing = True
    with transaction.atomic():
        rename("Eve")
        invalidate_on_commit(plain.cache, tags="a")
    assert site.names() == "Eve"
    (record,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert "after its commit, a transaction's 1 invalidations" in record.getMessage()
    assert plain.cache.stats().pending_invalidations == 1
    plain.tap.failing = False
    plain.cache.invalidate_tag("anything")
    assert plain.left("a") == []


def test_a_failure_of_the_cache_can_be_raised(plain: Stand):
    plain.fill("a", "b")
    plain.tap.failing = True

    def change() -> None:
        with transaction.atomic():
            rename("Eve")
            invalidate_on_commit(plain.cache, tags="a")
            invalidate_on_commit(plain.cache, tags="b", on_failure="raise")

    with pytest.raises(InvalidationError) as caught:
        change()
    assert "has been committed" in caught.value.__notes__[0]
    assert set(caught.value.tags) == {"a", "b"}
    assert site.names() == "Eve"
    plain.tap.failing = False
    plain.cache.invalidate_tag("anything")
    assert plain.left("a", "b") == []


def test_also_before_is_sent_on_both_sides_of_the_commit(plain: Stand):
    plain.fill("a", "b")
    seen: list[str] = []

    async def before(commands: object) -> None:
        seen.append(seen_elsewhere())

    plain.tap.before = before
    with transaction.atomic():
        rename("Eve")
        invalidate_on_commit(plain.cache, tags="a", also_before=True)
        invalidate_on_commit(plain.cache, tags="b")
        assert plain.left("a", "b") == ["b"]
    assert seen == ["Ada", "Eve"]
    assert plain.left("b") == []


@pytest.mark.parametrize("on_failure", ["log", "raise"])
def test_a_failure_before_the_commit_prevents_it_if_strict(plain: Stand, on_failure: Any):
    plain.tap.failing = True

    def change() -> None:
        with transaction.atomic():
            rename("Eve")
            invalidate_on_commit(plain.cache, tags="a", also_before=True, on_failure=on_failure)

    if on_failure == "raise":
        with pytest.raises(InvalidationError):
            change()
    else:
        change()
    assert site.names() == ("Ada" if on_failure == "raise" else "Eve")
    plain.tap.failing = False


def test_tags_can_be_invalidated_once_more(plain: Stand):
    with transaction.atomic():
        invalidate_on_commit(plain.cache, tags="a", again_after=3600)
    plain.fill("a")
    plain.cache.close()  # does at once what was to come
    assert plain.left("a") == []


def test_a_block_leaves_to_the_transaction_what_is_invalidated_in_it(plain: Stand):
    plain.fill("a", "b", "lost", "at once")
    with deferred_to_commit(plain.cache):
        with transaction.atomic():
            rename("Eve")
            plain.cache.invalidate_tag("a")
            assert plain.cache.delete("b")
            with contextlib.suppress(LookupError), transaction.atomic():
                plain.cache.invalidate_tag("lost")
                raise LookupError
            plain.far.set("b", "read before the commit")
            plain.tap.sent = 0
            assert plain.left("a", "b", "lost") == ["a", "b", "lost"]
        assert plain.tap.sent == 1
        plain.cache.invalidate_tag("at once")
    assert plain.left("a", "b", "lost", "at once") == ["lost"]


async def test_an_async_view_invalidates_in_its_thread(plain: Stand):
    plain.fill("a")
    site.cache = plain.cache
    response = await AsyncClient().get("/", {"name": "Eve"})
    assert response.status_code == 200
    assert await asyncio.to_thread(site.names) == "Eve"
    assert plain.left("a") == []
    await asyncio.to_thread(connections.close_all)


async def test_an_event_loop_is_not_held_up(plain: Stand):
    with pytest.raises(SynchronousOnlyOperation):
        invalidate_on_commit(plain.cache, tags="a")
    with pytest.raises(SynchronousOnlyOperation):
        deferred_to_commit(plain.cache)


def test_a_test_case_runs_the_hooks_that_it_captures(plain: Stand):
    """`TestCase` never commits: what it captures is run, all of it in one round trip."""
    plain.fill("a", "b")
    seen: list[list[str]] = []

    class Case(TestCase):
        databases = frozenset({"default"})  # type: ignore[assignment]

        def test(self) -> None:
            with transaction.atomic():
                rename("Eve")
                invalidate_on_commit(plain.cache, tags="a")
            seen.append(plain.left("a", "b"))
            with self.captureOnCommitCallbacks(execute=True) as callbacks:
                with transaction.atomic():
                    invalidate_on_commit(plain.cache, tags="b")
                with transaction.atomic():
                    invalidate_on_commit(plain.cache, tags="b")
                plain.tap.sent = 0
            seen.append([str(len(callbacks)), str(plain.tap.sent)])

    result = unittest.TestSuite([Case("test")]).run(unittest.TestResult())
    assert not [*result.errors, *result.failures]
    assert seen == [["a", "b"], ["2", "1"]]
    assert "b" not in plain.left("a", "b")
    assert site.names() == "Ada"


def test_what_is_wrong_is_told_at_once(plain: Stand):
    wrong: Any = open_cache("memory://")
    with pytest.raises(ConfigError, match=r"cache\.sync\(\)"):
        invalidate_on_commit(wrong, tags="a")
    with pytest.raises(ConfigError, match="needs the sync face"):
        deferred_to_commit(wrong)
    with pytest.raises(InvalidTag):
        invalidate_on_commit(plain.cache, tags=[""])
    with pytest.raises(TagsNotSupported):
        invalidate_on_commit(faces.InMemoryCache(), tags="a")
    with pytest.raises(ConfigError, match="on_failure"):
        invalidate_on_commit(plain.cache, tags="a", on_failure=wrong)
