"""A real database: SQLite in WAL mode, read and written by any number of processes."""

from __future__ import annotations

import asyncio
import dataclasses
import sqlite3
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from armature_cache import register_type

Row = tuple[Any, ...]

_BUSY_TIMEOUT: Final = 30.0

CATEGORIES: Final = tuple(f"category-{number}" for number in range(50))
BRANDS: Final = ("acme", "globex", "initech", "umbrella")


class Database:
    """One process's connections: one to read and one to write, each on a thread of its own.

    `on_query` is called for every query, in the context of who asks.
    """

    def __init__(self, path: Path, on_query: Callable[[], None] = lambda: None) -> None:
        self._reading, self._writing = connect(path), connect(path)
        self._readers = ThreadPoolExecutor(1, "database-reader")
        self._writers = ThreadPoolExecutor(1, "database-writer")
        self._on_query = on_query

    async def query(self, sql: str, *values: object) -> list[Row]:
        """The rows of a query."""
        self._on_query()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._readers, lambda: self._reading.execute(sql, values).fetchall()
        )

    async def change(self, sql: str, *values: object) -> Row:
        """Make a change, commit it, and return the one row of its RETURNING clause."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._writers, self._commit, sql, values)

    def _commit(self, sql: str, values: tuple[object, ...]) -> Row:
        with self._writing:
            row: Row | None = self._writing.execute(sql, values).fetchone()
        if row is None:
            raise LookupError(f"no such row: {values[-1]!r}")
        return row

    def close(self) -> None:
        """Finish what is under way, then close."""
        for threads, connection in (
            (self._readers, self._reading),
            (self._writers, self._writing),
        ):
            threads.shutdown()
            connection.close()


def connect(path: Path) -> sqlite3.Connection:
    """A connection that any one thread at a time may use."""
    connection = sqlite3.connect(path, timeout=_BUSY_TIMEOUT, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


def create(path: Path, schema: str, insert: str, rows: Iterable[Row]) -> None:
    """Make a table and fill it."""
    connection = connect(path)
    with connection:
        connection.execute(schema)
        connection.executemany(insert, rows)
    connection.close()


@register_type
@dataclasses.dataclass(frozen=True, slots=True)
class User:
    """A row of `users`; `version` counts its updates."""

    id: int
    name: str
    email: str
    bio: str
    version: int


@register_type
@dataclasses.dataclass(frozen=True, slots=True)
class Product:
    """A row of `products`; `version` counts its updates."""

    id: int
    name: str
    category: str
    brand: str
    cents: int
    version: int


class ShopDatabase(Database):
    """The users and products of a shop."""

    async def query_user(self, user_id: int) -> User | None:
        """The user with this id."""
        rows = await self.query(
            "SELECT id, name, email, bio, version FROM users WHERE id = ?", user_id
        )
        return User(*rows[0]) if rows else None

    async def update_user(self, user_id: int, name: str) -> int:
        """Rename a user; the version this makes."""
        (version,) = await self.change(
            "UPDATE users SET name = ?, version = version + 1 WHERE id = ? RETURNING version",
            name,
            user_id,
        )
        return int(version)

    async def query_product(self, product_id: int) -> Product | None:
        """The product with this id."""
        rows = await self.query(
            "SELECT id, name, category, brand, cents, version FROM products WHERE id = ?",
            product_id,
        )
        return Product(*rows[0]) if rows else None

    async def query_category(self, category: str) -> list[Product]:
        """All products of a category."""
        rows = await self.query(
            "SELECT id, name, category, brand, cents, version FROM products WHERE category = ?",
            category,
        )
        return [Product(*row) for row in rows]

    async def update_price(self, product_id: int, cents: int) -> tuple[int, str]:
        """Change a price; the version this makes, and the product's category."""
        version, category = await self.change(
            "UPDATE products SET cents = ?, version = version + 1 WHERE id = ? "
            "RETURNING version, category",
            cents,
            product_id,
        )
        return int(version), str(category)


def create_shop(path: Path, users: int, products: int) -> None:
    """A shop with that many users and products, numbered from 1."""
    create(
        path,
        "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT, email TEXT, bio TEXT, version INT)",
        "INSERT INTO users VALUES (?, ?, ?, ?, 1)",
        (
            (number, f"User {number}", f"user{number}@example.com", f"About {number}. " * 12)
            for number in range(1, users + 1)
        ),
    )
    create(
        path,
        "CREATE TABLE products "
        "(id INTEGER PRIMARY KEY, name TEXT, category TEXT, brand TEXT, cents INT, version INT)",
        "INSERT INTO products VALUES (?, ?, ?, ?, ?, 1)",
        (
            (
                number,
                f"Product {number}",
                CATEGORIES[number % len(CATEGORIES)],
                BRANDS[number % len(BRANDS)],
                100 + number,
            )
            for number in range(1, products + 1)
        ),
    )
    connection = connect(path)
    connection.execute("CREATE INDEX products_by_category ON products (category)")
    connection.close()
