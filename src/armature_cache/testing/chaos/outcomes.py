"""What can become of an operation of a store."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Final, Literal, TypedDict, get_args

from armature_cache.errors import BackendTimeout, BackendUnavailable, ConfigError

Operation = Literal[
    "fetch", "probe", "list",
    "fill", "set", "add", "expire", "increment",
    "delete", "invalidate", "clear",
    "claim", "release", "wake",
    "sync", "ping",
]  # fmt: skip
"""What a store does. `fetch` reads values; `probe` is `exists`, `ttl` and the tags of a key; `list`
is `scan` and the listings of tags; `fill` stores loaded values, `set` others; `claim` and `release`
are the claim of a load, `wake` the message that it has ended; `sync` reads the tag clock."""

OPERATIONS: Final[tuple[Operation, ...]] = get_args(Operation)

LOSSY: Final[frozenset[Operation]] = frozenset(
    ("fetch", "probe", "fill", "claim", "release", "wake")
)
"""What any cache may lose: nothing comes of it but another load."""
LOSABLE: Final = frozenset(OPERATIONS) - {"sync", "ping", "list"}

Failure = Exception | type[Exception]
"""What is raised: a copy of an exception, or a class that is called with a message."""


@dataclasses.dataclass(frozen=True, slots=True)
class Ok:
    """The operation is done."""


@dataclasses.dataclass(frozen=True, slots=True)
class Fail:
    """The operation raises `error`; with `late` after it was done, as when the reply is lost."""

    error: Failure = BackendUnavailable
    late: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Hang:
    """The operation does not begin until it is released, or gives up with `BackendTimeout`.

    `timeout` is how many seconds it waits; None: without end.
    """

    timeout: float | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Lose:
    """The operation seems to be done, and nothing was: a read finds nothing."""


@dataclasses.dataclass(frozen=True, slots=True)
class Corrupt:
    """A read gets other bytes than were stored or, of a store without bytes, another object."""


@dataclasses.dataclass(frozen=True, slots=True)
class Delay:
    """So many seconds pass; then the operation has another outcome.

    With `late` they pass after it was done, as when the reply is slow.
    """

    seconds: float
    then: Ok | Fail | Hang | Lose | Corrupt = Ok()
    late: bool = False


Outcome = Ok | Fail | Hang | Lose | Corrupt | Delay


def check_operation(operation: str) -> None:
    """Raise `ConfigError` for what is no operation."""
    if operation not in OPERATIONS:
        raise ConfigError(
            f"there is no operation {operation!r}; there are: {', '.join(OPERATIONS)}",
            field="operation",
        )


def check_outcome(operation: Operation, outcome: object) -> Outcome:
    """An outcome that this operation can have; raises `ConfigError`."""
    if not isinstance(outcome, Outcome):
        raise ConfigError(
            "an outcome is Ok(), Fail(), Hang(), Lose(), Corrupt() or Delay(), not "
            f"{outcome!r:.80}",
            field="outcomes",
        )
    last = outcome.then if isinstance(outcome, Delay) else outcome
    if operation == "wake" and not isinstance(outcome, Ok | Lose):
        raise ConfigError("a wake can be lost, and nothing else", field="outcomes")
    if isinstance(last, Corrupt) and operation != "fetch":
        raise ConfigError("only a fetch can be corrupted", field="outcomes")
    if isinstance(last, Lose) and operation not in LOSABLE:
        raise ConfigError(f"a {operation} cannot be lost: it has to fail", field="outcomes")
    return outcome


class RateKeywords(TypedDict, total=False):
    """The fields of `Rates`, as keyword arguments."""

    delay: float
    delays: tuple[float, float]
    fail: float
    late: float
    errors: tuple[Failure, ...]
    hang: float
    hang_timeout: float | None
    lose: float
    corrupt: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """How often an operation has which outcome, as probabilities.

    Attributes:
        delay: That it is delayed, whatever else becomes of it.
        delays: By how many seconds, at least and at most; evenly spread.
        fail: That it fails.
        late: That a failing one was done all the same, and a delayed one before the delay.
        errors: What it raises then, one of them at random.
        hang: That it hangs.
        hang_timeout: After how many seconds a hanging one gives up; None: never.
        lose: That it is lost.
        corrupt: That what it reads is corrupt.
    """

    delay: float = 0.0
    delays: tuple[float, float] = (0.001, 0.02)
    fail: float = 0.0
    late: float = 0.5
    errors: tuple[Failure, ...] = (BackendUnavailable, BackendTimeout)
    hang: float = 0.0
    hang_timeout: float | None = None
    lose: float = 0.0
    corrupt: float = 0.0

    def __post_init__(self) -> None:
        for name in ("delay", "fail", "late", "hang", "lose", "corrupt"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not 0 <= value <= 1:
                raise ConfigError(f"{name} is a probability, 0 to 1, not {value!r}", field=name)
        least, most = self.delays
        if not 0 <= least <= most < math.inf:
            raise ConfigError("delays are (least, most) in seconds", field="delays")
        if not self.errors:
            raise ConfigError("errors has at least one", field="errors")

    @property
    def calm(self) -> bool:
        """Whether nothing ever happens."""
        return not (self.delay or self.fail or self.hang or self.lose or self.corrupt)


CALM: Final = Rates()


def rates_of(keywords: Mapping[str, object], operation: Operation, *, named: bool) -> RateKeywords:
    """What of these keywords applies to an operation, which was `named` or is one of all."""
    wanted = dict(keywords)
    if operation == "wake":
        wanted = {name: value for name, value in wanted.items() if name == "lose"}
    if operation != "fetch":
        if named and wanted.get("corrupt"):
            raise ConfigError("only a fetch can be corrupted", field="corrupt")
        wanted.pop("corrupt", None)
    if operation not in (LOSABLE if named else LOSSY):
        if named and wanted.get("lose"):
            raise ConfigError(f"a {operation} cannot be lost: it has to fail", field="lose")
        wanted.pop("lose", None)
    return wanted  # type: ignore[return-value]
