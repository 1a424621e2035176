"""Where a cache file is, and what tells it from another one under the same name."""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
from pathlib import Path
from typing import Final, NamedTuple

from armature_cache.errors import BackendUnavailable

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_MOUNTS: Final = Path("/proc/self/mountinfo")
_MOUNT_POINT, _AFTER = 4, " - "
_REMOTE: Final = frozenset((
    "9p", "afs", "beegfs", "ceph", "cifs", "coda", "gfs2", "glusterfs", "gpfs", "lustre", "ncpfs",
    "nfs", "nfs4", "ocfs2", "pvfs2", "smb3", "smbfs", "virtiofs",
    "fuse.ceph", "fuse.glusterfs", "fuse.s3fs", "fuse.sshfs",
))  # fmt: skip
"""File systems whose locks and shared memory do not reach all who can open a file."""


class Identity(NamedTuple):
    """The files behind the names at a moment, by device and number, and the main one's last write.

    A cache is trusted only while these are the files that this process has open.
    """

    device: int
    main: int
    log: int
    changed: int

    def same(self, other: Identity) -> bool:
        """Whether they are the same files, changed or not."""
        return self[:3] == other[:3]


class Place:
    """The names of a cache file and of those beside it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.folder = os.path.dirname(path)  # noqa: PTH120 - names are strings here, for speed
        self.log, self.index = f"{path}-wal", f"{path}-shm"
        self.witness, self.aside = f"{path}-witness", f"{path}-damaged"
        self.shown = f"sqlite:///{path}"

    def identity(self) -> Identity | None:
        """What is behind the names now; None if something is missing."""
        try:
            main, log = os.stat(self.path), os.stat(self.log)  # noqa: PTH116
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise self.unavailable(f"cannot be looked at: {error}") from error
        return Identity(main.st_dev, main.st_ino, log.st_ino, main.st_mtime_ns)

    def leads_to(self, known: Identity) -> bool:
        """Whether the name still leads to the main file that it led to then."""
        try:
            found = os.stat(self.path)  # noqa: PTH116
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == (known.device, known.main)

    def size(self) -> int:
        """The size of the main file in bytes; 0 if there is none."""
        return _size(self.path)

    def log_size(self) -> int:
        """The size of the write-ahead log in bytes; 0 if there is none."""
        return _size(self.log)

    def check(self) -> None:
        """Refuse a place where no cache file can be; raises `BackendUnavailable`."""
        if not os.path.isdir(self.folder):  # noqa: PTH112
            raise self.unavailable(f"has no folder: make {self.folder!r}, or give another path")
        if os.path.isdir(self.path):  # noqa: PTH112
            raise self.unavailable("is a folder; give the path of a file in it")
        kind = _file_system(os.path.realpath(self.folder))
        if kind in _REMOTE:
            raise self.unavailable(
                f"is on a file system of type {kind}, where processes do not see one another's "
                "locks; use a disk of this machine, or a Redis server for several machines"
            )

    def make(self, mode: int) -> None:
        """Make an empty main file with these rights, unless there is a file."""
        try:
            made = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode)
        except FileExistsError:
            return
        except OSError as error:
            raise self.unavailable(f"cannot be made: {error.strerror}") from error
        try:
            os.fchmod(made, mode)
        finally:
            os.close(made)

    def remove(self) -> None:
        """Remove the main file, then what belonged to it."""
        _unlink(self.path)
        self.remove_log()

    def remove_log(self) -> None:
        """Remove what belongs to a main file that is no longer there."""
        _unlink(self.log)
        _unlink(self.index)

    def set_aside(self) -> None:
        """Give the main file another name, in place of the one before, and remove the rest."""
        os.replace(self.path, self.aside)  # noqa: PTH105
        self.remove_log()

    def unavailable(self, what: str) -> BackendUnavailable:
        """The error for something that is wrong with this place."""
        return BackendUnavailable(f"{self.shown} {what}", backend=self.shown)


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116
    except OSError:
        return 0


def _unlink(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108


@functools.cache
def boot_id() -> str:
    """What tells this run of the machine from the one before: times count from its start."""
    with contextlib.suppress(OSError):
        return _BOOT_ID.read_text("ascii").strip()
    try:
        command = ("/usr/sbin/sysctl", "-n", "kern.bootsessionuuid")
        told = subprocess.run(command, check=True, capture_output=True, text=True, timeout=5)  # noqa: S603
        return told.stdout.strip()
    except (OSError, subprocess.SubprocessError):
        raise BackendUnavailable(
            "this system does not tell one start of the machine from another; an SQLite cache "
            "needs Linux with /proc, or macOS"
        ) from None


def _file_system(folder: str) -> str:
    """The type of the file system that a folder is on; '' where that cannot be told."""
    try:
        lines = _MOUNTS.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return ""
    best, kind = "", ""
    for line in lines:
        mount, _, rest = line.partition(_AFTER)
        fields, after = mount.split(" "), rest.split(" ")
        if len(fields) <= _MOUNT_POINT or not after[0]:
            continue
        point = _unescaped(fields[_MOUNT_POINT])
        inside = folder == point or folder.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, after[0]
    return kind


def _unescaped(text: str) -> str:
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, char)
    return text
