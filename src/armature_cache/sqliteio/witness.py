"""The witness: a small file that remembers how far a cache file has come.

Whoever issues a sequence writes it here before the transaction ends and confirms it afterwards, so
that a cache file that was put back to an earlier state is recognised: its last sequence is neither
the confirmed one nor the announced one. A record of the main file's last write tells whether
anybody but a checkpoint has changed it. The operating system notes when the witness itself was
written last; where that is later than the witness knows of, it is a copy, put back too.

After a kill it is complete: what was written is in the system's memory. After a crash of the
machine it does not count, for then everything begins anew.
"""

from __future__ import annotations

import fcntl
import os
import struct
import time
import zlib
from collections.abc import Callable
from typing import Any, Final, NamedTuple, Self

from armature_cache.sqliteio.place import Place

_MAGIC: Final = b"ACW1"
_ANNOUNCED: Final = struct.Struct(">4sQQdI")
_CONFIRMED: Final = struct.Struct(">4sQI")
_FILE: Final = struct.Struct(">4s16sQQQ?dI")
_CONFIRMED_AT, _FILE_AT = 64, 128
_CRC: Final = 4
_TRIES: Final = 50
_SLACK: Final = 2.0
"""Seconds by which the system's clock for files may be ahead of the time that was noted."""


class Sequences(NamedTuple):
    """The last sequence that was confirmed, the one announced, and when that was noted."""

    confirmed: int
    announced: int
    noted_at: float

    def fits(self, serial: int) -> bool:
        """Whether a cache file with this last sequence is in the state that is remembered."""
        return serial in {self.confirmed, self.announced}


class FileFacts(NamedTuple):
    """Which file the cache is, when it was changed last, and whether that is happening now."""

    identity: bytes
    device: int
    number: int
    changed: int
    changing: bool
    noted_at: float


class Witness:
    """The witness of one cache file, open."""

    def __init__(self, place: Place, *, mode: int | None = None) -> None:
        self._place = place
        making = 0 if mode is None else os.O_CREAT
        try:
            self._fd = os.open(place.witness, os.O_RDWR | making | os.O_CLOEXEC, mode or 0)
            if making and not os.fstat(self._fd).st_size:
                os.fchmod(self._fd, mode or 0)
        except OSError as error:
            raise place.unavailable(f"has a witness that cannot be opened: {error}") from error

    @classmethod
    def locked(cls, place: Place, wait: Callable[[], bool], *, mode: int | None = None) -> Self:
        """The witness, locked against all who open, leave or change the main file.

        `wait` lets some time pass, and says whether to try again. It is made with the rights of
        `mode` where it is not there.
        """
        while True:
            witness = cls(place, mode=mode)
            try:
                fcntl.flock(witness._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                witness.close()
                if not wait():
                    raise place.unavailable("is being opened by another process") from None
                continue
            if witness.is_there():
                return witness
            witness.close()

    def unlock(self) -> None:
        """Let others open the cache file."""
        fcntl.flock(self._fd, fcntl.LOCK_UN)

    def is_there(self) -> bool:
        """Whether it is the file that its name leads to."""
        try:
            found = os.stat(self._place.witness)  # noqa: PTH116
        except FileNotFoundError:
            return False
        return os.path.samestat(found, os.fstat(self._fd))

    def close(self) -> None:
        """Close the file; a lock ends with it."""
        os.close(self._fd)

    # -- sequences ---------------------------------------------------------------------------

    def sequences(self) -> Sequences | None:
        """What was noted of sequences; None if nothing was, or it cannot be read."""
        fields = self._read(_ANNOUNCED, 0)
        if fields is None:
            return None
        before, announced, noted_at = fields
        confirmed = self._read(_CONFIRMED, _CONFIRMED_AT)
        return Sequences(max(before, *(confirmed or (0,))), announced, noted_at)

    def announce(self, before: int, serial: int, known: Sequences | None) -> None:
        """Note the sequence that is about to be the last one; nobody else may write meanwhile."""
        noted_at = max(time.time(), known.noted_at if known is not None else 0.0)
        self._write(_ANNOUNCED, 0, before, serial, noted_at)

    def confirm(self, serial: int) -> None:
        """Note that a sequence is in the file.

        Others may have announced or confirmed later ones by now: to fall behind does no harm, for
        what was announced last was preceded by this one.
        """
        self._write(_CONFIRMED, _CONFIRMED_AT, serial)

    # -- the file ----------------------------------------------------------------------------

    def file(self) -> FileFacts | None:
        """What was noted of the main file; None if nothing was, or it cannot be read."""
        fields = self._read(_FILE, _FILE_AT)
        return None if fields is None else FileFacts(*fields)

    def note_file(self, identity: bytes, *, changing: bool) -> None:
        """Note how the main file is now, and whether it is about to be changed."""
        found = os.stat(self._place.path)  # noqa: PTH116
        known = self.file()
        noted_at = max(time.time(), known.noted_at if known is not None else 0.0)
        self._write(
            _FILE, _FILE_AT, identity, found.st_dev, found.st_ino, found.st_mtime_ns, changing,
            noted_at,
        )  # fmt: skip

    def is_copy(self, sequences: Sequences, facts: FileFacts) -> bool:
        """Whether somebody else has written this file after those who noted what is in it."""
        noted_at = max(sequences.noted_at, facts.noted_at)
        return os.fstat(self._fd).st_ctime > noted_at + _SLACK

    # -- records -----------------------------------------------------------------------------

    def _read(self, form: struct.Struct, at: int) -> tuple[Any, ...] | None:
        """The fields of a record; tried again where another process is writing it."""
        for _ in range(_TRIES):
            try:
                raw = os.pread(self._fd, form.size, at)
            except OSError as error:
                raise self._place.unavailable(f"has an unreadable witness: {error}") from error
            if len(raw) < form.size or raw[:4] != _MAGIC:
                return None
            fields = form.unpack(raw)
            if fields[-1] == zlib.crc32(raw[:-_CRC]):
                return fields[1:-1]
        return None

    def _write(self, form: struct.Struct, at: int, *fields: object) -> None:
        raw = form.pack(_MAGIC, *fields, 0)[:-_CRC]
        try:
            os.pwrite(self._fd, raw + zlib.crc32(raw).to_bytes(_CRC, "big"), at)
        except OSError as error:
            raise self._place.unavailable(
                f"has a witness that cannot be written: {error}"
            ) from error
