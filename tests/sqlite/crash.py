"""Writers that are killed in the middle: `make kills`, or `python -m tests.sqlite.crash`.

In each round several processes set, delete, load and invalidate, each its own keys, and note in a
ledger what they are about to do and what was acknowledged; memory that the system keeps when they
are killed. Then the file has to be whole, and to hold exactly what was acknowledged, but for what
each was doing when it died.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import mmap
import os
import random
import signal
import sqlite3
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from armature_cache import CacheConfig
from armature_cache.sqliteio import upkeep
from armature_cache.sync import SQLiteCache, TaggedCache

KEYS: Final = 40
GROUPS: Final = 4
ABSENT: Final = 0
_CELL: Final = struct.Struct("<QQ")
"""What a key held when that was acknowledged last, and what it may hold instead."""
_COUNT: Final = struct.Struct("<Q")
_LONGEST: Final = 20.0


def tag_of(rank: int, number: int) -> str:
    return f"w{rank}:{number % GROUPS}"


def key_of(rank: int, number: int) -> str:
    return f"w{rank}:k{number}"


class Ledger:
    """What all workers have done, in memory that outlives them."""

    def __init__(self, path: Path, workers: int) -> None:
        size = workers * (KEYS * _CELL.size + _COUNT.size)
        self._counts = workers * KEYS * _CELL.size
        if not path.exists():
            path.write_bytes(bytes(size))
        with path.open("r+b") as file:
            self._cells = mmap.mmap(file.fileno(), size)

    def _at(self, rank: int, number: int) -> int:
        return (rank * KEYS + number) * _CELL.size

    def read(self, rank: int, number: int) -> tuple[int, int]:
        """The acknowledged version, and another one that is as good."""
        found: tuple[int, int] = _CELL.unpack_from(self._cells, self._at(rank, number))
        return found

    def count(self, rank: int) -> int:
        """How many changes of a worker were acknowledged."""
        (count,) = _COUNT.unpack_from(self._cells, self._counts + rank * _COUNT.size)
        return int(count)

    def acknowledge(self, rank: int) -> None:
        at = self._counts + rank * _COUNT.size
        _COUNT.pack_into(self._cells, at, self.count(rank) + 1)

    def begin(self, rank: int, number: int, version: int) -> None:
        known, _ = self.read(rank, number)
        _CELL.pack_into(self._cells, self._at(rank, number), known, version)

    def end(self, rank: int, number: int, version: int) -> None:
        _CELL.pack_into(self._cells, self._at(rank, number), version, version)


@dataclasses.dataclass
class Found:
    """What a run has found."""

    rounds: int = 0
    kills: int = 0
    checked: int = 0
    acknowledged: int = 0
    lost: int = 0
    revived: int = 0
    damaged: int = 0
    replaced: int = 0
    failed: int = 0

    @property
    def bad(self) -> int:
        return self.lost + self.revived + self.damaged + self.replaced + self.failed

    def __str__(self) -> str:
        rows = {
            "processes killed with SIGKILL in the middle of work": self.kills,
            "changes acknowledged": self.acknowledged,
            "entries compared with what was acknowledged": self.checked,
            "acknowledged entries lost": self.lost,
            "deleted or replaced entries that were there again": self.revived,
            "files that PRAGMA integrity_check complains of": self.damaged,
            "files that were given up for a new one": self.replaced,
            "processes that met an error": self.failed,
        }
        return "".join(f"{what:<52}{count:>12,}\n" for what, count in rows.items())


def opened(path: Path) -> Any:
    config = CacheConfig.sqlite(path, hints=False, operation_timeout=10.0)
    return TaggedCache(SQLiteCache(config))


def work(path: Path, ledger: Ledger, rank: int, seed: int) -> None:
    """Change things until killed; with much upkeep, so that many are killed in that."""
    setattr(upkeep, "LOG_BYTES", 128 * 1024)  # noqa: B010 - a constant, elsewhere
    setattr(upkeep, "EVERY", 2)  # noqa: B010
    rng, cache = random.Random(seed), opened(path)
    version = max(max(ledger.read(rank, number)) for number in range(KEYS))
    while True:
        number, kind = rng.randrange(KEYS), rng.random()
        key, tag = key_of(rank, number), tag_of(rank, number)
        if kind < 0.75:
            version += 1
            ledger.begin(rank, number, version)
            value = [version, "x" * rng.choice((10, 500, 6000))]
            cache.set(key, value, tags=[tag, "all"], ttl=600, as_of=None)
            ledger.end(rank, number, version)
        elif kind < 0.85:
            ledger.begin(rank, number, ABSENT)
            cache.delete(key)
            ledger.end(rank, number, ABSENT)
        elif kind < 0.95:
            mine = range(number % GROUPS, KEYS, GROUPS)
            for each in mine:
                ledger.begin(rank, each, ABSENT)
            cache.invalidate_tag(tag)
            for each in mine:
                ledger.end(rank, each, ABSENT)
        else:
            cache.get_or_set(f"{key}:loaded", lambda: "y" * 300, ttl=600, tags=[tag])
        ledger.acknowledge(rank)


def forked(task: Callable[[], None]) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        task()
    except BaseException as error:  # noqa: BLE001 - told by the exit code
        sys.stderr.write(f"a worker failed: {error!r}\n")
    os._exit(1)


def check(path: Path, ledger: Ledger, workers: int, found: Found) -> None:
    """Look into the file while nobody writes, in a process of its own."""
    cache = opened(path)
    for rank in range(workers):
        for number in range(KEYS):
            allowed = set(ledger.read(rank, number))
            value = cache.get(key_of(rank, number), [ABSENT], consistency="strong")[0]
            found.checked += 1
            if value not in allowed:
                found.lost += value == ABSENT
                found.revived += value != ABSENT
                sys.stderr.write(f"w{rank}:k{number}: {value}, expected {allowed}\n")
    cache.close()
    with sqlite3.connect(path) as connection:
        (told,) = connection.execute("PRAGMA integrity_check").fetchone()
    connection.close()
    found.damaged += told != "ok"


def settle(ledger: Ledger, path: Path, workers: int) -> None:
    """From here on what is there counts as acknowledged."""
    cache = opened(path)
    for rank in range(workers):
        for number in range(KEYS):
            value = cache.get(key_of(rank, number), [ABSENT], consistency="strong")[0]
            ledger.end(rank, number, value)
    cache.close()


def _in_child(task: Callable[[], bytes]) -> bytes:
    """What a task returns, done in a process that leaves nothing open here."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if not pid:
        code = 1
        try:
            os.write(theirs, task())
            code = 0
        finally:
            os._exit(code)
    os.close(theirs)
    with os.fdopen(ours, "rb") as pipe:
        told = pipe.read()
    if os.waitpid(pid, 0)[1]:
        raise RuntimeError("a check failed")
    return told


