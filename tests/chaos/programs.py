"""Programs of callers who want, cancel, invalidate and fail, at times that Hypothesis chooses."""

from __future__ import annotations

import dataclasses
from typing import Any, Final

import hypothesis.strategies as st

TTLS: Final[dict[str, float | None]] = {"a": 0.05, "b": 0.3, "c": None}
KEYS: Final = tuple(TTLS)
GRACE: Final = 0.1
POLICIES: Final[tuple[dict[str, Any], ...]] = (
    {},
    {"stale_for": GRACE, "retry_after": 0.02},
    {"stale_while_revalidate": GRACE, "retry_after": 0.0},
    {"stale_for": GRACE, "soft_timeout": 0.02, "retry_after": 0.0},
    {"hard_timeout": 0.03},
    {"stale_for": GRACE, "soft_timeout": 0.01, "hard_timeout": 0.05, "fallback": None},
    {"refresh_after": 0.3},
    {"early_refresh": 3.0, "jitter": 0.5},
    {"lock_timeout": 0.0},
    {"lock_timeout": 0.03, "stale_while_revalidate": GRACE},
    {"stale_for": 10 * GRACE, "stale_while_revalidate": 10 * GRACE},
)
WINDOWS: Final = ("stale_for", "stale_while_revalidate")
WANTS: Final = ("get_or_set", "get_or_set_many", "refresh", "get")
CHANGES: Final = ("invalidate", "soften", "delete", "set", "clear")
INNER: Final = ("nothing", "nothing", "nothing", "own", "other", "invalidate")


@dataclasses.dataclass(frozen=True)
class Load:
    """A loader: how long it takes, whether it fails, and what it does meanwhile."""

    ms: int
    fails: bool
    inner: str


@dataclasses.dataclass(frozen=True)
class Act:
    """What one caller does.

    `at` is when it comes, in thousandths of the program's span; `patience` is after how many ms it
    is cancelled, where callers can be; below 0: after how many turns of the event loop.
    """

    at: int
    what: str
    key: str
    who: int
    policy: int
    patience: int | None
    load: Load

    def starts(self, span: int) -> float:
        """When it comes, in seconds after the start."""
        return self.at * span / 1_000_000


@dataclasses.dataclass(frozen=True)
class Program:
    """Callers over one or two caches, and what goes wrong with their L2.

    They come within `span` milliseconds. With `claims` nothing goes wrong with the claims of loads,
    so that none may be left.
    """

    acts: list[Act]
    span: int
    caches: int
    seed: int
    rates: dict[str, Any]
    claims: bool
    tiers: dict[str, Any]


def _loads(slow: tuple[int, ...]) -> st.SearchStrategy[Load]:
    return st.builds(
        Load,
        ms=st.sampled_from(slow),
        fails=st.sampled_from((False, False, False, True)),
        inner=st.sampled_from(INNER),
    )


def _acts(slow: tuple[int, ...]) -> st.SearchStrategy[Act]:
    return st.builds(
        Act,
        at=st.integers(0, 1000),
        what=st.sampled_from((*WANTS, *WANTS[:2], *WANTS[:2], *CHANGES)),
        key=st.sampled_from(KEYS),
        who=st.integers(0, 1),
        policy=st.integers(0, len(POLICIES) - 1),
        patience=st.one_of(st.none(), st.integers(-12, -1), st.integers(0, 8), st.just(30)),
        load=_loads(slow),
    )


_CHANCE: Final = st.sampled_from((0.0, 0.0, 0.1, 0.4))
_RATES: Final = st.fixed_dictionaries(
    {
        "delay": st.sampled_from((0.0, 0.5, 1.0)),
        "delays": st.sampled_from(((0.0, 0.001), (0.0, 0.004), (0.001, 0.02))),
        "fail": _CHANCE,
        "late": st.sampled_from((0.0, 0.5, 1.0)),
        "hang": st.sampled_from((0.0, 0.0, 0.1)),
        "lose": _CHANCE,
        "corrupt": _CHANCE,
    }
)
_TIERS: Final = st.sampled_from(
    (
        {},
        {"background_writes": True},
        {"l2_soft_timeout": 0.003},
        {"l2_soft_timeout": 0.003, "l2_hard_timeout": 0.01},
        {"breaker_failures": 3},
        {"on_l2_down": "serve_stale"},
    )
)


def programs(
    *,
    spans: tuple[int, ...] = (30, 200, 1500),
    most: int = 20,
    slow: tuple[int, ...] = (0, 0, 1, 5, 20, 60),
) -> st.SearchStrategy[Program]:
    """Programs of at most so many callers, with loads that take so many milliseconds."""
    return st.builds(
        Program,
        acts=st.lists(_acts(slow), min_size=1, max_size=most),
        span=st.sampled_from(spans),
        caches=st.integers(1, 2),
        seed=st.integers(0, 2**16),
        rates=_RATES,
        claims=st.booleans(),
        tiers=_TIERS,
    )
