"""A replica that lags takes over, and the cache stays warm: `on_failover="replay"`."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from armature_cache import CacheConfig, ConfigError
from armature_cache.clocks import failover as policy
from armature_cache.clocks import hints
from armature_cache.testing import RedisServer, SentinelServers
from tests.coherence.peers import Peer
from tests.conftest import _KINDS, StartServer, binary_of
from tests.contract.faces import DEADLINE, Face, eventually
from tests.topologies.conftest import OpenAt, narrowed
from tests.topologies.forwarding import Forwarder
from tests.topologies.traffic import Traffic

pytestmark = pytest.mark.faults
each_face = pytest.mark.parametrize("face", ["async", "sync"])
KEYS = [f"k{n}" for n in range(30)]


class Pair:
    """A primary and its replica, behind one name; what connects the two can be held up.

    After a failover they change places, so that both are up all the time.
    """

    def __init__(self, primary: RedisServer, replica: RedisServer) -> None:
        self.primary, self.replica = primary, replica
        self.name, self.link = Forwarder([primary]), Forwarder([primary])

    def follow(self) -> None:
        """Let the replica follow the primary, behind the name."""
        for forward in (self.name, self.link):
            forward.servers = [self.primary]
            forward.cut()
        self.replica.command("REPLICAOF", "127.0.0.1", self.link.port)
        self._until(lambda: b"master_link_status:up" in self._replication(self.replica))
        self._until(lambda: b"connected_slaves:1" in self._replication(self.primary))
        self._until(
            lambda: self._uptime(self.replica) > 3
        )  # how long it was up is in whole seconds

    def _uptime(self, server: RedisServer) -> int:
        return self._number(server.command("INFO", "server"), b"uptime_in_seconds:")

    def _replication(self, server: RedisServer) -> bytes:
        found: bytes = server.command("INFO", "replication")
        return found

    def _number(self, info: bytes, name: bytes) -> int:
        line = next(line for line in info.splitlines() if line.startswith(name))
        return int(line.partition(b":")[2])

    def _until(self, done: Callable[[], bool]) -> None:
        end = time.monotonic() + DEADLINE
        while not done():
            assert time.monotonic() < end, self._replication(self.replica)
            time.sleep(0.005)

    def catch_up(self) -> None:
        """Wait until the replica has everything."""
        offset = self._number(self._replication(self.primary), b"master_repl_offset:")
        self._until(
            lambda: self._number(self._replication(self.replica), b"slave_repl_offset:") >= offset
        )

    def lag(self) -> None:
        """From now on nothing reaches the replica."""
        self.catch_up()
        self.link.hold()

    def fail_over(self) -> None:
        """The primary is cut off, and the replica takes its name."""
        self.replica.command("REPLICAOF", "NO", "ONE")
        self.name.servers = [self.replica]
        self.name.cut()
        self.link.cut()
        self.primary, self.replica = self.replica, self.primary

    def close(self) -> None:
        for forward in (self.name, self.link):
            forward.__exit__()


@pytest.fixture(scope="module", params=_KINDS)
def _pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    fast = {"repl-diskless-sync-delay": 0, "repl-ping-replica-period": 1}
    binary = binary_of(request.param)
    with (
        RedisServer(binary=binary, options=fast) as one,
        RedisServer(binary=binary, options=fast) as two,
    ):
        made = Pair(one, two)
        yield made
        made.close()


@pytest.fixture
def pair(_pair: Pair) -> Pair:
    _pair.follow()
    return _pair


@pytest.fixture
def open_two(pair: Pair, open_at: OpenAt) -> Callable[[str], tuple[Face, Face]]:
    """Two caches that know of one another only through the server."""

    def build(face: str = "async", **settings: Any) -> tuple[Face, Face]:
        settings = {"on_failover": "replay", "operation_timeout": 1.0, **settings}
        elsewhere = pair.name.url.replace("127.0.0.1", "localhost")
        return (
            open_at(pair.name.url, face=face, **settings),
            open_at(elsewhere, face=face, **settings),
        )

    return build


async def warm(cache: Face, other: Face) -> None:
    """Both are writers, and every key is stored."""
    for n, key in enumerate(KEYS):
        await cache.set_with_tags(key, n, ["all", f"tag:{n}"], ttl=600)
    await other.invalidate_tag("nothing")
    assert len(await other.get_many(KEYS)) == len(KEYS)


async def alive(cache: Face, *, count: int = len(KEYS)) -> dict[str, int]:
    """What is there, once so many are."""
    found: dict[str, int] = {}

    async def complete() -> bool:
        nonlocal found
        found = await cache.get_many(KEYS, consistency="strong")
        return len(found) >= count

    await eventually(complete, f"{count} live entries")
    return found


def report(cache: Face) -> Any:
    return cache.stats().coherence


@each_face
async def test_a_failover_that_loses_nothing_leaves_everything_alive(
    pair: Pair, open_two: Any, face: str
) -> None:
    cache, other = open_two(face)
    await warm(cache, other)
    pair.lag()
    pair.fail_over()
    for each in (cache, other):
        assert len(await alive(each)) == len(KEYS)
        assert report(each).resets == 1
        assert report(each).replayed == 0
    await cache.invalidate_tag("tag:3")
    assert await other.get("k3", consistency="strong") is None
    assert (await cache.get("k4"), await cache.get("k4")) == (4, 4)
    assert cache.stats().tiers[0].hits > 0


@each_face
async def test_lost_invalidations_are_sent_again(pair: Pair, open_two: Any, face: str) -> None:
    cache, other = open_two(face)
    await warm(cache, other)
    pair.lag()
    await cache.invalidate_tag("tag:1")
    await other.invalidate_tag("tag:2")
    await other.delete("k3")
    await cache.set("k4", "newer", ttl=600, as_of=None)
    await cache.delete_many(["k5", "k6"])
    assert await cache.add("k6", "added", ttl=600)
    await other.invalidate_tag("tag:7", soft=True)
    pair.fail_over()
    dead = {f"k{n}" for n in range(1, 8)}
    for each in (cache, other):
        assert set(await alive(each, count=len(KEYS) - 7)) == set(KEYS) - dead
        assert report(each).inherited == 1
    assert report(cache).replayed + report(other).replayed >= 7
    await other.set("k1", "new", tags=["all"], ttl=600)
    assert await cache.get("k1", consistency="strong") == "new"


async def test_a_process_that_starts_later_sees_no_more(
    pair: Pair, open_two: Any, namespace: str
) -> None:
    cache, other = open_two()
    await warm(cache, other)
    pair.lag()
    await cache.delete("k1")
    await cache.invalidate_tag("tag:2")
    pair.fail_over()
    await alive(cache, count=len(KEYS) - 2)
    peer = Peer(pair.name.url, namespace, settings={"on_failover": "replay"})
    try:
        found = peer("get_many", KEYS)
        assert set(found) == set(KEYS) - {"k1", "k2"}
    finally:
        peer.close()


async def test_nothing_is_inherited_before_every_writer_has_reported(
    pair: Pair, open_two: Any, namespace: str
) -> None:
    cache, other = open_two()
    await warm(cache, other)
    peer = Peer(pair.name.url, namespace, settings={"on_failover": "replay"})
    try:
        peer("invalidate_tag", "nothing")
        pair.lag()
        peer("invalidate_tag", "tag:1")
        peer.freeze()
        pair.fail_over()
        for _ in range(30):
            assert await cache.get_many(KEYS, consistency="strong") == {}
            assert await other.get_many(KEYS, consistency="strong") == {}
            await asyncio.sleep(0.01)
        peer.thaw()
        assert set(await alive(cache, count=len(KEYS) - 1)) == set(KEYS) - {"k1"}
    finally:
        peer.close()


async def test_a_writer_that_died_is_not_waited_for_for_ever(
    pair: Pair, open_two: Any, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, other = open_two()
    monkeypatch.setattr("armature_cache.clocks.redis_sync.REPORT_WITHIN", 1.0)
    await warm(cache, other)
    peer = Peer(pair.name.url, namespace, settings={"on_failover": "replay"})
    try:
        peer("invalidate_tag", "nothing")
        pair.lag()
        peer("invalidate_tag", "tag:1")
        peer.kill()
        pair.fail_over()

        async def reset() -> bool:
            assert await cache.get_many(KEYS, consistency="strong") == {}
            return bool(report(cache).resets >= 2)

        await eventually(reset, "a new epoch that inherits nothing")
        assert await other.get_many(KEYS, consistency="strong") == {}
        await cache.set("k1", "new", ttl=60)
        assert await other.get("k1", consistency="strong") == "new"
    finally:
        peer.close()


async def test_a_writer_that_was_closed_is_not_waited_for(
    pair: Pair, open_two: Any, namespace: str
) -> None:
    cache, other = open_two()
    await warm(cache, other)
    peer = Peer(pair.name.url, namespace, settings={"on_failover": "replay"})
    peer("invalidate_tag", "nothing")
    peer.close()
    pair.lag()
    pair.fail_over()
    assert len(await alive(cache)) == len(KEYS)
    assert report(cache).resets == 1


async def test_a_lost_clear_is_made_up_for(
    pair: Pair, open_two: Any, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By whoever made it, also if another process was the first to find the promoted server."""
    cache, other = open_two(staleness_bound=60)
    await warm(cache, other)
    monkeypatch.setattr(hints.HintEar, "_means_news", lambda *_: False)  # nobody hears of the clear
    peer = Peer(pair.name.url, namespace, settings={"on_failover": "replay"})
    try:
        peer("invalidate_tag", "nothing")
        pair.lag()
        peer("clear")
        peer.freeze()
        pair.fail_over()
        assert await other.get_many(KEYS, consistency="strong") == {}
        peer.thaw()
        assert peer("get_many", KEYS, consistency="strong") == {}
        for _ in range(20):
            assert await other.get_many(KEYS, consistency="strong") == {}
            assert await cache.get_many(KEYS, consistency="strong") == {}
            await asyncio.sleep(0.01)
    finally:
        peer.close()


