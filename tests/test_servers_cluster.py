from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from armature_cache.testing import ClusterServers, RedisServer, ServerError, find_valkey, slot_of

if TYPE_CHECKING:
    from tests.conftest import StartCluster


@pytest.mark.parametrize(
    ("key", "tag"),
    [
        ("{a}b", "a"),
        ("b{a}", "a"),
        (b"{a}{b}", "a"),
        ("}{a}", "a"),
        ("{a{b}", "a{b"),
        ("é{é}", "é"),
    ],
)
def test_hash_tag_decides_the_slot(key: str | bytes, tag: str):
    assert slot_of(key) == slot_of(tag)


def test_slots_are_the_servers_own(cluster: ClusterServers):
    node = cluster.nodes[0]
    for key in ("", "a", "{}a", "{a", "a}", "{a}b", "}{a}", "{{a}}", "123456789", "é"):
        assert node.command("CLUSTER", "KEYSLOT", key) == slot_of(key)


def test_every_server_knows_the_whole_cluster(cluster: ClusterServers):
    hosts = ",".join(f"127.0.0.1:{node.port}" for node in cluster.nodes)
    assert cluster.url == f"redis+cluster://{hosts}"
    masters = cluster.masters()
    replicas = [replica for master in masters for replica in cluster.replicas_of(master)]
    assert len(masters) == len(replicas) == 3
    assert {*masters, *replicas} == {*cluster.nodes}
    assert not cluster.replicas_of(replicas[0])
    for node in cluster.nodes:
        ranges = node.command("CLUSTER", "SLOTS")
        assert sum(last - first + 1 for first, last, *_ in ranges) == 16_384
        assert {address[1] for _, _, *all_ in ranges for address in all_} == {
            each.port for each in cluster.nodes
        }


def test_owners_take_the_keys_and_others_redirect(cluster: ClusterServers, namespace: str):
    for number in range(20):
        key = f"{namespace}:{number}"
        owner = cluster.owner_of(key)
        assert owner.command("SET", key, "v") == "OK"
        for other in {*cluster.masters()} - {owner}:
            with pytest.raises(ServerError, match=f"^MOVED {slot_of(key)} 127.0.0.1:{owner.port}$"):
                other.command("GET", key)


@pytest.mark.faults
def test_replica_takes_over_from_a_killed_master(start_cluster: StartCluster):
    cluster = start_cluster()
    old = cluster.owner_of("k")
    old.commands(("SET", "k", "v"), ("WAIT", 1, 1000))
    (replica,) = cluster.replicas_of(old)
    assert cluster.failover(old) is replica
    assert not old.running
    assert cluster.owner_of("k") is replica
    assert replica.command("GET", "k") == b"v"
    cluster.rejoin(old)
    assert cluster.replicas_of(replica) == [old]
    assert cluster.failover(replica, kill=False) is old
    assert replica.running
    assert old.command("GET", "k") == b"v"


@pytest.mark.faults
def test_paused_master_returns_as_a_replica(start_cluster: StartCluster):
    cluster = start_cluster(options={"requirepass": "p@ss"})
    assert cluster.url.startswith("redis+cluster://:p%40ss@127.0.0.1:")
    old = cluster.masters()[1]
    new = cluster.pause_master(old)
    assert old.paused
    assert cluster.masters()[1] is new
    cluster.rejoin(old)
    assert cluster.replicas_of(new) == [old]


@pytest.mark.slow
def test_slot_moves_with_its_keys(start_cluster: StartCluster):
    cluster = start_cluster(replicas=0, options={"requirepass": "secret"})
    slot, source = slot_of("{k}"), cluster.owner_of("{k}")
    target = next(node for node in cluster.masters() if node is not source)
    source.commands(*[("SET", f"{{k}}{number}", number) for number in range(250)])
    assert cluster.move_slot(slot, target) == 250
    assert cluster.owner_of_slot(slot) is target
    assert target.command("GET", "{k}249") == b"249"
    with pytest.raises(ServerError, match=f"^MOVED {slot} "):
        source.command("GET", "{k}249")
    with pytest.raises(ServerError, match="there already"):
        cluster.move_slot(slot, target)


@pytest.mark.slow
def test_slot_halfway_asks_and_says_try_again(start_cluster: StartCluster):
    cluster = start_cluster()
    source = cluster.owner_of("{k}")
    target = next(node for node in cluster.masters() if node is not source)
    source.commands(("SET", "{k}1", 1), ("SET", "{k}2", 2))
    move = cluster.start_move(slot_of("{k}"), target)
    assert move.migrate_keys(1) == 1
    one, two, both = source.commands(("GET", "{k}1"), ("GET", "{k}2"), ("MGET", "{k}1", "{k}2"))
    assert sorted(str(each).split(" ")[0] for each in (one, two)) in (
        ["ASK", "b'1'"],
        ["ASK", "b'2'"],
    )
    assert str(both).startswith("TRYAGAIN")
    assert move.migrate_keys() == 1
    move.finish()
    cluster.wait_ready()
    assert cluster.owner_of("{k}") is target
    assert target.command("MGET", "{k}1", "{k}2") == [b"1", b"2"]


@pytest.mark.slow
def test_close_ends_all_of_its_own_and_no_other(start_cluster: StartCluster, valkey: RedisServer):
    cluster = start_cluster(masters=1, replicas=1)
    pids = [server.pid for server in cluster.servers]
    directories = [server.directory for server in cluster.servers]
    with pytest.raises(ServerError, match="running already"):
        cluster.start()
    cluster.nodes[0].kill()
    cluster.nodes[1].pause()
    cluster.close()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert not any(directory.exists() for directory in directories)
    assert valkey.command("PING") == "PONG"


def test_cluster_that_cannot_start_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(ServerError, match="no-such-directive"):
        ClusterServers(binary=find_valkey(), options={"no-such-directive": 1}).start()
    assert not list(tmp_path.iterdir())