def run(folder: Path, rounds: int, workers: int, seed: int) -> Found:
    """Make so many rounds; what was found."""
    path, rng, found = folder / "cache.db", random.Random(seed), Found()
    ledger = Ledger(folder / "ledger", workers)
    file = None
    for _ in range(rounds):
        found.rounds += 1
        began = [ledger.count(rank) for rank in range(workers)]
        pids = [
            forked(lambda rank=rank: work(path, ledger, rank, rng.getrandbits(32)))  # type: ignore[misc]
            for rank in range(workers)
        ]
        rng.shuffle(pids)
        try:
            _wait_for(ledger, [count + rng.randint(1, 60) for count in began])
        finally:
            for pid in pids:
                time.sleep(rng.choice((0.0, 0.0, rng.uniform(0.0, 0.05))))
                os.kill(pid, signal.SIGKILL)
                killed = os.WIFSIGNALED(os.waitpid(pid, 0)[1])
                found.kills += killed
                found.failed += not killed
        found.acknowledged += sum(map(ledger.count, range(workers))) - sum(began)
        told = _in_child(lambda: _checked(path, ledger, workers))
        found.checked, lost, revived, damaged = _sum(found, told)
        found.lost, found.revived, found.damaged = lost, revived, damaged
        now = path.stat().st_ino
        found.replaced += file not in {None, now}
        file = now
    return found


def _wait_for(ledger: Ledger, counts: list[int]) -> None:
    """Let every worker do some work."""
    deadline = time.monotonic() + _LONGEST
    while any(ledger.count(rank) < count for rank, count in enumerate(counts)):
        if time.monotonic() > deadline:
            raise RuntimeError("the workers do not work")
        time.sleep(0.001)


_TOLD: Final = struct.Struct("<4Q")


def _checked(path: Path, ledger: Ledger, workers: int) -> bytes:
    found = Found()
    check(path, ledger, workers, found)
    settle(ledger, path, workers)
    return _TOLD.pack(found.checked, found.lost, found.revived, found.damaged)


def _sum(found: Found, told: bytes) -> tuple[int, int, int, int]:
    checked, lost, revived, damaged = _TOLD.unpack(told)
    return (
        found.checked + checked, found.lost + lost, found.revived + revived,
        found.damaged + damaged,
    )  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sqlite.crash", description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--verbose", action="store_true")
    said = parser.parse_args()
    if said.verbose:
        logging.basicConfig(
            level=logging.INFO, format="%(process)d %(relativeCreated)d %(message)s"
        )
    with tempfile.TemporaryDirectory(prefix="armature-crash-") as folder:
        rounds = -(-said.kills // said.workers)
        found = run(Path(folder), rounds, said.workers, said.seed)
    sys.stdout.write(str(found))
    return 1 if found.bad else 0


if __name__ == "__main__":
    sys.exit(main())
