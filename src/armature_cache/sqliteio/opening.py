"""Opening a cache file: is it ours, is it whole, is it in the state in which it was left?

Whoever opens a file, in whichever process, does so under the witness's lock. A file about which
there is any doubt is not repaired but replaced: what is in it could not be served anyway.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import sqlite3
from collections.abc import Callable
from typing import Final

from armature_cache.errors import BackendError, BackendUnavailable
from armature_cache.sqliteio import schema
from armature_cache.sqliteio.failures import Busy, code_of, is_busy, is_damage, translate
from armature_cache.sqliteio.links import Link
from armature_cache.sqliteio.place import Place, boot_id
from armature_cache.sqliteio.witness import Witness

logger = logging.getLogger("armature_cache")

_NEW_MODE: Final = 0o600
Wait = Callable[[], bool]
"""Lets some time pass; whether there is any left."""


def open_file(place: Place, era: int, wait: Wait) -> tuple[Link, Witness, bytes]:
    """A connection that may write, the witness, and the file's identity.

    Raises `BackendError`, and `Busy` where it is to be tried again.
    """
    if sqlite3.sqlite_version_info < schema.OLDEST_SQLITE:
        needed = ".".join(map(str, schema.OLDEST_SQLITE))
        raise place.unavailable(
            f"needs SQLite {needed} or later, and this Python has {sqlite3.sqlite_version}"
        )
    place.check()
    mode = _mode(place)
    witness = Witness.locked(place, wait, mode=mode)
    try:
        link, identity = _Opening(place, witness, era, wait).file(mode)
        witness.unlock()
    except sqlite3.Error as error:
        witness.close()
        if is_busy(error):  # others complete what a killed process has left
            raise Busy from None
        raise translate(error, place) from error
    except BaseException:
        witness.close()
        raise
    return link, witness, identity


def _mode(place: Place) -> int:
    """The rights of the main file; a new one is its owner's alone."""
    with contextlib.suppress(OSError):
        return os.stat(place.path).st_mode & 0o777  # noqa: PTH116
    return _NEW_MODE


class _Opening:
    """One attempt, under the witness's lock."""

    def __init__(self, place: Place, witness: Witness, era: int, wait: Wait) -> None:
        self._place = place
        self._witness = witness
        self._era = era
        self._wait = wait

    def file(self, mode: int) -> tuple[Link, bytes]:
        """The file that is there, if it can be trusted; else a new one in its place."""
        if self._place.size():
            found = self._existing()
            if found is not None:
                return found
        return self._made(mode)

    # -- a file that is there ----------------------------------------------------------------

    def _existing(self) -> tuple[Link, bytes] | None:
        link = None
        try:
            self._check_owner()
            if self._is_as_left():
                link = Link(self._place.path, self._era, reads_only=False)
                identity = self._checked(link)
                if identity is not None:
                    return link, identity
        except sqlite3.DatabaseError as error:
            if link is not None:
                link.close()
            if not is_damage(error):
                raise
            self._give_up_damaged(error)
            return None
        except BackendError:
            if link is not None:
                link.close()
            raise
        logger.info("%s is not in the state in which it was left: a new one", self._place.shown)
        self._place.remove()
        if link is not None:
            link.close()  # not before: SQLite keeps its hands off what has moved
        return None

    def _check_owner(self) -> None:
        """Refuse a file that belongs to somebody else, or to a later version."""
        application, version = schema.marks_of_file(self._place.path)
        if application != schema.APPLICATION:
            raise self._place.unavailable(
                "is a database of something else, which is left alone; give another path"
            )
        if version > schema.VERSION:
            raise self._place.unavailable(
                f"was made by a later version of this library (schema {version}, here "
                f"{schema.VERSION}); upgrade it here too, or give another path"
            )

    def _is_as_left(self) -> bool:
        """Whether main file and witness are those that were written last."""
        sequences, facts = self._witness.sequences(), self._witness.file()
        if sequences is None or facts is None or self._witness.is_copy(sequences, facts):
            return False
        found = os.stat(self._place.path)  # noqa: PTH116
        if (facts.device, facts.number) != (found.st_dev, found.st_ino):
            return False
        return facts.changing or facts.changed == found.st_mtime_ns

    def _checked(self, link: Link) -> bytes | None:
        """The identity of the file, if it is in the state in which it was left."""
        while not link.begin():
            if not self._wait():
                raise self._place.unavailable("is being written by another process all the time")
        try:
            identity, boot = link.connection.execute("SELECT identity, boot FROM file").fetchone()
            serial = link.connection.execute(schema.LAST_OF_FILE).fetchone()[0]
            sequences, facts = self._witness.sequences(), self._witness.file()
            if sequences is None or facts is None:
                return None
            same = facts.identity == identity and boot == boot_id() and sequences.fits(serial)
            return bytes(identity) if same else None
        finally:
            link.roll_back()

    def _give_up_damaged(self, error: sqlite3.DatabaseError) -> None:
        """Set a damaged cache aside, but nothing that may be somebody else's file."""
        facts = self._witness.file()
        found = os.stat(self._place.path)  # noqa: PTH116
        if facts is None or (facts.device, facts.number) != (found.st_dev, found.st_ino):
            what = "no SQLite database" if code_of(error) == sqlite3.SQLITE_NOTADB else "damaged"
            raise self._place.unavailable(
                f"is {what} ({error}), and may not be a cache at all; remove it, or give another "
                "path"
            ) from error
        warn_damaged(self._place, error)
        self._place.set_aside()

    # -- a new file --------------------------------------------------------------------------

    def _made(self, mode: int) -> tuple[Link, bytes]:
        self._place.remove_log()  # others may have it open still, with the file that it belongs to
        self._place.make(mode)
        link = Link(self._place.path, self._era, reads_only=False)
        try:
            identity = self._fill(link)
        except BaseException:
            link.close()
            raise
        return link, identity

    def _fill(self, link: Link) -> bytes:
        identity, execute = secrets.token_bytes(16), link.connection.execute
        for setting in schema.NEW_FILE:
            execute(setting)
        execute("BEGIN EXCLUSIVE")
        for table in schema.TABLES:
            execute(table)
        execute("INSERT INTO file VALUES (?, ?)", (identity, boot_id()))
        execute("COMMIT")
        self._witness.announce(0, 0, self._witness.sequences())
        self._witness.confirm(0)
        self._witness.note_file(identity, changing=False)
        return identity


def warn_damaged(place: Place, error: object) -> None:
    """Say that a cache begins cold because its file is damaged."""
    logger.warning(
        "%s is damaged (%s): it is kept as %s, and the cache begins cold",
        place.shown, error, place.aside,
    )  # fmt: skip


def unusable(place: Place) -> BackendUnavailable:
    """The error when a file changes under us again and again."""
    return place.unavailable("is being replaced again and again; look who does that")
