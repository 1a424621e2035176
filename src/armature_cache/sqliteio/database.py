"""A cache file as this process has it open: connections, and whether it is still the file."""

from __future__ import annotations

import atexit
import contextlib
import logging
import random
import sqlite3
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from armature_cache import _forking
from armature_cache._runtime.background import pause
from armature_cache.errors import BackendError
from armature_cache.sqliteio import opening, schema
from armature_cache.sqliteio.failures import Busy, Moved, too_slow
from armature_cache.sqliteio.links import MOST_LINKS, Link
from armature_cache.sqliteio.place import Identity, Place
from armature_cache.sqliteio.upkeep import Upkeep
from armature_cache.sqliteio.witness import Witness

if TYPE_CHECKING:
    from armature_cache._time import TimeSource

logger = logging.getLogger("armature_cache")

ATTEMPTS: Final = 4
_SHORTEST, _LONGEST = 0.0002, 0.01
"""Seconds between two attempts to get a lock."""
_LEAVING: Final = 1.0
"""Seconds for which others are waited for before a file is closed."""
_COPYING: Final = 0.2
"""Seconds for which they are before the log is copied; it can be done later."""


class Patience:
    """How long somebody waits for others: in growing steps, drawn at random.

    It ends when `wanted` says that nobody waits for the outcome any more.
    """

    def __init__(
        self, seconds: float, time: TimeSource, wanted: Callable[[], bool] = lambda: True
    ) -> None:
        self.seconds = seconds
        self._wanted = wanted
        self._time = time
        self._end = time() + seconds
        self._step = _SHORTEST

    @property
    def left(self) -> float:
        """The seconds that are left; never less than 0."""
        return max(0.0, self._end - self._time())

    def wait(self) -> bool:
        """Let some time pass; False if there is none left."""
        if not (self.left and self._wanted()):
            return False
        pause(self._step * random.uniform(0.5, 1.5))  # noqa: S311 - spreads attempts
        self._step = min(self._step * 1.5, _LONGEST)
        return True


