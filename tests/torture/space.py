"""The objects that are tortured, and the source of truth that their values come from."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import mmap
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from armature_cache._time import boottime as now

SPACES: Final = ("", "north", "south")
"""The root of the cache, and the namespaces within it."""
PER_SPACE: Final = 10
OBJECTS: Final = len(SPACES) * PER_SPACE
GROUPS: Final = 3
COUNTERS: Final = 4
LOCKS: Final = 3
NAMESPACE: Final = "torture"
COUNTER_NAMESPACE: Final = "torture-counts"


def space_of(obj: int) -> int:
    """In which namespace an object lives."""
    return obj // PER_SPACE


def key_of(obj: int) -> str:
    """Its key there."""
    return f"k{obj % PER_SPACE}"


def tags_of(obj: int) -> list[str]:
    """The tags that every entry of an object carries."""
    return [f"o{obj % PER_SPACE}", f"g{obj % GROUPS}"]


def tagged(space: int, tags: list[str]) -> tuple[int, ...]:
    """The objects that carry one of these tags; the tags of a namespace are its own."""
    return tuple(obj for obj in members(space) if set(tags) & set(tags_of(obj)))


def members(space: int) -> tuple[int, ...]:
    """The objects of a namespace, or of the root itself."""
    return tuple(range(space * PER_SPACE, (space + 1) * PER_SPACE))


def within(space: int) -> tuple[int, ...]:
    """The objects that clearing reaches: the root's reaches all."""
    return members(space) if space else tuple(range(OBJECTS))


def name_of(obj: int) -> str:
    """An object as people read it."""
    return f"{SPACES[space_of(obj)] or 'root'}/{key_of(obj)}"


@dataclasses.dataclass(frozen=True)
class Commit:
    """A new version became the truth between two moments."""

    version: int
    began: float
    at: float


_CELL: Final = struct.Struct("<Q")
_WINDOW: Final = OBJECTS
_STOP: Final = OBJECTS + 1


class Truth:
    """The current version of every object, in memory that all processes share."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("r+b")
        self._cells = mmap.mmap(self._file.fileno(), 0)
        self._lock = threading.Lock()

    @staticmethod
    def create(folder: Path) -> Truth:
        """Begin with version 1 of everything."""
        path = folder / "truth"
        path.write_bytes(b"".join(_CELL.pack(1) for _ in range(OBJECTS)) + _CELL.pack(0) * 2)
        return Truth(path)

    def again(self) -> Truth:
        """The same truth for a forked child, whose locks are its own."""
        return Truth(self.path)

    def _get(self, cell: int) -> int:
        (value,) = _CELL.unpack_from(self._cells, cell * _CELL.size)
        return int(value)

    def _put(self, cell: int, value: int) -> None:
        _CELL.pack_into(self._cells, cell * _CELL.size, value)

    def read(self, obj: int) -> int:
        """The current version of an object."""
        return self._get(obj)

    def commit(self, obj: int) -> Commit:
        """Make a new version current."""
        with self._locked(obj):
            version = self._get(obj) + 1
            began = now()
            self._put(obj, version)
            return Commit(version, began, now())

    @contextlib.contextmanager
    def _locked(self, cell: int) -> Iterator[None]:
        at = cell * _CELL.size
        with self._lock:
            fcntl.lockf(self._file, fcntl.LOCK_EX, _CELL.size, at)
            try:
                yield
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN, _CELL.size, at)

    @property
    def window(self) -> int:
        """The number of the time without loss of data; 0 while data is being destroyed."""
        return self._get(_WINDOW)

    @window.setter
    def window(self, number: int) -> None:
        self._put(_WINDOW, number)

    @property
    def stopping(self) -> bool:
        """Whether the workers are to end."""
        return bool(self._get(_STOP))

    def stop(self) -> None:
        """Let the workers end."""
        self._put(_STOP, 1)
