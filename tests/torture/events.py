"""What workers tell the recorder. Every event has a moment `at` on the one clock of the machine."""

from __future__ import annotations

from typing import NamedTuple

Token = tuple[str, int]
"""Names one call for good: the worker, and a number."""


class Commit(NamedTuple):
    """A version of an object became the truth; the one before ceased to be read at `at`."""

    at: float
    worker: str
    obj: int
    version: int
    began: float


class Claim(NamedTuple):
    """A call begins that asserts, for its objects, that these versions are current."""

    at: float
    worker: str
    token: Token
    op: str
    versions: dict[int, int]


class Settled(NamedTuple):
    """Such a call ended: `acked`, `refused` (an add that found something) or `unknown`."""

    at: float
    worker: str
    token: Token
    outcome: str
    ttl: float


class Closing(NamedTuple):
    """A call begins that makes everything older about these objects invalid."""

    at: float
    worker: str
    token: Token
    op: str
    objects: tuple[int, ...]


class Closed(NamedTuple):
    """Such a call ended. `since` is the moment before which values were older.

    `outcome` is `acked`, `unsent` (not acknowledged, but dead in its own process) or `unknown`.
    `reach` is `bound`, `everywhere` (it waited until no process can serve anything older) or `soft`
    (what is older may still be served to those who accept it, for a grace).
    """

    at: float
    worker: str
    token: Token
    since: float
    outcome: str
    reach: str = "bound"


class Read(NamedTuple):
    """A read ended that began at `began`; `version` None is a miss.

    `grace` is for how long it accepts what was invalidated softly.
    """

    at: float
    worker: str
    op: str
    obj: int
    version: int | None
    began: float
    strong: bool
    hints: bool
    grace: float = 0.0


class CountBegun(NamedTuple):
    """An increment begins, of a counter that belongs to one window without loss of data."""

    at: float
    worker: str
    token: Token
    counter: str
    window: int
    delta: int


class CountEnded(NamedTuple):
    """An increment ended with this sum; None when its outcome is unknown."""

    at: float
    worker: str
    token: Token
    total: int | None


class Held(NamedTuple):
    """A worker held a lock made with `add`, from its acknowledgement to the start of its delete."""

    at: float
    worker: str
    lock: str
    window: int
    since: float
    until: float
    certain: bool


class Fault(NamedTuple):
    """Something was broken from `began` to `at`."""

    at: float
    worker: str
    kind: str
    began: float
    detail: str


class Breaking(NamedTuple):
    """A fault begins; `window` is the window that it ends, or 0 when it destroys no data."""

    at: float
    worker: str
    kind: str
    window: int


class Vanished(NamedTuple):
    """A worker ended without taking leave."""

    at: float
    worker: str


class Trouble(NamedTuple):
    """A worker met what must not be: an exception that no operation may raise, a stuck child."""

    at: float
    worker: str
    text: str


class Outlived(NamedTuple):
    """What a worker met until its end: new epochs, those that inherited, what it sent again."""

    at: float
    worker: str
    resets: int
    inherited: int
    replayed: int


class Done(NamedTuple):
    """One operation was done; for the statistics."""

    at: float
    worker: str
    op: str
    outcome: str


Event = (
    Commit | Claim | Settled | Closing | Closed | Read | CountBegun | CountEnded
    | Held | Fault | Breaking | Trouble | Vanished | Outlived | Done
)  # fmt: skip
