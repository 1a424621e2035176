"""A recorded trace in place of the synthetic mix.

A trace is an xz file of one big-endian unsigned 32-bit integer per access: bits 27-31 are the type
of an object, bits 9-26 its id, bits 0-8 an index within it.
"""

from __future__ import annotations

import array
import dataclasses
import functools
import lzma
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from armature_cache import TaggedCache, TieredCacheConfig, register_type
from armature_cache.demo.database import Database, connect, create
from armature_cache.demo.services import HOUR, open_tiers
from armature_cache.demo.watch import note_query
from armature_cache.demo.workload import Operation, Read, Update, Version

_DATABASE: Final = "parts.sqlite"
_ACCESSES: Final = "accesses"
_INDEX_BITS: Final = 9
_INDEX_MASK: Final = 511
_TYPE_SHIFT: Final = 18
_ID_MASK: Final = 0x3FFFF


class TraceError(Exception):
    """A trace that is not there or cannot be read."""


def read_trace(path: Path) -> array.array[int]:
    """The accesses of a trace; `TraceError` if it cannot be read."""
    try:
        with lzma.open(path) as file:
            raw = file.read()
    except OSError as error:
        raise TraceError(f"cannot read the trace {path}: {error.strerror or error}") from None
    except (lzma.LZMAError, EOFError) as error:
        raise TraceError(f"{path} is not a whole xz file: {error}") from None
    accesses = array.array("I")
    if not raw or len(raw) % accesses.itemsize:
        raise TraceError(
            f"{path} holds {len(raw)} bytes; a trace is one 32-bit integer per access, at least one"
        )
    accesses.frombytes(raw)
    if sys.byteorder == "little":
        accesses.byteswap()
    return accesses


@register_type
@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """One indexed part of an object; `version` counts the updates of the object."""

    type: int
    id: int
    index: int
    body: str
    version: int


class PartDatabase(Database):
    """The objects of a trace; `packed` is type and id in one number."""

    async def query_part(self, kind: int, number: int, index: int) -> Part:
        """One part, as it is now."""
        packed = kind << _TYPE_SHIFT | number
        ((body, version),) = await self.query(
            "SELECT body, version FROM objects WHERE packed = ?", packed
        )
        return Part(kind, number, index, body, version)

    async def update_object(self, kind: int, number: int) -> int:
        """Change an object; the version this makes."""
        (version,) = await self.change(
            "UPDATE objects SET version = version + 1 WHERE packed = ? RETURNING version",
            kind << _TYPE_SHIFT | number,
        )
        return int(version)


class PartService:
    """Parts of objects, under `type:id:index`, with the tags `type` and `type:id`."""

    def __init__(self, database: PartDatabase, cache: TaggedCache) -> None:
        self.database = database
        self.cache = cache

    async def get_part(self, kind: int, number: int, index: int) -> Part:
        """A part, from the nearest place that has it."""
        key = f"{kind}:{number}:{index}"
        cached: Part | None = await self.cache.get(key)
        if cached is not None:
            return cached
        part = await self.database.query_part(kind, number, index)
        await self.cache.set_with_tags(key, part, [f"{kind}", f"{kind}:{number}"], ttl=HOUR)
        return part

    async def update_object(self, kind: int, number: int) -> int:
        """Change an object, and all its parts with it; its new version."""
        version = await self.database.update_object(kind, number)
        await self.cache.invalidate_tag(f"{kind}:{number}")
        return version


@dataclasses.dataclass(frozen=True)
class TraceReplay:
    """A trace, dealt out to the workers access by access, with updates in between."""

    path: Path
    updates: float = 0.01
    seed: int = 7
    part_service: type[PartService] = PartService

    @property
    def title(self) -> str:
        return f"{self.path.name}, with an update of the object after {self.updates:.0%} of reads"

    def create(self, folder: Path) -> int:
        accesses = read_trace(self.path)
        with (folder / _ACCESSES).open("wb") as file:
            accesses.tofile(file)
        objects = sorted({access >> _INDEX_BITS for access in accesses})
        create(
            folder / _DATABASE,
            "CREATE TABLE objects "
            "(packed INTEGER PRIMARY KEY, number INT UNIQUE, body TEXT, version INT)",
            "INSERT INTO objects VALUES (?, ?, ?, 1)",
            ((packed, number, f"Part of {packed}. " * 10) for number, packed in enumerate(objects)),
        )
        return len(objects)

    def open(
        self, folder: Path, url: str, namespace: str, tiers: TieredCacheConfig
    ) -> TraceSession:
        return TraceSession(self, folder, url, namespace, tiers)


class TraceSession:
    """The replay in one worker."""

    def __init__(
        self, replay: TraceReplay, folder: Path, url: str, namespace: str, tiers: TieredCacheConfig
    ) -> None:
        self._replay, self._folder = replay, folder
        self.database = PartDatabase(folder / _DATABASE, note_query)
        self.cache = open_tiers(url, namespace, tiers)
        self.parts = replay.part_service(self.database, self.cache)
        self._numbers = _numbers(folder / _DATABASE)

    def operations(self, rank: int, workers: int) -> Iterator[Operation]:
        """Each access that falls to this worker, now and then followed by an update."""
        draw = random.Random(self._replay.seed * workers + rank)
        for access in _load(self._folder / _ACCESSES)[rank::workers]:
            packed = access >> _INDEX_BITS
            kind, number = packed >> _TYPE_SHIFT, packed & _ID_MASK
            call = functools.partial(self.parts.get_part, kind, number, access & _INDEX_MASK)
            yield Read(call, self._seen)
            if draw.random() < self._replay.updates:
                yield Update(functools.partial(self._update, kind, number))

    def _seen(self, part: Part) -> list[Version]:
        return [Version(self._numbers[part.type << _TYPE_SHIFT | part.id], part.version)]

    async def _update(self, kind: int, number: int) -> Version:
        version = await self.parts.update_object(kind, number)
        return Version(self._numbers[kind << _TYPE_SHIFT | number], version)

    async def truth(self, number: int) -> int:
        ((version,),) = await self.database.query(
            "SELECT version FROM objects WHERE number = ?", number
        )
        return int(version)

    async def aclose(self) -> None:
        try:
            await self.cache.aclose()
        finally:
            self.database.close()


def _load(path: Path) -> array.array[int]:
    accesses = array.array("I")
    accesses.frombytes(path.read_bytes())
    return accesses


def _numbers(path: Path) -> dict[int, int]:
    database = connect(path)
    try:
        return dict(database.execute("SELECT packed, number FROM objects"))
    finally:
        database.close()
