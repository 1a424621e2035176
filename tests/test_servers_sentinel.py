from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from armature_cache.testing import RedisServer, SentinelServers

if TYPE_CHECKING:
    from tests.conftest import StartSentinel


def told(sentinel: RedisServer) -> int:
    _, port = sentinel.command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster")
    return int(port)


def test_sentinels_watch_a_primary_with_its_replica(sentinel: SentinelServers, namespace: str):
    hosts = ",".join(f"127.0.0.1:{each.port}" for each in sentinel.sentinels)
    assert sentinel.url == f"redis+sentinel://{hosts}/mymaster"
    primary, (replica,) = sentinel.primary(), sentinel.replicas()
    assert [told(each) for each in sentinel.sentinels] == [primary.port] * 3
    primary.commands(("SET", namespace, "v"), ("WAIT", 1, 1000))
    assert replica.command("GET", namespace) == b"v"


@pytest.mark.faults
def test_killed_primary_is_replaced_and_returns_as_a_replica(start_sentinel: StartSentinel):
    group = start_sentinel()
    old, (replica,) = group.primary(), group.replicas()
    old.commands(("SET", "k", "v"), ("WAIT", 1, 1000))
    assert group.failover() is replica
    assert [told(each) for each in group.sentinels] == [replica.port] * 3
    assert (replica.command("GET", "k"), replica.command("SET", "k", "w")) == (b"v", "OK")
    group.rejoin(old)
    assert group.primary() is replica
    assert (old.command("ROLE")[0], old.command("GET", "k")) == (b"slave", b"w")


@pytest.mark.faults
def test_paused_primary_is_replaced_and_returns_as_a_replica(start_sentinel: StartSentinel):
    group = start_sentinel(replicas=2, options={"requirepass": "p@ss"})
    assert group.url.startswith("redis+sentinel://:p%40ss@127.0.0.1:")
    old, replicas = group.primary(), group.replicas()
    new = group.pause_primary()
    assert new in replicas
    assert old.paused
    old.resume()
    assert old.command("ROLE")[0] == b"master"
    group.wait_ready()
    assert {each.command("ROLE")[2] for each in group.replicas()} == {new.port}


@pytest.mark.faults
def test_failover_in_order(start_sentinel: StartSentinel):
    group = start_sentinel()
    old, (replica,) = group.primary(), group.replicas()
    assert group.failover(kill=False) is replica
    assert old.command("ROLE")[0] == b"slave"


@pytest.mark.faults
def test_sentinel_keeps_what_it_knows_over_a_restart(start_sentinel: StartSentinel):
    group = start_sentinel()
    sentinel = group.sentinels[0]
    before = sentinel.command("SENTINEL", "MYID")
    sentinel.kill()
    new = group.failover()
    sentinel.restart()
    group.wait_ready()
    assert sentinel.command("SENTINEL", "MYID") == before
    assert told(sentinel) == new.port


@pytest.mark.slow
def test_close_ends_all_of_its_own_and_no_other(start_sentinel: StartSentinel, valkey: RedisServer):
    group = start_sentinel()
    pids = [server.pid for server in group.servers]
    directories = [server.directory for server in group.servers]
    assert len(pids) == 5
    group.close()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert not any(directory.exists() for directory in directories)
    assert valkey.command("PING") == "PONG"
