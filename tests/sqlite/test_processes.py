"""Several processes, threads and event loops over one file; forks, rights, full disks."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from armature_cache import BackendTimeout, InvalidationError
from tests.coherence.peers import Peer
from tests.contract.faces import DEADLINE
from tests.sqlite import crash
from tests.sqlite.conftest import Disk

pytestmark = pytest.mark.slow

NOBODY = 65534


def program(text: str, *arguments: object) -> str:
    """What another interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(text), *map(str, arguments)],
        capture_output=True, text=True, timeout=55, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


# -- forks -------------------------------------------------------------------------------------

FORKING = """
import os, sys, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from armature_cache import CacheConfig
from armature_cache.sync import InMemoryCache, SQLiteCache, TaggedCache, TieredCache
cache = TaggedCache(TieredCache(InMemoryCache(), SQLiteCache(CacheConfig.sqlite(sys.argv[1]))))
cache.set("warm", "v", tags=["t"], ttl=600)
cache.increment("n", 0)
stop, failures = threading.Event(), []
def churn(n):
    i = 0
    try:
        while not stop.is_set():
            i += 1
            cache.set(f"{n}:{i % 50}", i, tags=["churn"], ttl=60)
            cache.get_or_set(f"load:{n}:{i % 50}", lambda: i, ttl=60)
            cache.get(f"{n}:{(i + 7) % 50}")
            if i % 10 == 0:
                cache.invalidate_tag("churn")
    except BaseException as error:
        failures.append(error)
threads = [threading.Thread(target=churn, args=(n,)) for n in range(4)]
for thread in threads:
    thread.start()
failed, children = 0, 12
for number in range(children):
    pid = os.fork()
    if pid == 0:
        import signal
        signal.alarm(20)
        code = 1
        try:
            ok = cache.get("warm") == "v"
            cache.set(f"child{number}", number)
            ok = ok and cache.get(f"child{number}") == number
            ok = ok and cache.get_or_set(f"loaded{number}", lambda: "c", ttl=60) == "c"
            cache.increment("n")
            code = 0 if ok else 1
            if number % 2:
                sys.exit(code)  # with everything that an interpreter does at its end
        finally:
            if not number % 2:
                os._exit(code)
        os._exit(code)
    failed += os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0
    assert cache.get(f"child{number}", consistency="strong") == number
stop.set()
for thread in threads:
    thread.join()
assert not failures, failures
assert failed == 0, failed
assert cache.get("warm") == "v"
assert cache.increment("n", 0) == children
cache.close()
print("done")
"""