async def test_more_than_is_remembered_was_lost(
    pair: Pair, open_two: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policy, "MOST_REMEMBERED", 20)
    cache, other = open_two()
    await warm(cache, other)
    pair.lag()
    for n in range(25):
        await cache.invalidate_tag(f"tag:{n}")
    pair.fail_over()
    for _ in range(20):
        assert await other.get_many(KEYS, consistency="strong") == {}
        assert await cache.get_many(KEYS, consistency="strong") == {}
        await asyncio.sleep(0.01)
    assert report(cache).resets >= 2


async def test_one_process_that_resets_decides_for_all(
    pair: Pair, open_two: Any, namespace: str
) -> None:
    cache, other = open_two()
    await warm(cache, other)
    peer = Peer(pair.name.url, namespace)
    try:
        assert peer("get", "k1") == 1
        pair.lag()
        pair.fail_over()
        assert await cache.get_many(KEYS, consistency="strong") == {}
        assert await other.get_many(KEYS, consistency="strong") == {}
        assert peer("get", "k1", consistency="strong") is None
    finally:
        peer.close()


async def test_a_restart_from_a_snapshot_is_no_failover(
    start_server: StartServer, open_at: OpenAt
) -> None:
    server = start_server({"save": "", "dbfilename": "old.rdb"})
    cache = open_at(server.url, on_failover="replay")
    await cache.set_with_tags("k", "old", ["t"], ttl=60)
    server.command("SAVE")
    await cache.invalidate_tag("t")
    server.kill()
    server.restart()
    assert await cache.get("k", consistency="strong") is None
    assert report(cache).resets == 1


