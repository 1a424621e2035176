"""Leases: what a get-miss leaves in the calling context, so that the set after it is a fill."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Final, NamedTuple

from armature_cache.clocks.judgement import Stamp
from armature_cache.clocks.replica import Replica

LEASE_LIFE: Final = 30.0
MAX_LEASES: Final = 64


class Lease(NamedTuple):
    """The stamp of a miss: what the clock knew before the caller read the source."""

    replica: Replica
    stamp: Stamp
    taken_at: float


_NONE: Final[Mapping[str, Lease]] = MappingProxyType({})
_leases: ContextVar[Mapping[str, Lease]] = ContextVar("armature_cache_leases", default=_NONE)

held = _leases.get
"""The leases of this context by key; empty in the common case, never changed in place."""


def leave(replica: Replica, key: str, stamp: Stamp, now: float) -> None:
    """Leave a lease for a key that was missed."""
    leases = {
        name: lease
        for name, lease in held().items()
        if name != key and now - lease.taken_at < LEASE_LIFE
    }
    leases[key] = Lease(replica, stamp, now)
    if len(leases) > MAX_LEASES:
        del leases[next(iter(leases))]
    _leases.set(leases)


def take(replica: Replica, key: str, now: float) -> Lease | None:
    """The lease of a key, which is used up by this."""
    lease = held().get(key)
    if lease is None or lease.replica is not replica:
        return None
    withdraw(replica, key)
    return lease if now - lease.taken_at < LEASE_LIFE else None


def withdraw(replica: Replica, key: str) -> None:
    """Drop the lease of a key: the context has seen or made another value."""
    lease = held().get(key)
    if lease is not None and lease.replica is replica:
        _leases.set({name: other for name, other in held().items() if name != key})


def withdraw_all(replica: Replica) -> None:
    """Drop every lease of a clock: the context has invalidated something."""
    leases = held()
    if leases:
        _leases.set({name: lease for name, lease in leases.items() if lease.replica is not replica})
