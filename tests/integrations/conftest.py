"""A cache on a server, another process's view of it, and a database file."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import sqlalchemy
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from armature_cache import TaggedCache, open_cache
from armature_cache import sync as faces
from tests.coherence.ports import Tap, tap

SCHEMA = (
    "PRAGMA foreign_keys=ON",
    """CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT UNIQUE,
       boss INTEGER REFERENCES users (id) DEFERRABLE INITIALLY DEFERRED)""",
    "INSERT INTO users VALUES (1, 'Ada', NULL), (2, 'Bob', NULL)",
)


class Stand(NamedTuple):
    """A cache that counts its round trips, and the view of another process."""

    cache: Any
    tap: Tap
    far: faces.TaggedCache

    def fill(self, *names: str) -> None:
        """Store an entry under each name, with the name as its tag."""
        for name in names:
            self.far.set(name, "old", tags=name, ttl=60)

    def left(self, *names: str) -> list[str]:
        """Which of these entries another process can still be served now."""
        return [name for name in names if self.far.get(name, consistency="strong") is not None]


@pytest.fixture
def far(server_url: str, namespace: str) -> Iterator[faces.TaggedCache]:
    url = server_url.replace("127.0.0.1", "localhost")
    with open_cache(url, namespace=namespace, hints=False).sync() as cache:
        yield cache


async def warm(cache: TaggedCache) -> None:
    """Let the clock be known, so that what a test counts is its own."""
    await cache.get("nothing")


@pytest.fixture
async def awaited(server_url: str, namespace: str, far: faces.TaggedCache) -> AsyncIterator[Stand]:
    cache = open_cache(server_url, namespace=namespace, hints=False)
    store: Any = cache.store
    await warm(cache)
    yield Stand(cache, tap(store.l2), far)
    await cache.aclose()


@pytest.fixture
def plain(server_url: str, namespace: str, far: faces.TaggedCache) -> Iterator[Stand]:
    cache = open_cache(server_url, namespace=namespace, hints=False).sync()
    core: Any = cache._core
    cache.get("nothing")
    yield Stand(cache, tap(core.store._far), far)
    cache.close()


def _begin(engine: sqlalchemy.Engine) -> None:
    """What pysqlite needs for savepoints: SQLAlchemy says BEGIN, not the driver."""

    @event.listens_for(engine, "connect")
    def connected(connection: Any, record: object) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def begun(connection: sqlalchemy.Connection) -> None:
        connection.exec_driver_sql("BEGIN")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sqlalchemy.Engine]:
    made = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/users.db")
    _begin(made)
    with made.begin() as connection:
        for statement in SCHEMA:
            connection.exec_driver_sql(statement)
    yield made
    made.dispose()


@pytest.fixture
async def async_engine(engine: sqlalchemy.Engine, tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    made = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/users.db")
    _begin(made.sync_engine)
    yield made
    await made.dispose()


def name_of(engine: sqlalchemy.Engine, number: int = 1) -> str | None:
    """What everybody reads of a user: committed data alone."""
    with engine.connect() as connection:
        found: str | None = connection.exec_driver_sql(
            "SELECT name FROM users WHERE id = ?", (number,)
        ).scalar()
        return found
