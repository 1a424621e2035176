"""A cache file that is replaced, removed, put back, damaged, or somebody else's."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from armature_cache import BackendUnavailable
from armature_cache.sqliteio import schema
from tests.coherence.peers import Peer
from tests.sqlite.conftest import Disk

pytestmark = pytest.mark.slow

GONE = "gone"
BOUND = 0.05


def copied(disk: Disk, to: str) -> Path:
    """A copy of the file, made while nobody has it open: everything is in it."""
    target = disk.folder / to
    shutil.copy(disk.path, target)
    return target


def filled(disk: Disk, **values: object) -> None:
    cache = disk.plain()
    for key, value in values.items():
        cache.set(key, value, tags=["t"], ttl=600, as_of=None)
    cache.close()


def test_what_was_stored_is_there_when_it_is_opened_again(disk: Disk):
    filled(disk, a=1, b=[2])
    cache = disk.plain()
    assert cache.get_many(["a", "b"]) == {"a": 1, "b": [2]}
    assert cache.get_keys_by_tag("t") == ["a", "b"]
    cache.close()
    assert sorted(path.name for path in disk.folder.iterdir()) == ["cache.db", "cache.db-witness"]


def test_only_its_owner_can_read_a_new_file(disk: Disk):
    filled(disk, a=1)
    assert disk.path.stat().st_mode & 0o777 == 0o600
    assert disk.beside("-witness").stat().st_mode & 0o777 == 0o600


def test_a_file_that_was_made_before_keeps_its_rights(disk: Disk):
    disk.path.touch()
    disk.path.chmod(0o660)
    filled(disk, a=1)
    assert disk.path.stat().st_mode & 0o777 == 0o660
    assert disk.beside("-witness").stat().st_mode & 0o777 == 0o660


# -- put back while nobody has it open ---------------------------------------------------------


def put_back(disk: Disk, backup: Path, *, anew: bool) -> None:
    """Restore a backup, as a new file or over the old one."""
    if anew:
        backup.replace(disk.path)
    else:
        disk.path.write_bytes(backup.read_bytes())


@pytest.mark.parametrize("anew", [True, False], ids=["renamed", "copied over"])
def test_an_older_file_that_was_put_back_begins_cold(disk: Disk, anew: bool):
    filled(disk, a="old")
    backup = copied(disk, "backup")
    cache = disk.plain()
    cache.invalidate_tag("t")
    cache.close()
    put_back(disk, backup, anew=anew)
    cache = disk.plain()
    assert cache.get("a", GONE) == GONE
    cache.set("a", "new")
    assert cache.get("a") == "new"
    cache.close()


def test_a_whole_folder_that_was_put_back_begins_cold(disk: Disk):
    filled(disk, a="old")
    backup = {path.name: path.read_bytes() for path in disk.folder.iterdir()}
    cache = disk.plain()
    cache.invalidate_tag("t")
    cache.close()
    time.sleep(2.1)  # what was put back within the slack of the file system's clock looks untouched
    for name, content in backup.items():
        (disk.folder / name).write_bytes(content)
    cache = disk.plain()
    assert cache.get("a", GONE) == GONE
    cache.close()


def test_a_file_without_its_witness_begins_cold(disk: Disk):
    filled(disk, a="old")
    disk.beside("-witness").unlink()
    cache = disk.plain()
    assert cache.get("a", GONE) == GONE
    cache.close()


def test_an_older_file_under_the_log_of_a_killed_process_begins_cold(
    disk: Disk, peers: Callable[[], Peer]
):
    filled(disk, **{f"k{number}": "old" for number in range(200)})
    backup = copied(disk, "backup")
    peer = peers()
    peer("invalidate_tag", "t")
    peer.kill()
    assert disk.beside("-wal").stat().st_size > 0
    put_back(disk, backup, anew=False)
    cache = disk.plain()
    assert cache.get_many([f"k{number}" for number in range(200)]) == {}
    cache.close()


def test_another_start_of_the_machine_begins_cold(disk: Disk, monkeypatch: pytest.MonkeyPatch):
    filled(disk, a="old")
    monkeypatch.setattr("armature_cache.sqliteio.opening.boot_id", lambda: "another")
    cache = disk.plain()
    assert cache.get("a", GONE) == GONE
    cache.close()


# -- under processes that have it open ---------------------------------------------------------


def removed(disk: Disk, backup: Path) -> None:
    disk.path.unlink()


def removed_with_all(disk: Disk, backup: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-witness"):
        disk.beside(suffix).unlink()


def log_removed(disk: Disk, backup: Path) -> None:
    disk.beside("-wal").unlink()


def renamed_over(disk: Disk, backup: Path) -> None:
    backup.replace(disk.path)


def copied_over(disk: Disk, backup: Path) -> None:
    disk.path.write_bytes(backup.read_bytes())


@pytest.mark.parametrize(
    "change", [removed, removed_with_all, log_removed, renamed_over, copied_over]
)
def test_processes_find_each_other_after_a_change_under_them(
    disk: Disk, peers: Callable[[], Peer], change: Callable[[Disk, Path], None]
):
    filled(disk, a="old")
    backup = copied(disk, "backup")
    peer, cache = peers(), disk.plain()
    cache.invalidate_tag("t")
    cache.set("a", "before", tags=["t"], as_of=None)
    assert peer("get", "a") == "before"
    change(disk, backup)
    cache.invalidate_tag("t")
    acknowledged = time.monotonic()
    while (began := time.monotonic()) < acknowledged + 1:
        if peer("get", "a", GONE) != GONE:
            assert began <= acknowledged + 0.1
    cache.set("a", "after", tags=["t"], as_of=None)
    assert peer("get", "a", GONE, consistency="strong") == "after"
    peer("set", "a", "theirs", as_of=None)
    assert cache.get("a", consistency="strong") == "theirs"
    cache.close()


def test_a_file_is_new_only_once_for_all(disk: Disk, peers: Callable[[], Peer]):
    started = [peers() for _ in range(3)]
    for number, peer in enumerate(started):
        peer("set", f"k{number}", number)
    disk.path.unlink()
    for number, peer in enumerate(started):
        peer("set", f"k{number}", number, as_of=None)
    for peer in started:
        keys = ["k0", "k1", "k2"]
        assert peer("get_many", keys, consistency="strong") == {"k0": 0, "k1": 1, "k2": 2}


def test_a_folder_that_vanishes_is_told_and_waited_for(disk: Disk):
    folder = disk.folder / "inner"
    folder.mkdir()
    inner = Disk(folder)
    cache = inner.plain()
    cache.set("a", 1, tags=["t"])
    folder.rename(disk.folder / "elsewhere")
    with pytest.raises(BackendUnavailable, match="has no folder"):
        cache.get("a", consistency="strong")
    with pytest.raises(BackendUnavailable, match="has no folder") as caught:
        cache.set("b", 1)
    assert caught.value.backend == inner.url
    folder.mkdir()
    assert cache.get("a", GONE, consistency="strong") == GONE
    cache.set("b", 2)
    assert cache.get("b") == 2
    cache.close()


# -- damage ------------------------------------------------------------------------------------


def scribble(path: Path, at: int, size: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(os.urandom(size))


@pytest.mark.parametrize("at", [0, 8192], ids=["the first page", "the third page"])
def test_a_damaged_file_is_set_aside_when_it_is_opened(
    disk: Disk, caplog: pytest.LogCaptureFixture, at: int
):
    filled(disk, a=1)
    changed = disk.path.stat().st_mtime_ns
    scribble(disk.path, at, 4096)
    os.utime(disk.path, ns=(changed, changed))  # as a bad disk does it
    cache = disk.plain()
    with caplog.at_level(logging.WARNING, "armature_cache"):
        assert cache.get("a", GONE) == GONE
    assert "begins cold" in caplog.text
    assert disk.beside("-damaged").exists()
    cache.set("a", 2)
    assert cache.get("a") == 2
    cache.close()


def test_damage_that_is_found_later_is_no_error(disk: Disk, caplog: pytest.LogCaptureFixture):
    filled(disk, **{f"k{number}": "x" * 3000 for number in range(300)})
    changed = disk.path.stat().st_mtime_ns
    for page in range(20, 200):
        scribble(disk.path, page * 4096, 64)
    os.utime(disk.path, ns=(changed, changed))
    cache = disk.plain()
    with caplog.at_level(logging.WARNING, "armature_cache"):
        found = {key: cache.get(key, GONE) for key in (f"k{number}" for number in range(300))}
    assert set(found.values()) <= {GONE, "x" * 3000}
    assert GONE in found.values()
    cache.set("a", 2)
    assert cache.get("a") == 2
    cache.close()


def test_damage_under_two_processes(disk: Disk, peers: Callable[[], Peer]):
    filled(disk, **{f"k{number}": "x" * 3000 for number in range(300)})
    peer, cache = peers(), disk.plain()
    assert peer("get", "k0") == cache.get("k0") == "x" * 3000
    changed = disk.path.stat().st_mtime_ns
    for page in range(2, 200):
        scribble(disk.path, page * 4096, 4096)
    os.utime(disk.path, ns=(changed, changed))
    for number in range(300):
        assert cache.get(f"k{number}", GONE) in {GONE, "x" * 3000}
        assert peer("get", f"k{number}", GONE) in {GONE, "x" * 3000}
    cache.set("a", 2)
    assert peer("get", "a", consistency="strong") == 2
    cache.close()


# -- somebody else's ---------------------------------------------------------------------------


def test_a_foreign_database_is_left_alone(disk: Disk):
    with contextlib.closing(sqlite3.connect(disk.path)) as theirs:
        theirs.execute("CREATE TABLE precious (x)")
        theirs.execute("INSERT INTO precious VALUES (1)")
        theirs.commit()
    before = disk.path.read_bytes()
    cache = disk.plain()
    with pytest.raises(BackendUnavailable, match="something else"):
        cache.get("a")
    with pytest.raises(BackendUnavailable, match="give another path"):
        cache.set("a", 1)
    assert disk.path.read_bytes() == before


def test_a_file_of_another_kind_is_left_alone(disk: Disk):
    disk.path.write_text("a letter to grandmother" * 1000)
    before = disk.path.read_bytes()
    cache = disk.plain()
    with pytest.raises(BackendUnavailable, match="no SQLite database"):
        cache.get("a")
    assert disk.path.read_bytes() == before


def test_a_later_schema_is_left_alone(disk: Disk):
    filled(disk, a=1)
    with contextlib.closing(sqlite3.connect(disk.path)) as theirs:
        theirs.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    cache = disk.plain()
    with pytest.raises(BackendUnavailable, match="later version"):
        cache.get("a")
    cache.close()


def test_a_place_where_no_file_can_be(disk: Disk, monkeypatch: pytest.MonkeyPatch):
    (disk.folder / "folder").mkdir()
    for path, message in (
        (disk.folder / "folder", "is a folder"),
        (disk.folder / "nowhere" / "cache.db", "has no folder"),
    ):
        cache = Disk(path.parent)
        cache.path = path
        with pytest.raises(BackendUnavailable, match=message):
            cache.plain().get("a")
    mounts = disk.folder / "mountinfo"
    mounts.write_text(
        f"36 35 98:0 / / rw - ext4 /dev/root rw\n36 35 98:0 / {disk.folder} rw - nfs4 x:/ rw\n"
    )
    monkeypatch.setattr("armature_cache.sqliteio.place._MOUNTS", mounts)
    with pytest.raises(BackendUnavailable, match=r"nfs4.*Redis"):
        disk.plain().get("a")


def test_an_old_sqlite_is_refused(disk: Disk, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
    with pytest.raises(BackendUnavailable, match=r"3\.35"):
        disk.plain().get("a")


def test_which_versions_reset_the_log_safely():
    assert not schema.resets_safely((3, 40, 1))
    assert not schema.resets_safely((3, 51, 2))
    assert not schema.resets_safely((3, 50, 6))
    assert schema.resets_safely((3, 44, 6))
    assert schema.resets_safely((3, 50, 7))
    assert schema.resets_safely((3, 51, 3))
    assert schema.resets_safely((4, 0, 0))