def test_children_of_a_busy_process_work(disk: Disk):
    assert program(FORKING, disk.path) == "done\n"
    with contextlib.closing(sqlite3.connect(disk.path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_who_leaves_without_closing_leaves_the_file_as_it_should_be(disk: Disk):
    leaving = """
    import sys
    from armature_cache import CacheConfig
    from armature_cache.sync import SQLiteCache
    SQLiteCache(CacheConfig.sqlite(sys.argv[1])).set("k", 1)
    """
    program(leaving, disk.path)
    assert not disk.beside("-wal").exists()
    cache = disk.plain()
    assert cache.get("k") == 1
    cache.close()


# -- waiting -----------------------------------------------------------------------------------


@contextlib.contextmanager
def locked(disk: Disk) -> Iterator[None]:
    """Somebody who writes, and does not come to an end."""
    with contextlib.closing(sqlite3.connect(disk.path, isolation_level=None)) as other:
        other.execute("PRAGMA wal_autocheckpoint = 0")
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def test_readers_do_not_wait_for_a_writer(disk: Disk):
    cache = disk.plain(operation_timeout=0.2)
    cache.set("k", 1, tags=["t"])
    with locked(disk):
        assert cache.get("k") == 1
        assert cache.get("k", consistency="strong") == 1
        with pytest.raises(BackendTimeout, match="operation_timeout"):
            cache.set("k", 2)
        with pytest.raises(InvalidationError) as caught:
            cache.invalidate_tag("t")
        assert caught.value.tags == ("t",)
        assert cache.stats().pending_invalidations == 2
    assert cache.get("k", "gone") == "gone"
    assert cache.stats().pending_invalidations == 0
    cache.close()


async def test_an_event_loop_goes_on_while_a_writer_waits(disk: Disk):
    cache = disk.open(operation_timeout=1.0)
    await cache.set("k", 1)
    with locked(disk):
        writing = asyncio.ensure_future(cache.set("k", 2))
        longest, end = 0.0, time.monotonic() + 0.5
        while time.monotonic() < end:
            began = time.monotonic()
            await cache.get("k")
            await asyncio.sleep(0)
            longest = max(longest, time.monotonic() - began)
        assert not writing.done()
    await writing
    assert await cache.get("k") == 2
    assert longest < 0.4
    await cache.aclose()


async def test_a_write_that_is_cancelled_counts_as_deleted(disk: Disk):
    cache = disk.open()
    await cache.set("k", 1)
    with locked(disk), pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await cache.set("k", 2)
    assert await cache.get("k") is None
    assert cache.stats().pending_invalidations == 0
    await cache.aclose()


@pytest.mark.parametrize("later", ["sync", "async"])
async def test_a_write_that_is_cancelled_does_not_come_later(disk: Disk, later: str):
    cache = disk.open()
    plain = cache.sync()
    await cache.set("k", 1)
    for _ in range(10):
        with locked(disk):
            tasks = [asyncio.ensure_future(cache.set("k", 2)) for _ in range(3)]
            await asyncio.sleep(0.03)  # by now they look for the lock rarely
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        assert await cache.get("k") is None
        if later == "sync":
            plain.set("k", 3, as_of=None)
        else:
            await cache.set("k", 3, as_of=None)
        await asyncio.sleep(0.03)
        assert await cache.get("k", consistency="strong") == 3
    await cache.aclose()
    plain.close()


async def test_many_tasks_write_in_few_transactions(disk: Disk):
    cache = disk.open()
    await cache.set("k", 1)
    await asyncio.gather(*(cache.set(f"k{number}", number, tags=["t"]) for number in range(300)))
    assert await cache.get_many([f"k{number}" for number in range(300)]) == {
        f"k{number}": number for number in range(300)
    }
    assert sorted(await asyncio.gather(*(cache.increment("n") for _ in range(100)))) == list(
        range(1, 101)
    )
    with pytest.raises(Exception, match="not an integer"):
        await asyncio.gather(
            cache.set("a", "text"), cache.increment("k"), cache.increment("a"), cache.set("b", 1)
        )
    assert await cache.get("b") == 1
    await cache.aclose()


def test_two_event_loops_and_a_thread_share_a_store(disk: Disk):
    cache = disk.open()
    plain = cache.sync()
    failures: list[BaseException] = []

    async def use(name: str) -> None:
        for number in range(60):
            await cache.set(f"{name}{number}", number, tags=[name])
            assert await cache.get(f"{name}{number}") == number

    def loop(name: str) -> None:
        try:
            asyncio.run(use(name))
        except BaseException as error:  # noqa: BLE001 - told below
            failures.append(error)

    threads = [threading.Thread(target=loop, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for number in range(60):
        plain.set(f"c{number}", number)
        assert plain.get(f"c{number}") == number
    for thread in threads:
        thread.join(DEADLINE)
    assert not failures
    assert len(list(plain.scan())) == 180
    plain.close()
    asyncio.run(cache.aclose())


def test_a_load_is_done_by_one_process(disk: Disk, peers: Callable[[], Peer]):
    cache = disk.plain()
    peer = peers()
    peer("set", "warm", 1)
    loading, loaded = threading.Event(), []

    def load() -> str:
        loading.set()
        time.sleep(0.3)
        return "mine"

    thread = threading.Thread(target=lambda: loaded.append(cache.get_or_set("k", load, ttl=60)))
    thread.start()
    assert loading.wait(DEADLINE)
    assert peer("get_or_set", "k", _theirs, ttl=60) == "mine"
    thread.join(DEADLINE)
    assert loaded == ["mine"]
    cache.close()


def _theirs() -> str:
    return "theirs"


# -- kill -9 -----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.faults
def test_nothing_acknowledged_is_lost_when_writers_are_killed(tmp_path: Path):
    program(
        """
        import sys
        from pathlib import Path
        from tests.sqlite import crash
        found = crash.run(Path(sys.argv[1]), 8, 4, int(sys.argv[2]))
        assert found.acknowledged > 100, found
        assert not found.bad, found
        """,
        tmp_path,
        int.from_bytes(os.urandom(4), "big"),
    )
    assert crash.KEYS > 0


def test_what_a_killed_process_was_writing_is_undone(disk: Disk, peers: Callable[[], Peer]):
    peer = peers()
    peer("set", "k", "theirs", as_of=None)
    peer.kill()
    cache = disk.plain()
    assert cache.get("k") == "theirs"
    cache.set("k", "mine", as_of=None)
    assert cache.get("k") == "mine"
    cache.close()


# -- rights and full disks ---------------------------------------------------------------------


AS_NOBODY = """
import os, sys
from armature_cache import BackendError, CacheConfig
from armature_cache.sqliteio.place import boot_id
from armature_cache.sync import SQLiteCache
cache = SQLiteCache(CacheConfig.sqlite(sys.argv[1]))
boot_id()  # reads a codec of Python's, which nobody else may do here
if os.getuid() == 0:
    os.setuid(int(sys.argv[2]))
try:
    cache.set("k", 1)
except BackendError as error:
    print(type(error).__name__, str(error).partition(sys.argv[1])[2])
else:
    print("worked")
"""


def open_up(folder: Path) -> None:
    """Let anybody go through the folders above."""
    for each in (folder, *folder.parents):
        if each.stat().st_uid == os.getuid() and len(each.parts) > 2:
            each.chmod(each.stat().st_mode | 0o755)


@pytest.mark.parametrize("what", ["folder", "file", "witness"])
def test_missing_rights_are_told(disk: Disk, what: str):
    open_up(disk.folder)
    if what != "folder":
        cache = disk.plain()
        cache.set("k", 0)
        cache.close()
        disk.folder.chmod(0o777)
        disk.path.chmod(0o444 if what == "file" else 0o666)
        disk.beside("-witness").chmod(0o666 if what == "file" else 0o444)
    else:
        disk.folder.chmod(0o555)
    told = program(AS_NOBODY, disk.path, NOBODY)
    disk.folder.chmod(0o755)
    assert told.startswith("BackendUnavailable"), told
    assert any(word in told for word in ("rights", "denied")), told


FULL = """
import resource, signal, sys
from armature_cache import BackendError, CacheConfig, InvalidationError
from armature_cache.sync import SQLiteCache, TaggedCache
cache = TaggedCache(SQLiteCache(CacheConfig.sqlite(sys.argv[1], hints=False)))
cache.set("k", "before", tags=["t"], ttl=600)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
limits = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, limits[1]))
failed = 0
for number in range(600):
    try:
        cache.set(f"k{number}", "x" * 20_000, ttl=600)
    except BackendError as error:
        failed += 1
        message = str(error)
assert failed > 10, failed
assert "disk" in message, message
try:
    cache.invalidate_tag("t")
except InvalidationError:
    pass
try:
    assert cache.get("k", "gone") == "gone"
except BackendError:
    pass
resource.setrlimit(resource.RLIMIT_FSIZE, limits)
cache.set("l", 1)
assert cache.get("l") == 1
assert cache.stats().pending_invalidations == 0
assert cache.get("k", "gone", consistency="strong") == "gone"
cache.close()
print("done")
"""


def test_a_full_disk_is_told_and_got_over(disk: Disk):
    assert program(FULL, disk.path) == "done\n"
    with contextlib.closing(sqlite3.connect(disk.path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_closed_store_says_so(disk: Disk):
    cache = disk.plain()
    cache.set("k", 1)
    cache.close()
    with pytest.raises(RuntimeError, match="was closed"):
        cache.get("k", consistency="strong")
    with pytest.raises(RuntimeError, match="was closed"):
        cache.set("k", 1)
    cache.close()
