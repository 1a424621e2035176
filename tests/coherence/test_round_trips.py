"""The table of round trips in docs/protocol.md, counted at the servers."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from armature_cache import CacheConfig, InMemoryCache, RedisCache, TaggedCache, TieredCache
from armature_cache.testing import RedisServer
from tests.conftest import StartCluster, StartServer
from tests.contract.faces import ManualTime

PAGE = Path(__file__).parents[2] / "docs/protocol.md"
HEADER = "| Call, in a warm process | Server | Cluster |"
KEYS = [f"key:{number}" for number in range(20)]
TAGS = [f"tag:{number}" for number in range(2500)]

Call = Callable[["Warm"], Awaitable[object]]


class Warm:
    """A cache that has done everything once, with a time that stands still."""

    def __init__(self, url: str) -> None:
        self.time = ManualTime()
        config = CacheConfig.redis(url, namespace="trips", hints=False)
        self.l1 = InMemoryCache(time=self.time)
        far = RedisCache(config, time=self.time)
        self.cache = TaggedCache(TieredCache(self.l1, far))
        self.part = self.cache.namespace("part")
        self.mark: Any = None
        self._fresh = 0

    def fresh(self) -> str:
        """A key that nobody has used."""
        self._fresh += 1
        return f"fresh:{self._fresh}"

    async def prepare(self) -> None:
        """Values in both tiers, a trusted clock, no leases."""
        await self.cache.set_many(dict.fromkeys(KEYS, "v"), ttl=60, tags=["many"])
        await self.cache.set("k", "v", tags=["t"], ttl=60, as_of=None)
        await self.cache.get("k", consistency="strong")
        await self.cache.increment("n", ttl=60)
        self.mark = self.cache.mark()


def _untrusted(warm: Warm) -> None:
    warm.time.now += 1


def _out_of_l1(warm: Warm) -> None:
    warm.l1.discard("k")


async def _load() -> str:
    return "loaded"


CALLS: dict[str, tuple[Call, Sequence[Callable[[Warm], None]]]] = {
    "`get`, valid in L1, trusted": (lambda w: w.cache.get("k"), ()),
    "`get`, valid in L1, not trusted": (lambda w: w.cache.get("k"), (_untrusted,)),
    "`get`, not in L1, trusted": (lambda w: w.cache.get("k"), (_out_of_l1,)),
    "`get`, not in L1, not trusted": (lambda w: w.cache.get("k"), (_out_of_l1, _untrusted)),
    "`get`, a miss": (lambda w: w.cache.get("absent"), ()),
    '`get(consistency="strong")`': (lambda w: w.cache.get("k", consistency="strong"), ()),
    "`get_many` of 20 keys": (lambda w: w.cache.get_many([f"no {key}" for key in KEYS]), ()),
    "`get_or_set`, a load": (lambda w: w.cache.get_or_set(w.fresh(), _load, ttl=60), ()),
    "`get_or_set(lock_timeout=0)`, a load": (
        lambda w: w.cache.get_or_set(w.fresh(), _load, ttl=60, lock_timeout=0),
        (),
    ),
    "`set`": (lambda w: w.cache.set("k", "v", tags=["t", "u"], ttl=60, as_of=None), ()),
    "`set(as_of=mark)`": (lambda w: w.cache.set(w.fresh(), "v", ttl=60, as_of=w.mark), ()),
    "`set_many` of 20 keys": (
        lambda w: w.cache.set_many(dict.fromkeys(KEYS, "v"), ttl=60, as_of=None),
        (),
    ),
    "`delete`": (lambda w: w.cache.delete("k"), ()),
    "`delete_many` of 20 keys": (lambda w: w.cache.delete_many(KEYS), ()),
    "`invalidate_tag`, whatever carries it": (lambda w: w.cache.invalidate_tag("many"), ()),
    "`invalidate_tags` of 2,500 tags": (lambda w: w.cache.invalidate_tags(TAGS), ()),
    "`clear`": (lambda w: w.cache.clear(), ()),
    "`clear` of a `namespace()`": (lambda w: w.part.clear(), ()),
    "`add`": (lambda w: w.cache.add(w.fresh(), "v", ttl=60), ()),
    "`increment` of a counter": (lambda w: w.cache.increment("n"), ()),
    "`increment`, a new counter": (lambda w: w.cache.increment(w.fresh(), ttl=60), ()),
    "`expire`": (lambda w: w.cache.expire("k", 60), ()),
    "`exists`, `ttl`": (lambda w: w.cache.exists("k"), ()),
}


def table() -> Iterator[tuple[str, int, int]]:
    """The rows of the page."""
    text = PAGE.read_text("utf-8")
    for line in text[text.index(HEADER) :].split("\n\n", 1)[0].splitlines()[2:]:
        call, server, cluster = (cell.strip() for cell in line.strip("|").split(" | "))
        yield call, int(server), int(cluster)


async def count(servers: Sequence[RedisServer], url: str) -> dict[str, int]:
    """How often the servers had something to read while each call was made."""

    def reads() -> int:
        told: list[Any] = [client.info("stats") for client in clients]
        return sum(each["total_reads_processed"] for each in told)

    warm, found = Warm(url), {}
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(warm.cache)
        clients = [Redis(host=server.host, port=server.port) for server in servers]
        for client in clients:
            stack.enter_context(contextlib.closing(client))
        reads()
        for _ in range(2):  # the first time sends the scripts
            for name, (call, before) in CALLS.items():
                await warm.prepare()
                for step in before:
                    step(warm)
                started = reads()
                await call(warm)
                found[name] = reads() - started - len(servers)
    return found


@pytest.mark.slow
async def test_on_one_server(start_server: StartServer) -> None:
    server = start_server()
    expected = {call: trips for call, trips, _ in table()}
    assert await count([server], server.url) == expected


@pytest.mark.slow
async def test_on_a_cluster(start_cluster: StartCluster) -> None:
    """The sum over all masters: what goes to several at once counts for each."""
    group = start_cluster(replicas=0)
    expected = {call: trips for call, _, trips in table()}
    assert await count(group.nodes, group.url) == expected
