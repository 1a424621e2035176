"""An address in front of servers: it moves to another one, or spreads over several."""

from __future__ import annotations

import contextlib
import functools
import logging

import pytest

from armature_cache import BackendError, InvalidationError, StaleTopology
from armature_cache.clocks import runs
from armature_cache.errors import BackendUnavailable
from tests.conftest import StartServer
from tests.contract.faces import Face, eventually
from tests.topologies.conftest import OpenAt
from tests.topologies.forwarding import forwarder

pytestmark = pytest.mark.faults
each_face = pytest.mark.parametrize("face", ["async", "sync"])


@each_face
async def test_a_name_moves_to_the_promoted_server(
    start_server: StartServer, open_at: OpenAt, face: str
) -> None:
    """As of managed servers: connections to the old primary stay open, and it refuses writes."""
    old, new = start_server(), start_server()
    with forwarder(old) as name:
        cache = open_at(name.url, face=face, hints=False)
        await cache.set_with_tags("k", "old", ["t"], ttl=60)
        name.servers = [new]
        old.command("REPLICAOF", new.host, new.port)
        await cache.set_with_tags("k", "new", ["t"], ttl=60, as_of=None)
        assert await cache.get("k", consistency="strong") == "new"
        assert cache.stats().pending_invalidations == 0
        old.kill()


@each_face
async def test_a_name_that_stays_with_a_replica_says_so(
    start_server: StartServer, open_at: OpenAt, face: str
) -> None:
    primary, replica = start_server(), start_server()
    replica.command("REPLICAOF", primary.host, primary.port)
    with forwarder(replica) as name:
        cache = open_at(name.url, face=face, hints=False)
        with pytest.raises(StaleTopology, match="primary"):
            await cache.set("k", 1, ttl=60)
        assert name.accepted <= 4
        replica.command("REPLICAOF", "NO", "ONE")
        await cache.set("k", 2, ttl=60)
        assert await cache.get("k") == 2


def halts(cache: Face) -> int:
    """How often the cache gave up on its address."""
    report = cache.stats().coherence
    assert report is not None
    return int(report.halts)


async def loaded() -> str:
    return "loaded"


@each_face
async def test_an_address_of_several_servers_counts_as_failed(
    start_server: StartServer, open_at: OpenAt, face: str, caplog: pytest.LogCaptureFixture
) -> None:
    with forwarder(start_server(), start_server()) as balancer:
        cache = open_at(balancer.url, face=face, hints=False, staleness_bound=30)
        await _until_halted(cache)
        warned = [each for each in caplog.records if "load balancer" in each.getMessage()]
        assert [each.levelno for each in warned] == [logging.WARNING]
        before = [server.command("INFO", "commandstats") for server in balancer.servers]
        assert await cache.get("k") is None
        assert await cache.get_or_set("k", cache.loader(loaded)) == "loaded"
        assert await cache.get("k") is None
        with pytest.raises(BackendError, match="changing run_ids"):
            await cache.set("k", 1, as_of=None)
        with pytest.raises(InvalidationError, match="changing run_ids"):
            await cache.invalidate_tag("t")
        assert cache.stats().pending_invalidations >= 1
        after = [server.command("INFO", "commandstats") for server in balancer.servers]
        assert [_evals(raw) for raw in after] == [_evals(raw) for raw in before]
        balancer.servers = balancer.servers[:1]
        core = getattr(cache.store, "_core", cache.store)
        core.clock.replica.watch._until = -1e9  # the halt is over
        balancer.cut()
        await eventually(lambda: _works(cache), "recovery")
        assert cache.stats().pending_invalidations == 0


async def _until_halted(cache: Face) -> None:
    async def halted() -> bool:
        reads = [functools.partial(cache.get, f"k{n}", consistency="strong") for n in range(3)]
        await cache.together(reads)  # side by side, so that connections of one pool alternate
        return halts(cache) > 0

    await eventually(halted, "a halt")


def _evals(raw: bytes) -> list[str]:
    return [line for line in raw.decode().splitlines() if line.startswith("cmdstat_eval")]


async def _works(cache: Face) -> bool:
    await cache.set("works", 1, ttl=60, as_of=None)
    return bool(await cache.get("works", consistency="strong") == 1)


def test_what_counts_as_changing_to_and_fro(caplog: pytest.LogCaptureFixture) -> None:
    watch = runs.RunWatch()
    at: float
    for at, run in enumerate("abcdefgh"):  # a server that crashes again and again
        watch.saw(run, "there", at)
    for at, run in ((20, "i"), (21, "j"), (22, "i"), (23, "j"), (24, "i"), (60, "j")):
        watch.saw(run, "there", at)  # a failover that wavers
    assert watch.halts == 0
    for at, run in ((70, "j"), (70.1, "k"), (70.2, "j"), (70.3, "k"), (70.4, "j")):
        watch.saw(run, "there", at)
    with pytest.raises(BackendUnavailable):
        watch.saw("k", "there", 70.5)
    with pytest.raises(BackendUnavailable, match="there answered"):
        watch.check("there", 75.4)
    watch.check("there", 75.6)
    for at in range(5):
        with contextlib.suppress(BackendUnavailable):
            watch.saw("jk"[at % 2], "there", 76 + at / 10)
    assert watch.halts == 2
    with pytest.raises(BackendUnavailable):
        watch.check("there", 86)
    watch.check("there", 87)
    assert len(caplog.records) == 2