async def test_replicas_that_do_not_confirm_are_told_of(
    pair: Pair, open_two: Any, caplog: pytest.LogCaptureFixture
) -> None:
    pair.lag()
    cache, _ = open_two()
    with caplog.at_level(logging.WARNING, "armature_cache"):
        await cache.set("k", 1, ttl=60)
    assert [each for each in caplog.records if "confirmed this process" in each.getMessage()]
    assert await cache.get("k") == 1


async def test_every_operation_works_on_what_was_inherited(pair: Pair, open_two: Any) -> None:
    cache, other = open_two()
    await warm(cache, other)
    await cache.increment("counter", 5, ttl=600)
    assert await cache.get_or_set("slid", lambda: "s", ttl=600, sliding=True) == "s"
    pair.lag()
    pair.fail_over()
    await alive(other)
    assert await other.increment("counter") == 6
    assert await cache.increment("counter") == 7
    assert await other.get("slid") == "s"
    assert await other.expire("k1", 60)
    assert await cache.get("k1", consistency="strong") == 1
    assert not await cache.add("k2", "x", ttl=60)
    assert await cache.exists("k3")
    assert 0 < (await other.ttl("k4") or 0) <= 600
    assert await cache.get_tags_for_key("k5") == ["all", "tag:5"]
    assert len(await other.get_keys_by_tag("all")) == len(KEYS)
    assert await cache.delete("k6")
    assert await other.get("k6", consistency="strong") is None
    await cache.invalidate_tag("all", soft=True)
    assert await other.get("k7", consistency="strong") is None
    assert await other.get("slid", consistency="strong") == "s"


@each_face
async def test_traffic_while_the_primary_behind_sentinels_is_replaced(
    start_sentinel: Any, open_at: OpenAt, face: str
) -> None:
    watched: SentinelServers = start_sentinel()
    common: dict[str, Any] = {
        "operation_timeout": 1.0, "connect_timeout": 1.0, "on_failover": "replay"
    }  # fmt: skip
    traffic = Traffic(
        [
            open_at(watched.url, face=face, **common),
            open_at(narrowed(watched), **common),
            open_at(watched.url.replace("127.0.0.1", "localhost"), face="sync", **common),
        ]
    )
    lasting = open_at(narrowed(watched), **common)
    await lasting.set_many(dict.fromkeys(KEYS, "lasting"), ttl=600)
    async with traffic.running():
        await asyncio.sleep(0.5)
        await asyncio.to_thread(watched.failover, kill=True)
        await traffic.flows()
    await traffic.settled()
    assert len(await alive(lasting)) == len(KEYS)


BAD = {
    "an unknown word": ({"on_failover": "resend"}, "on_failover is one of"),
    "without hints": ({"on_failover": "replay", "hints": False}, "needs hints=True"),
}


@pytest.mark.parametrize(("settings", "advice"), BAD.values(), ids=BAD)
def test_bad_settings(settings: dict[str, Any], advice: str) -> None:
    with pytest.raises(ConfigError, match=advice) as caught:
        CacheConfig.redis("redis://localhost", **settings)
    assert caught.value.field == "on_failover"


def test_not_in_a_cluster() -> None:
    with pytest.raises(ConfigError, match="in a Cluster") as caught:
        CacheConfig.redis("redis+cluster://localhost", on_failover="replay")
    assert caught.value.field == "on_failover"
