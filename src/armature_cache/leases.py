"""Leases: what a get-miss leaves in the calling context, so that the set after it is a fill."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final, NamedTuple

from armature_cache.clocks.replica import Replica, Stamp

LEASE_LIFE: Final = 30.0
MAX_LEASES: Final = 64


class Lease(NamedTuple):
    """The stamp of a miss: what the clock knew before the caller read the source."""

    replica: Replica
    key: str
    stamp: Stamp
    taken_at: float


_leases: ContextVar[tuple[Lease, ...]] = ContextVar("armature_cache_leases", default=())

held = _leases.get
"""The leases of this context; empty in the common case."""


def leave(replica: Replica, key: str, stamp: Stamp, now: float) -> None:
    """Leave a lease for a key that was missed."""
    others = tuple(
        lease
        for lease in held()
        if now - lease.taken_at < LEASE_LIFE and not (lease.key == key and lease.replica is replica)
    )
    _leases.set((*others[1 - MAX_LEASES :], Lease(replica, key, stamp, now)))


def take(replica: Replica, key: str, now: float) -> Lease | None:
    """The lease of a key, which is used up by this."""
    for lease in held():
        if lease.key == key and lease.replica is replica:
            withdraw(replica, key)
            return lease if now - lease.taken_at < LEASE_LIFE else None
    return None


def withdraw(replica: Replica, key: str) -> None:
    """Drop the lease of a key: the context has seen or made another value."""
    left = tuple(lease for lease in held() if lease.key != key or lease.replica is not replica)
    _leases.set(left)


def withdraw_all(replica: Replica) -> None:
    """Drop every lease of a clock: the context has invalidated something."""
    _leases.set(tuple(lease for lease in held() if lease.replica is not replica))
