"""How two tiers work together: the settings, checked."""

from __future__ import annotations

import dataclasses
from typing import Final, Literal, get_args

from armature_cache.config import DEFAULT_STALENESS_BOUND, check_bound
from armature_cache.errors import ConfigError
from armature_cache.options import (
    Consistency,
    check_consistency,
    check_count,
    check_flag,
    check_seconds,
)

_FLAGS: Final = (
    "enable_l1", "enable_l2", "write_through", "promote_to_l1", "background_writes",
)  # fmt: skip
OnL2Down = Literal["load", "serve_stale", "raise"]


@dataclasses.dataclass(frozen=True, slots=True)
class TieredCacheConfig:
    """How two tiers work together; times are in seconds.

    `enable_l1` and `enable_l2` use a tier at all. `write_through` writes sets to L1 too, not only
    to L2. `promote_to_l1` copies L2 hits to L1. `l1_ttl_fraction` (above 0, at most 1) is L1's
    lifetime as a part of L2's. `staleness_bound` is how long L1 is trusted after its last contact
    with L2. `on_l2_down` says what reads of a key do when L2 fails: `load` (a miss), `raise`, or
    `serve_stale`: what L1 holds, for `serve_stale_for` beyond trust, then a miss. Writes, listings
    and scans raise under each of them. `consistency` is that of reads which say nothing of it: with
    `strong`, which L2's own setting implies, each of them asks L2.

    `l2_soft_timeout` is how long a read waits for L2 while L1 has something that the policy lets it
    return instead; `l2_hard_timeout` how long it waits at all before L2 counts as failed (None: as
    long as L2's own `operation_timeout`). The read goes on in the background, and what it brings is
    promoted. Under the sync face each such read takes a thread.

    Once L2 has failed `breaker_failures` times in a row, reads and the storing of loaded values do
    without it, for 20 ms at first and `breaker_pause` at the most, until one of them that tries
    succeeds. `background_writes` returns loaded values before L2 has them; sets, deletes and
    invalidations are acknowledged first in any case.
    """

    enable_l1: bool = True
    enable_l2: bool = True
    write_through: bool = True
    promote_to_l1: bool = True
    l1_ttl_fraction: float = 0.25
    staleness_bound: float = DEFAULT_STALENESS_BOUND
    on_l2_down: OnL2Down = "load"
    serve_stale_for: float = 60.0
    consistency: Consistency = "bounded"
    l2_soft_timeout: float | None = None
    l2_hard_timeout: float | None = None
    breaker_failures: int = 1
    breaker_pause: float = 1.0
    background_writes: bool = False

    def __post_init__(self) -> None:
        for field in _FLAGS:
            check_flag(field, getattr(self, field))
        fraction = self.l1_ttl_fraction
        number = isinstance(fraction, int | float) and not isinstance(fraction, bool)
        if not number or not 0 < fraction <= 1:
            raise ConfigError(
                f"l1_ttl_fraction is above 0 and at most 1, not {fraction!r}",
                field="l1_ttl_fraction",
            )
        if not self.enable_l1 and not self.enable_l2:
            raise ConfigError(
                "enable_l1 and enable_l2 are both off; use NullCache to cache nothing",
                field="enable_l2",
            )
        if self.on_l2_down not in get_args(OnL2Down):
            raise ConfigError(
                f"on_l2_down is one of {get_args(OnL2Down)}, not {self.on_l2_down!r}",
                field="on_l2_down",
            )
        check_consistency(self.consistency)
        check_bound(self.staleness_bound)
        check_seconds("serve_stale_for", self.serve_stale_for)
        check_count("breaker_failures", self.breaker_failures)
        check_seconds("breaker_pause", self.breaker_pause)
        self._check_timeouts()

    def _check_timeouts(self) -> None:
        soft, hard = self.l2_soft_timeout, self.l2_hard_timeout
        if soft is not None:
            check_seconds("l2_soft_timeout", soft)
        if hard is not None:
            check_seconds("l2_hard_timeout", hard)
        if soft is not None and hard is not None and soft > hard:
            raise ConfigError(
                f"l2_soft_timeout is at most l2_hard_timeout, which is {hard} s, not {soft} s",
                field="l2_soft_timeout",
            )

    @property
    def waits_for_l2(self) -> bool:
        """Whether reads wait as long as L2 itself does."""
        return self.l2_soft_timeout is None and self.l2_hard_timeout is None


DEFAULT: Final = TieredCacheConfig()
