"""Decisions about time, made without I/O: how long an entry lives, and when it is loaded again."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any, Final, TypedDict

from armature_cache._missing import UNSET, Unset
from armature_cache.errors import (
    BackendError,
    CacheError,
    ConfigError,
    LoadCancelled,
    LoadFailed,
    LoadTimeout,
)
from armature_cache.options import TTL, check_seconds, resolve_ttl

ErrorTest = type[BaseException] | tuple[type[BaseException], ...] | Callable[[Exception], bool]
"""Which errors of a loader count: a class, several, or a function that says so of one."""


def _check_amount(field: str, value: float) -> None:
    good = isinstance(value, int | float) and not isinstance(value, bool)
    if not good or not 0 <= value < math.inf:
        raise ConfigError(f"{field} is a number of at least 0, not {value!r}", field=field)


def _check_part(field: str, value: float, *, lowest: bool) -> None:
    good = isinstance(value, int | float) and not isinstance(value, bool)
    if not good or not 0 <= value < 1 or not (lowest or value):
        bounds = "0 to below 1" if lowest else "above 0 and below 1"
        raise ConfigError(f"{field} is {bounds}, not {value!r}", field=field)


class LoadKeywords(TypedDict, total=False):
    """The fields of `LoadPolicy`, as keyword arguments of a single call."""

    stale_for: float
    stale_while_revalidate: float
    refresh_after: float | None
    early_refresh: float
    jitter: float
    negative_ttl: TTL | Unset
    sliding: bool
    soft_timeout: float | None
    hard_timeout: float | None
    retry_after: float
    stale_on: ErrorTest
    fallback: object
    lock_timeout: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LoadPolicy:
    """How loaded values are kept, renewed ahead of time, and replaced when a load fails.

    Times are in seconds. Everything is off by default but the lock between processes.

    Attributes:
        stale_for: How long after its lifetime a value is kept, to be returned when a load fails
            or exceeds `soft_timeout`.
        stale_while_revalidate: How long after its lifetime a value is returned at once, while it
            is loaded again in the background.
        refresh_after: A part of the lifetime, above 0 and below 1, after which a hit starts a
            load in the background. None: no such load.
        early_refresh: The factor of early refresh: a hit shortly before the end of the lifetime
            starts a load in the background, at random and the earlier the longer loads take; 1 is
            usual, 0 is off. After A. Vattani et al., "Optimal Probabilistic Cache Stampede
            Prevention" (VLDB 2015), with one draw for each copy of an entry instead of one for
            each read.
        jitter: The part of the lifetime, 0 to 1, by which it is shortened at random, so that what
            was stored together does not end together.
        negative_ttl: The lifetime of a result of None; not given: that of other results.
        sliding: Whether each read starts the lifetime anew.
        soft_timeout: How long a caller waits for a load while there is a stale value to return
            instead. The load goes on in the background.
        hard_timeout: How long a caller waits for a load at all, before `LoadTimeout`. The load
            goes on in the background.
        retry_after: How long after a failed load the stale value is returned without another try.
        stale_on: Which errors of a loader may be answered by a stale value or the fallback.
        fallback: What is returned, and not stored, when a load fails and there is no stale value.
        lock_timeout: How long a process waits for another that is loading the same key; 0: it
            does not ask. Efficiency only: correctness never depends on the lock.
    """

    stale_for: float = 0.0
    stale_while_revalidate: float = 0.0
    refresh_after: float | None = None
    early_refresh: float = 0.0
    jitter: float = 0.0
    negative_ttl: TTL | Unset = UNSET
    sliding: bool = False
    soft_timeout: float | None = None
    hard_timeout: float | None = None
    retry_after: float = 5.0
    stale_on: ErrorTest = Exception
    fallback: object = UNSET
    lock_timeout: float = 5.0

    def __post_init__(self) -> None:
        for field in ("stale_for", "stale_while_revalidate", "early_refresh", "retry_after",
                      "lock_timeout"):  # fmt: skip
            _check_amount(field, getattr(self, field))
        for field in ("soft_timeout", "hard_timeout"):
            if getattr(self, field) is not None:
                check_seconds(field, getattr(self, field))
        _check_part("jitter", self.jitter, lowest=True)
        if self.refresh_after is not None:
            _check_part("refresh_after", self.refresh_after, lowest=False)
        resolve_ttl(self.negative_ttl, None)
        if self.sliding and (self.renews_ahead or self.keeps_for):
            raise ConfigError(
                "a sliding lifetime has no fixed end: it goes with none of stale_for, "
                "stale_while_revalidate, refresh_after and early_refresh",
                field="sliding",
            )
        if not callable(self.stale_on) and not isinstance(self.stale_on, tuple):
            raise ConfigError(
                "stale_on is a class of errors, a tuple of them, or a function", field="stale_on"
            )

    @property
    def keeps_for(self) -> float:
        """How long after its lifetime a value is kept."""
        return max(self.stale_for, self.stale_while_revalidate)

    @property
    def renews_ahead(self) -> bool:
        """Whether values are loaded again before their lifetime ends."""
        return self.refresh_after is not None or self.early_refresh > 0

    def patience(self, *, with_stale: bool) -> float | None:
        """How long a caller waits for a load, who has a stale value to return instead or not."""
        limits = [self.hard_timeout]
        if with_stale:
            limits.append(self.soft_timeout)
        return min((limit for limit in limits if limit is not None), default=None)

    def changed(self, keywords: LoadKeywords) -> LoadPolicy:
        """The same policy with some fields changed; raises `ConfigError`."""
        if not keywords:
            return self
        unknown = [name for name in keywords if name not in _FIELDS]
        if unknown:
            raise ConfigError(
                f"there is no option {unknown[0]!r}; there are: {', '.join(sorted(_FIELDS))}",
                field=unknown[0],
            )
        if "fallback" in keywords or self.fallback is not UNSET:  # 1 and True are not the same
            return dataclasses.replace(self, **keywords)
        try:
            return _changed(self, tuple(sorted(keywords.items())))
        except TypeError:  # something in it has no hash
            return dataclasses.replace(self, **keywords)

    def spread(self, ttl: float | None, draw: float) -> float | None:
        """A lifetime, shortened by up to `jitter`; `draw` is random in 0 to 1."""
        if ttl is None or not self.jitter:
            return ttl
        return max(1, round(ttl * (1 - self.jitter * draw) * 1000)) / 1000

    def renew_after(self, ttl: float, cost: float, draw: float) -> float:
        """How many seconds into a lifetime a hit is to start a load in the background.

        `cost` is how long the last load took, in seconds; `draw` is random, 0 excluded.
        """
        early = ttl + cost * self.early_refresh * math.log(draw) if self.early_refresh else math.inf
        if self.refresh_after is None or ttl == math.inf:
            return early
        return min(early, ttl * self.refresh_after)

    def forgives(self, error: Exception) -> bool:
        """Whether an error of a load may be answered by something else.

        What the loader must not return is a mistake to be seen, not a failure of the source.
        """
        if isinstance(error, LoadFailed | LoadTimeout | LoadCancelled | BackendError):
            return True
        if isinstance(error, CacheError):
            return False
        test = self.stale_on
        if isinstance(test, type | tuple):
            return isinstance(error, test)
        return bool(test(error))


_FIELDS: Final = frozenset(field.name for field in dataclasses.fields(LoadPolicy))


@functools.lru_cache(maxsize=256)
def _changed(policy: LoadPolicy, changes: tuple[tuple[str, Any], ...]) -> LoadPolicy:
    return dataclasses.replace(policy, **dict(changes))


DEFAULT_POLICY: Final = LoadPolicy()


def check_policy(policy: LoadPolicy) -> LoadPolicy:
    """A policy, or `ConfigError`."""
    if not isinstance(policy, LoadPolicy):
        raise ConfigError(
            f"policy is a LoadPolicy(...), not {type(policy).__name__}", field="policy"
        )
    return policy
