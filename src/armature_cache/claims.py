"""Claims: who loads a key, among processes and among the loops and threads of one.

A claim makes it likely that a key is loaded once. Nothing relies on it: it ends by itself when its
holder dies, and whoever loses patience loads all the same.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, TypeVar

from armature_cache import _forking

if TYPE_CHECKING:
    from armature_cache._runtime.base import Runtime, Signal
    from armature_cache.entry import Entry

K = TypeVar("K")


class Holder(NamedTuple):
    """Who claims a load: by a nonce, and the epoch and asof that he knew then."""

    nonce: str
    epoch: int
    asof: int


class Version(NamedTuple):
    """What tells one value of a key from the one after it: `Entry.version`, and its end."""

    epoch: int
    asof: int
    fresh_until: float

    def is_newer(self, other: Version) -> bool:
        """Whether this one was stored after the other."""
        later = self.fresh_until > other.fresh_until + _TOLERANCE
        return self[:2] > other[:2] or (self[:2] == other[:2] and later)


_TOLERANCE: Final = 0.005
"""Seconds by which the estimate of a server's time may vary."""
NOTHING_STORED: Final = Version(0, 0, -math.inf)


_FIRST_POLL: Final = 0.02
_LONGEST_POLL: Final = 0.5


class Claim(NamedTuple):
    """The answer to one who wants to load a key.

    `holder` is whoever may load it, for `left` seconds; `stored` is what is stored under it now.
    """

    holder: Holder
    left: float
    stored: Version


class Patience:
    """How long others are waited for: each holder in turn has `life` seconds."""

    __slots__ = ("_ends_at", "_life", "_nonce", "_poll")

    def __init__(self, life: float) -> None:
        self._life = life
        self._nonce, self._ends_at, self._poll = "", 0.0, _FIRST_POLL

    def pause(self, claim: Claim, now: float) -> float:
        """Seconds until the next look, if nobody rings before; 0 when the holder had his time."""
        if claim.holder.nonce != self._nonce:
            self._nonce, self._ends_at, self._poll = (
                claim.holder.nonce,
                now + self._life,
                _FIRST_POLL,
            )
        left = self._ends_at - now
        if left <= 0:
            return 0.0
        poll, self._poll = self._poll, min(self._poll * 2, _LONGEST_POLL)
        return min(max(claim.left, 0.001), poll, left)


def version_of(entry: Entry | None) -> Version:
    """The version of an entry."""
    if entry is None:
        return NOTHING_STORED
    if entry.proof is not None:
        return Version(*entry.version, 0.0)
    return Version(*entry.version, entry.more.ends_at or entry.fresh_until)


class Bells(Generic[K]):
    """Wakes those who wait for a name, in whichever thread or loop they are."""

    def __init__(self) -> None:
        self._waiting: dict[K, dict[Signal, None]] = {}
        self._lock = threading.Lock()
        _forking.register(self)

    def fork_locks(self) -> tuple[_forking.Lock, ...]:
        """What may not be held while the process forks."""
        return (self._lock,)

    def after_fork(self) -> None:
        """Nobody waits in a child."""
        self._waiting.clear()

    def __len__(self) -> int:
        return len(self._waiting)

    @contextmanager
    def listening(self, name: K, runtime: Runtime) -> Iterator[Signal]:
        """A signal that is given when the name's bell is rung within the block."""
        signal = runtime.signal()
        with self._lock:
            self._waiting.setdefault(name, {})[signal] = None
        try:
            yield signal
        finally:
            with self._lock:
                waiting = self._waiting.get(name)
                if waiting is not None:
                    waiting.pop(signal, None)
                    if not waiting:
                        del self._waiting[name]

    def names(self) -> list[K]:
        """What is waited for now."""
        with self._lock:
            return list(self._waiting)

    def ring(self, name: K) -> None:
        """Wake all who wait for a name, in the order in which they came."""
        with self._lock:
            signals = list(self._waiting.get(name, ()))
        for signal in signals:
            signal.give()


class LocalClaims:
    """The claims of a cache that lives in this process."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[Holder, float]] = {}
        self._lock = threading.Lock()
        _forking.register(self)

    def fork_locks(self) -> tuple[_forking.Lock, ...]:
        """What may not be held while the process forks."""
        return (self._lock,)

    def after_fork(self) -> None:
        """No load of the parent's is under way in a child."""
        self._held.clear()

    def __len__(self) -> int:
        return len(self._held)

    def take(
        self, key: str, mine: Holder, now: float, life: float, *, instead_of: str = ""
    ) -> tuple[Holder, float]:
        """Who holds the claim of a key from now on, and for how long."""
        with self._lock:
            held = self._held.get(key)
            if held is None or held[1] <= now or held[0].nonce == instead_of:
                held = self._held[key] = mine, now + life
            return held[0], held[1] - now

    def release(self, key: str, nonce: str) -> bool:
        """Give a claim up; whether it was held."""
        with self._lock:
            held = self._held.get(key)
            if held is None or held[0].nonce != nonce:
                return False
            del self._held[key]
            return True
