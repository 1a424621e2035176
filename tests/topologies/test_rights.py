"""The least rights: exactly those of docs/production.md are enough, and each of them is needed."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from armature_cache import (
    AuthenticationFailed,
    CacheConfig,
    CacheError,
    RedisCache,
    TieredCacheConfig,
    open_cache,
)
from armature_cache.testing import ClusterServers, RedisServer, SentinelServers
from armature_cache.testing.group import ServerGroup
from tests.contract.faces import Face
from tests.topologies.conftest import OpenAt
from tests.topologies.test_resharding import Moving, moving
from tests.topologies.use import Use

__all__ = ["moving"]
pytestmark = [pytest.mark.faults, pytest.mark.slow]

PAGE = (Path(__file__).parents[2] / "docs/production.md").read_text("utf-8")
SECRET = "secret"


def _row(name: str) -> list[str]:
    line = next(line for line in PAGE.splitlines() if line.startswith(f"| {name} |"))
    return [right.replace("\\|", "|") for right in re.findall(r"`([^`]+)`", line)]


KEYS, CHANNEL = _row("Keys"), _row("Channel")
SINGLE = [*_row("Everywhere"), *_row("One server, Sentinel")]
CLUSTER = [*_row("Everywhere"), *_row("Cluster")]


class User:
    """A user of servers, with certain rights and no others."""

    def __init__(self, servers: Sequence[RedisServer], namespace: str) -> None:
        self.name = f"user-{namespace}"
        self._servers = servers
        self._namespace = namespace

    def allow(self, rights: Sequence[str]) -> None:
        """Let the user have these rights, and forget what was refused so far."""
        named = [right.replace("shop", self._namespace) for right in rights]
        for server in self._servers:
            server.command("ACL", "DELUSER", self.name)
            server.command(
                "ACL", "SETUSER", self.name, "on", f">{SECRET}", "resetkeys", "resetchannels",
                "-@all", *named,
            )  # fmt: skip
            server.command("ACL", "LOG", "RESET")
            server.command("SCRIPT", "FLUSH")

    def refused(self) -> set[str]:
        """What was refused: commands, keys and channels."""
        return _refused(self._servers, self.name)

    def url(self, url: str) -> str:
        """The address for this user."""
        scheme, _, rest = url.partition("://")
        return f"{scheme}://{self.name}:{SECRET}@{rest}"

    def remove(self) -> None:
        """Leave nothing behind."""
        for server in self._servers:
            server.command("ACL", "DELUSER", self.name)


def _refused(servers: Sequence[RedisServer], user: str) -> set[str]:
    found = set()
    for server in servers:
        for raw in server.command("ACL", "LOG", 1000):
            entry = dict(zip(raw[::2], raw[1::2], strict=True))
            if entry[b"username"] == user.encode():
                found.add(entry[b"object"].decode())
    return found - {"client|setinfo"}  # redis-py does without


@contextlib.contextmanager
def _user(where: RedisServer | ServerGroup, namespace: str) -> Iterator[User]:
    user = User([where] if isinstance(where, RedisServer) else where.nodes, namespace)
    try:
        yield user
    finally:
        user.remove()


def _other_name(url: str) -> str:
    """The same servers by another address, so that two caches do not share their knowledge."""
    parts = urlsplit(url)
    if "," not in parts.netloc:
        return url.replace("127.0.0.1", "localhost")
    login, _, hosts = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{login}@{hosts.rpartition(',')[2]}").geturl()


async def _use(
    url: str, namespace: str, face: str, *, strict: bool, on_failover: str = "reset"
) -> None:
    common: dict[str, Any] = {
        "namespace": namespace, "operation_timeout": 5.0, "on_failover": on_failover
    }  # fmt: skip
    own, other = open_cache(url, **common), open_cache(_other_name(url), **common)
    cache = Face(own if face == "async" else own.sync())
    try:
        await Use(cache, Face(other), strict=strict).everything()
    finally:
        with contextlib.nullcontext() if strict else contextlib.suppress(CacheError):
            await cache.close()
        with contextlib.nullcontext() if strict else contextlib.suppress(CacheError):
            await other.aclose()


@pytest.mark.parametrize("face", ["async", "sync"])
async def test_the_rights_are_enough_on_one_server(
    server: RedisServer, namespace: str, face: str
) -> None:
    with _user(server, namespace) as user:
        user.allow([*KEYS, *CHANNEL, *SINGLE])
        await _use(user.url(server.url), namespace, face, strict=True)
        assert user.refused() == set()


@pytest.mark.parametrize("face", ["async", "sync"])
async def test_the_rights_are_enough_in_a_cluster(
    cluster: ClusterServers, namespace: str, face: str
) -> None:
    with _user(cluster, namespace) as user:
        user.allow([*KEYS, *CHANNEL, *CLUSTER])
        await _use(user.url(cluster.url), namespace, face, strict=True)
        assert user.refused() == set()


@pytest.mark.parametrize("face", ["async", "sync"])
async def test_the_rights_are_enough_behind_sentinels(
    sentinel: SentinelServers, namespace: str, face: str
) -> None:
    with _user(sentinel, namespace) as user, _watcher(sentinel, namespace) as options:
        user.allow([*KEYS, *CHANNEL, *SINGLE])
        await _use(user.url(sentinel.url) + options, namespace, face, strict=True)
        assert user.refused() == set()


@pytest.mark.parametrize("right", ["", *_row('With `on_failover="replay"`')[1:]])
async def test_the_rights_of_writers_that_replay(
    sentinel: SentinelServers, namespace: str, right: str
) -> None:
    needed = [*KEYS, *CHANNEL, *SINGLE, *_row('With `on_failover="replay"`')[1:]]
    with _user(sentinel, namespace) as user:
        user.allow([each for each in needed if each != right])
        url = user.url(sentinel.url)
        await _use(url, namespace, "async", strict=not right, on_failover="replay")
        assert user.refused() == ({right[1:]} if right else set())


@contextlib.contextmanager
def _watcher(sentinel: SentinelServers, namespace: str) -> Iterator[str]:
    """Sentinels that answer one user alone, with the rights of the page; as options of a URL."""
    name = f"watcher-{namespace}"
    for server in sentinel.sentinels:
        rights = _row("On the Sentinels themselves")
        server.command("ACL", "SETUSER", name, "on", f">{SECRET}", "-@all", *rights)
        server.command("ACL", "LOG", "RESET")
    try:
        yield f"?sentinel_username={name}&sentinel_password={SECRET}"
        assert _refused(sentinel.sentinels, name) == set()
    finally:
        for server in sentinel.sentinels:
            server.command("ACL", "DELUSER", name)


@pytest.mark.parametrize("right", [*SINGLE, *KEYS, *CHANNEL])
async def test_no_right_can_go_on_one_server(
    server: RedisServer, namespace: str, right: str
) -> None:
    with _user(server, namespace) as user:
        user.allow([each for each in (*KEYS, *CHANNEL, *SINGLE) if each != right])
        await _use(user.url(server.url), namespace, "async", strict=False)
        assert _is_of(right, namespace, user.refused())


@pytest.mark.parametrize(
    "right", [right for right in (*CLUSTER, *KEYS, *CHANNEL) if right != "+asking"]
)
async def test_no_right_can_go_in_a_cluster(
    cluster: ClusterServers, namespace: str, right: str
) -> None:
    with _user(cluster, namespace) as user:
        user.allow([each for each in (*KEYS, *CHANNEL, *CLUSTER) if each != right])
        await _use(user.url(cluster.url), namespace, "async", strict=False)
        assert _is_of(right, namespace, user.refused())


def _is_of(right: str, namespace: str, refused: set[str]) -> bool:
    if right.startswith("+"):
        return refused == {right[1:]}
    if right.startswith("&"):
        return refused == {f"{{{namespace}}}:p"}
    clock = right == "~{shop}:*"
    starts = f"{{{namespace}}}:" if clock else f"{{{namespace}:"
    return bool(refused) and all(each.startswith(starts) for each in refused)


@pytest.mark.parametrize("allowed", [True, False])
async def test_slots_under_way_need_the_right_to_ask(
    moving: Moving, open_at: OpenAt, namespace: str, allowed: bool
) -> None:
    ring, key = moving.ring, "row:1"
    with _user(ring, namespace) as user:
        user.allow([*KEYS, *CHANNEL, *(each for each in CLUSTER if allowed or each != "+asking")])
        l2_only = TieredCacheConfig(enable_l1=False)
        cache = open_at(user.url(ring.url), operation_timeout=5, tiers=l2_only)
        await cache.set(key, "before", ttl=60)
        slot = moving.slot(key)
        move = await asyncio.to_thread(ring.start_move, slot, moving.target(slot))
        await asyncio.to_thread(move.migrate_keys)
        read = await cache.get(key, consistency="strong")
        assert read == ("before" if allowed else None)
        assert user.refused() == (set() if allowed else {"asking"})
        await asyncio.to_thread(move.finish)


async def test_a_missing_right_is_named(server: RedisServer, namespace: str) -> None:
    with _user(server, namespace) as user:
        user.allow([*KEYS, *CHANNEL, *(each for each in SINGLE if each != "+zadd")])
        config = CacheConfig.redis(user.url(server.url), namespace=namespace, hints=False)
        async with RedisCache(config) as cache:
            with pytest.raises(AuthenticationFailed, match="a right; check") as caught:
                await cache.set("k", 1, ttl=60)
            assert SECRET not in str(caught.value)


def test_the_command_of_the_page_has_the_rights_of_its_table() -> None:
    line = next(line for line in PAGE.splitlines() if line.startswith("ACL SETUSER shop "))
    words = line.split()[3:]
    assert words[:2] == ["on", ">secret"]
    assert sorted(words[2:]) == sorted(
        ["resetkeys", *KEYS, "resetchannels", *CHANNEL, "-@all", *SINGLE]
    )