class Database:
    """One file of this process; shared by all stores, faces and threads.

    An era lasts as long as the names lead to the same files. No connection outlives its era, nor a
    fork: SQLite's locks belong to the process that took them, and what it knows of them would be
    wrong in a child.
    """

    def __init__(self, path: str, time: TimeSource) -> None:
        self.place = Place(path)
        self.era = 0
        self.time = time
        self._gate = threading.Lock()
        self._writing = threading.Lock()
        self._copying = threading.Lock()
        self._idle: list[Link] = []
        self._links: list[Link] = []
        self._writer: Link | None = None
        self._witness: Witness | None = None
        self._identity: Identity | None = None
        self._name = b""
        self.users = 0
        self.upkeep = Upkeep(self)
        _forking.register_leaving(self)

    def enter(self) -> None:
        """One more uses it."""
        with self._gate:
            self.users += 1

    def quit(self) -> None:
        """One less uses it: the last one closes it."""
        with self._gate, self._writing, self._copying:
            self.users -= 1
            if not self.users:
                self._leave()

    # -- forks -------------------------------------------------------------------------------

    def fork_locks(self) -> Iterator[_forking.Lock]:
        """What may not be held while the process forks."""
        yield self._gate
        yield self._writing
        yield self._copying
        for link in self._links:
            yield link.lock

    def before_fork(self) -> None:
        """Close everything: a child may neither use nor close what its parent has open."""
        self._leave(locked=True)

    def after_fork(self) -> None:
        """A child opens the file anew."""

    # -- connections -------------------------------------------------------------------------

    def reader(self, patience: Patience) -> Link:
        """A connection that reads, with its lock held; to be given back."""
        while True:
            link = self._idle_link() or self._new_link(patience)
            if link is not None:
                link.lock.acquire()
                if link.era == self.era:
                    return link
                link.lock.release()
            elif not patience.wait():
                raise too_slow(self.place, patience.seconds)

    def idle_reader(self) -> Link:
        """The same, if one is at hand; else `Busy`."""
        link = self._idle_link()
        if link is None:
            raise Busy
        if link.lock.acquire(blocking=False):
            if link.era == self.era:
                return link
            link.lock.release()
        raise Busy

    def _idle_link(self) -> Link | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _new_link(self, patience: Patience) -> Link | None:
        """A new connection; None if there are enough, and all are in use."""
        with self._gate:
            self._open(patience)
            if len(self._links) > MOST_LINKS:
                return None
            link = Link(self.place.path, self.era, reads_only=True)
            self._links.append(link)
            return link

    def give_back(self, link: Link) -> None:
        """Let others have a connection."""
        link.roll_back()
        if link.era == self.era:
            self._idle.append(link)
        link.lock.release()

    def writer(self, patience: Patience) -> tuple[Link, Witness]:
        """The connection that writes, within a transaction, and the witness; to be released."""
        while True:
            with self._gate:
                self._open(patience)
            if not self._writing.acquire(timeout=patience.left):
                raise too_slow(self.place, patience.seconds)
            begun = False
            try:
                link, witness = self._writer, self._witness
                if link is not None and witness is not None:
                    begun = link.begin()
                    if begun:
                        return link, witness
            finally:
                if not begun:
                    self._writing.release()
            if not patience.wait():
                raise too_slow(self.place, patience.seconds)

    def release_writer(self, link: Link) -> None:
        """Let others write; what is not committed is undone."""
        link.roll_back()
        self._writing.release()

    # -- opening and leaving -----------------------------------------------------------------

    def _open(self, patience: Patience) -> None:
        """Open the file, if it is not; the gate is held."""
        if self._identity is not None:
            return
        link, witness, name = opening.open_file(self.place, self.era, patience.wait)
        identity = self.place.identity()
        if identity is None:
            link.close()
            witness.close()
            raise opening.unusable(self.place)
        self._links.append(link)
        self._writer, self._witness, self._identity, self._name = link, witness, identity, name

    def _leave(self, *, locked: bool = False) -> None:
        """Close everything; the gate is held, and with `locked` all other locks."""
        links, self._links, self._idle = self._links, [], []
        witness, self._witness, self._writer = self._witness, None, None
        known, self._identity = self._identity, None
        self.era += 1
        if known is None or witness is None:
            return
        with self._witnessed(_LEAVING) as locked_witness:  # the last one changes the main file
            noting = locked_witness or witness
            mine = self._note(noting, known, changing=True)
            for link in links:
                with contextlib.nullcontext() if locked else link.lock:
                    link.close()
            if mine and locked_witness is not None:
                self._note(noting, known, changing=False)
        witness.close()

    def copy_log(self) -> None:
        """Copy the log into the main file, so that it can begin anew: one at a time.

        What keeps it from that now may have gone by the next time.
        """
        held = [self._copying] if schema.resets_safely() else [self._writing, self._copying]
        with contextlib.suppress(sqlite3.Error), contextlib.ExitStack() as locks:
            for lock in held:
                if not lock.acquire(timeout=_COPYING):
                    return
                locks.callback(lock.release)
            known, writer = self._identity, self._writer
            if known is None or writer is None:
                return
            if len(held) > 1:
                if not writer.begin():
                    return
                locks.callback(writer.roll_back)
            link = Link(self.place.path, self.era, reads_only=True)
            locks.callback(link.close)
            with self._witnessed(0.0) as witness:
                if witness is not None and self._note(witness, known, changing=True):
                    link.connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                    self._note(witness, known, changing=False)

    @contextlib.contextmanager
    def _witnessed(self, seconds: float) -> Iterator[Witness | None]:
        """The witness, locked against all others; None where that takes longer."""
        witness = None
        with contextlib.suppress(BackendError, OSError):
            witness = Witness.locked(self.place, Patience(seconds, self.time).wait)
        try:
            yield witness
        finally:
            if witness is not None:
                witness.close()

    def _note(self, witness: Witness, known: Identity, *, changing: bool) -> bool:
        """Let the witness know how the main file is; False if it is not ours any more.

        Where nobody notes the end of a change, it counts as going on.
        """
        with contextlib.suppress(BackendError, OSError):
            if self._is_mine(witness, known):
                witness.note_file(self._name, changing=changing)
                return True
        return False

    def _is_mine(self, witness: Witness, known: Identity) -> bool:
        """Whether the name still leads to the file of this era."""
        facts = witness.file()
        if facts is None or facts.identity != self._name:
            return False
        return self.place.leads_to(known)

    def leave(self, era: int, reason: object) -> None:
        """The files of an era are not what they were: close them, and take new ones next time."""
        with self._gate, self._writing, self._copying:
            known = self._identity
            if era != self.era or known is None:
                return
            logger.info("%s is opened anew: %s", self.place.shown, reason)
            self._set_aside(known)
            self._leave()

    def _set_aside(self, known: Identity) -> None:
        """Rename the main file, if its name still leads to it.

        SQLite then keeps from completing it with a log that may not be its own.
        """
        with contextlib.suppress(OSError):
            if self.place.leads_to(known):
                self.place.set_aside()

    def damaged(self, error: sqlite3.Error, era: int) -> None:
        """The file is not what SQLite wrote: set it aside, and begin with a new one."""
        with self._gate, self._writing, self._copying:
            known = self._identity
            if era != self.era or known is None:
                return
            opening.warn_damaged(self.place, error)
            self._set_aside(known)
            self._leave()

    def close(self) -> None:
        """Close everything; the next use opens it again."""
        with self._gate, self._writing, self._copying:
            self._leave()

    def check(self, era: int) -> None:
        """Raise `Moved` unless the names lead to the files of this era, changed by SQLite alone.

        All that was acknowledged to anybody before this call was written to these files.
        """
        known, witness = self._identity, self._witness
        if known is None or witness is None or era != self.era:
            raise Moved("it was closed meanwhile")
        for _ in range(ATTEMPTS):
            found = self.place.identity()
            if found is None or not found.same(known):
                raise Moved("its name, or that of its log, leads to another file or to none")
            if found.changed == known.changed:
                return
            facts = witness.file()
            if facts is not None and facts.changing:
                return
            if facts is not None and facts.changed == found.changed:
                self._identity = found
                return
        raise Moved("it was changed by others than SQLite")

    def has_moved(self, era: int) -> bool:
        """Whether a file that was open in this era is no longer the one that its name leads to."""
        if self._identity is None or era != self.era:
            return era != self.era
        try:
            self.check(era)
        except Moved:
            return True
        return False

    def confirmed(self) -> int:
        """The last sequence that was confirmed, below which the file cannot be again."""
        witness = self._witness
        known = None if witness is None else witness.sequences()
        return 0 if known is None else known.confirmed


_open: dict[str, Database] = {}
_open_lock = threading.Lock()


def database_of(path: str, time: TimeSource) -> Database:
    """The one of this process for a path."""
    with _open_lock:
        known = _open.get(path)
        if known is None:
            known = _open[path] = Database(path, time)
        return known


@atexit.register
def _close_all() -> None:
    """Whoever leaves without a word would seem to have changed the file."""
    for database in list(_open.values()):
        with contextlib.suppress(Exception):
            database.close()
