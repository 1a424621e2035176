"""What a cache file takes: its size, its log, and what leaves it."""

from __future__ import annotations

import contextlib
import random
import sqlite3
import threading
from typing import Any

import pytest

from armature_cache import ConfigError, ValueTooLarge
from armature_cache._runtime.ready import run_ready
from armature_cache.claims import Holder
from armature_cache.config import LEAST_FILE_BYTES
from armature_cache.sqliteio import upkeep
from tests.contract.faces import DEADLINE
from tests.sqlite.conftest import Disk

pytestmark = pytest.mark.slow

MEGABYTE = 1024 * 1024


def rows(disk: Disk, query: str, *values: object) -> list[Any]:
    """What another connection sees in the file."""
    with contextlib.closing(sqlite3.connect(disk.path)) as connection:
        return connection.execute(query, values).fetchall()


def check_index(disk: Disk) -> None:
    """No entry is listed without being there, and none is there without being listed."""
    assert rows(disk, "SELECT count(*) FROM listing WHERE id NOT IN (SELECT id FROM entries)") == [
        (0,)
    ]
    assert rows(disk, "PRAGMA integrity_check") == [("ok",)]


@pytest.fixture(autouse=True)
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Upkeep with every second write, and a log that is copied soon."""
    monkeypatch.setattr(upkeep, "EVERY", 2)
    monkeypatch.setattr(upkeep, "LOG_BYTES", MEGABYTE)


@pytest.mark.slow
def test_a_file_stays_below_its_bound(disk: Disk):
    cache = disk.plain(max_file_bytes=4 * MEGABYTE, max_load_time=0.001)
    largest = log = 0
    for number in range(4000):
        cache.set(f"k{number}", "x" * 2000, tags=["t", f"t{number % 50}"], ttl=600)
        largest = max(largest, disk.path.stat().st_size)
        log = max(log, disk.beside("-wal").stat().st_size)
    stats = cache.stats()
    assert stats.evictions > 1500
    assert largest <= 4.5 * MEGABYTE
    assert log <= 6 * MEGABYTE
    found = cache.get_many([f"k{number}" for number in range(3900, 4000)])
    assert len(found) > 60
    assert len(cache.get_keys_by_tag("t")) == len(list(cache.scan()))
    cache.close()
    check_index(disk)


@pytest.mark.slow
def test_what_is_read_stays(disk: Disk, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(upkeep, "UNTOUCHED", 0)
    cache = disk.plain(max_file_bytes=4 * MEGABYTE, max_load_time=0.001)
    hot = [f"hot{number}" for number in range(100)]
    for key in hot:
        cache.set(key, "x" * 2000)
    for number in range(4000):
        cache.set(f"k{number}", "x" * 2000)
        cache.get(random.choice(hot))
    kept = len(cache.get_many(hot))
    cold = len(cache.get_many([f"k{number}" for number in range(100)]))
    assert kept > 80
    assert cold < 10
    cache.close()


def test_what_has_ended_leaves_as_others_are_written(disk: Disk):
    cache = disk.plain(max_load_time=0.001)
    for number in range(300):
        cache.set(f"short{number}", number, tags=["t"], ttl=0.001)
    for number in range(300):
        cache.set(f"long{number}", number, ttl=600)
    assert cache.stats().expirations >= 290
    assert rows(disk, "SELECT count(*) FROM listing")[0][0] <= 10
    assert rows(disk, "SELECT count(*) FROM entries")[0][0] <= 310
    cache.close()
    check_index(disk)


def test_what_was_invalidated_leaves_as_others_are_written(disk: Disk):
    cache = disk.plain(max_load_time=0.001)
    for number in range(300):
        cache.set(f"dead{number}", number, tags=["t"], ttl=600)
    cache.invalidate_tag("t")
    for number in range(300):
        cache.set(f"long{number}", number, tags=["u"], ttl=600)
    assert rows(disk, "SELECT count(*) FROM entries")[0][0] <= 310
    assert cache.list_tags() == ["u"]
    cache.clear()
    for number in range(300):
        cache.set(f"other{number}", number, ttl=600)
    assert rows(disk, "SELECT count(*) FROM entries")[0][0] <= 310
    cache.close()
    check_index(disk)


def test_what_is_evicted_still_stands_against_older_loads(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(upkeep, "EVERY", 16)
    cache = disk.plain(max_file_bytes=LEAST_FILE_BYTES)
    mark = cache.mark()
    cache.set("k", "new", as_of=None)
    for number in range(1500):
        cache.set(f"k{number}", "x" * 2000, ttl=600)
    assert cache.get("k", "gone", consistency="strong") == "gone"
    assert cache.stats().evictions > 500
    cache.set("k", "old", as_of=mark)
    assert cache.get("k", "gone", consistency="strong") == "gone"
    cache.close()


def test_a_file_becomes_smaller_when_there_is_less_in_it(disk: Disk):
    cache = disk.plain(max_load_time=0.001)
    for number in range(2000):
        cache.set(f"k{number}", "x" * 2000, ttl=600)
    cache.close()
    large = disk.path.stat().st_size
    cache = disk.plain(max_load_time=0.001)
    cache.clear()
    for number in range(600):
        cache.set(f"n{number % 10}", number, ttl=600)
    cache.close()
    assert disk.path.stat().st_size < large / 3
    check_index(disk)


def test_large_values_make_room_for_themselves(disk: Disk):
    cache = disk.plain(max_file_bytes=4 * MEGABYTE, max_load_time=0.001)
    largest = 0
    for number in range(60):
        cache.set(f"k{number}", "x" * (MEGABYTE - 1000), ttl=600)
        largest = max(largest, disk.path.stat().st_size)
    assert largest <= 7 * MEGABYTE
    assert cache.get("k59") == "x" * (MEGABYTE - 1000)
    with pytest.raises(ValueTooLarge) as caught:
        cache.set("k", "x" * (MEGABYTE + 1))
    assert caught.value.limit == MEGABYTE
    cache.close()


def test_a_bound_that_is_too_small_is_refused(disk: Disk):
    with pytest.raises(ConfigError, match="1 MiB") as caught:
        disk.config(max_file_bytes=LEAST_FILE_BYTES - 1)
    assert caught.value.field == "max_file_bytes"


@pytest.mark.slow
def test_readers_do_not_keep_the_log_from_beginning_anew(disk: Disk):
    cache = disk.plain()
    for number in range(100):
        cache.set(f"k{number}", "x" * 2000, ttl=600)
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            cache.get(f"k{random.randrange(100)}")

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    log = 0
    for number in range(1500):
        cache.set(f"k{number % 100}", "x" * 2000, ttl=600)
        log = max(log, disk.beside("-wal").stat().st_size)
    stop.set()
    for thread in threads:
        thread.join(DEADLINE)
    cache.close()
    assert log < 6 * MEGABYTE


def test_claims_of_the_dead_are_swept(disk: Disk):
    cache = disk.plain()
    dead = Holder("nonce", 1, 1)
    run_ready(cache._core._claim([f"c{number}" for number in range(50)], dead, 0.001))
    assert rows(disk, "SELECT count(*) FROM claims") == [(50,)]
    for number in range(200):
        cache.set("k", number)
    assert rows(disk, "SELECT count(*) FROM claims") == [(0,)]
    cache.close()
