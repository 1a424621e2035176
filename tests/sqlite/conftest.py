"""A file for each test, and other processes that use it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from armature_cache import CacheConfig, SQLiteCache, TaggedCache
from tests.coherence.peers import Peer


class Disk:
    """One cache file, and what is beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "cache.db"

    @property
    def url(self) -> str:
        return f"sqlite:///{self.path}"

    def beside(self, suffix: str) -> Path:
        return Path(f"{self.path}{suffix}")

    def config(self, **settings: Any) -> CacheConfig:
        options = {"hints": False, "staleness_bound": 0.05, "operation_timeout": 2.0, **settings}
        return CacheConfig.sqlite(self.path, **options)

    def open(self, **settings: Any) -> TaggedCache:
        return TaggedCache(SQLiteCache(self.config(**settings)))

    def plain(self, **settings: Any) -> Any:
        """The sync face."""
        return self.open(**settings).sync()


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


@pytest.fixture
def peers(disk: Disk) -> Iterator[Callable[[], Peer]]:
    """Starts processes that use the file."""
    started: list[Peer] = []

    def start() -> Peer:
        started.append(Peer(disk.url, "cache"))
        return started[-1]

    yield start
    for peer in started:
        peer.close()
