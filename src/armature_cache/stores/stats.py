"""What a store counts, and how it reports it."""

from __future__ import annotations

import dataclasses

from armature_cache.clocks.coherence import CoherenceStats


class Counters:
    """The running counts of one store; plain integers, exact under one thread.

    Under several threads a count may miss a few events: a lock would cost more than a hit.
    """

    __slots__ = (
        "born_stale",
        "deletes",
        "errors",
        "hits",
        "invalidations",
        "load_errors",
        "loads",
        "misses",
        "reclaimed",
        "refused",
        "renewals",
        "sets",
        "stale_served",
        "timeouts",
        "undecodable",
    )

    def __init__(self) -> None:
        for name in self.__slots__:
            setattr(self, name, 0)

    hits: int
    misses: int
    loads: int
    load_errors: int
    sets: int
    deletes: int
    invalidations: int
    refused: int
    reclaimed: int
    renewals: int
    timeouts: int
    born_stale: int
    undecodable: int
    stale_served: int
    errors: int


@dataclasses.dataclass(frozen=True, slots=True)
class CacheStats:
    """The counts of a store since it was made.

    `hits` and `misses` are reads answered and not answered by this store. `loads` and
    `load_errors` count loaders run and failed, `renewals` loads begun in the background, `timeouts`
    callers who stopped waiting for a load, `sets` values stored, `refused` fills that came too
    late, `born_stale` those that were dead when they arrived, `undecodable` stored bytes that made
    a miss, `reclaimed` dead values that were taken off the server, `errors` failures of the shared
    store, `stale_served` reads answered past the lifetime by a `LoadPolicy`, or beyond trust by
    `on_l2_down="serve_stale"`, `syncs` readings of the shared store's clock in this process,
    `pending_invalidations` tags and keys that it has not acknowledged yet. `entries` and `weight`
    (bytes, where they are counted) are what is resident now, `evictions` and `expirations` what
    left. `coherence` says how this process keeps up with a shared clock. `tiers` are the tiers'
    own, L1 first.
    """

    name: str
    hits: int = 0
    misses: int = 0
    loads: int = 0
    load_errors: int = 0
    sets: int = 0
    deletes: int = 0
    invalidations: int = 0
    refused: int = 0
    reclaimed: int = 0
    renewals: int = 0
    timeouts: int = 0
    born_stale: int = 0
    undecodable: int = 0
    stale_served: int = 0
    errors: int = 0
    syncs: int = 0
    pending_invalidations: int = 0
    coherence: CoherenceStats | None = None
    entries: int | None = None
    weight: int | None = None
    evictions: int = 0
    expirations: int = 0
    tiers: tuple[CacheStats, ...] = ()

    @property
    def hit_ratio(self) -> float:
        """Hits among all reads, 0 to 1; 0 before the first read."""
        reads = self.hits + self.misses
        return self.hits / reads if reads else 0.0


def snapshot(name: str, counters: Counters, **more: int | CoherenceStats | None) -> CacheStats:
    """The counts as they stand now."""
    counts = {slot: getattr(counters, slot) for slot in Counters.__slots__}
    return CacheStats(name=name, **counts, **more)  # type: ignore[arg-type]
