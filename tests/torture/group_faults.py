"""What befalls servers that belong together: failovers, and slots that move."""

from __future__ import annotations

import time
from typing import Final

from armature_cache.testing import RedisServer
from armature_cache.testing.slots import slot_of
from tests.torture.faults import EVERYWHERE, Do, Faults
from tests.torture.memcached import FAULTS
from tests.torture.space import OBJECTS, key_of
from tests.torture.topology import Topology

_RECONNECTED: Final = 1.5
"""Seconds until replicas whose connections were cut follow again."""


def _replace(faults: Faults, *, kill: bool) -> str:
    topology = faults.topology
    old = faults.primary()
    if topology.cluster is not None:
        new = topology.cluster.failover(old, kill=kill)
    else:
        assert topology.watched is not None
        new = topology.watched.failover(kill=kill)
    time.sleep(faults.rng.uniform(0.0, 0.5))
    topology.heal()
    return f"port {old.port} gave way to {new.port}"


def _fail_over(faults: Faults) -> str:
    return _replace(faults, kill=True)


def _fail_over_in_order(faults: Faults) -> str:
    return _replace(faults, kill=False)


def _freeze_until_replaced(faults: Faults) -> str:
    """A primary that comes back takes itself for one for a moment."""
    topology = faults.topology
    old = faults.primary()
    if topology.cluster is not None:
        topology.cluster.pause_master(old)
    else:
        assert topology.watched is not None
        topology.watched.pause_primary()
    topology.heal()
    return f"port {old.port}"


def _promote_lagging(faults: Faults) -> str:
    """A replica misses the last moments of a primary, and takes over from it.

    Those that missed nothing die with the primary.
    """
    topology = faults.topology
    old = faults.primary()
    lagging, *others = topology.replicas_of(old)
    lagging.pause()
    old.command("CLIENT", "KILL", "TYPE", "replica")  # or it would hear the rest from the wire
    seconds = faults.rng.uniform(0.1, 0.6) + (_RECONNECTED if others else 0.0)
    time.sleep(seconds)
    for server in (old, *others):
        server.kill()
    lagging.resume()
    _wait_replaced(topology, old)
    topology.heal()
    return f"port {old.port}, {seconds:.3f} s behind"


def _wait_replaced(topology: Topology, old: RedisServer) -> None:
    assert topology.group is not None
    topology.group._until(lambda: f"{old!r} stays" if old in topology.primaries() else "")


def _reshard(faults: Faults) -> str:
    """Move the slot of the clock, or of a value, in small steps."""
    cluster, names = faults.topology.cluster, faults.topology.names
    assert cluster is not None
    value = names.value(key_of(faults.rng.randrange(OBJECTS)))
    counter = faults.topology.count_names.value("c0")
    slot = slot_of(faults.rng.choice((names.clock, value, counter)))
    source = cluster.owner_of_slot(slot)
    target = faults.rng.choice([each for each in cluster.masters() if each is not source])
    move = cluster.start_move(slot, target)
    time.sleep(faults.rng.uniform(0.0, 0.4))
    while move.migrate_keys(1):
        time.sleep(faults.rng.uniform(0.0, 0.2))
    move.finish()
    faults.topology.heal()
    return f"slot {slot} from port {source.port} to {target.port}"


def _kill_sentinel(faults: Faults) -> str:
    watched = faults.topology.watched
    assert watched is not None
    sentinel = faults.rng.choice(watched.sentinels)
    sentinel.kill()
    time.sleep(faults.rng.uniform(0.1, 1.0))
    faults.topology.heal()
    return f"port {sentinel.port}"


_GROUP: Final[dict[str, Do]] = {
    "restart of all": Faults.restart_all,
    "fail over": _fail_over,
    "fail over in order": _fail_over_in_order,
    "freeze a primary until it is replaced": _freeze_until_replaced,
    "promote a replica that lags": _promote_lagging,
}
KINDS: Final[dict[str, dict[str, Do]]] = {
    "standalone": EVERYWHERE,
    "cluster": {**EVERYWHERE, **_GROUP, "reshard": _reshard, "reshard again": _reshard},
    "sentinel": {**EVERYWHERE, **_GROUP, "kill a sentinel": _kill_sentinel},
}
"""The faults of each topology, by the names that `--faults` takes."""


def kinds_of(topology: str, server: str) -> dict[str, Do]:
    """The faults of a topology of these servers."""
    return FAULTS if server == "memcached" else KINDS[topology]
