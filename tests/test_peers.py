"""Defects that others have, or that the Rust original had: each must not be here.

The rows are those of the study of other caches. What concerns decorated functions is in
tests/decorator, and what concerns the keys of calls in tests/keys.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import gc
import inspect
import pickle
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import redis
import redis.asyncio

from armature_cache import (
    CacheConfig,
    InMemoryCache,
    RedisCache,
    TaggedCache,
    TieredCache,
    TieredCacheConfig,
    envelope,
    open_cache,
)
from armature_cache._time import boottime
from armature_cache.envelope import Envelope
from armature_cache.testing import RedisServer
from tests.conftest import StartServer
from tests.contract.faces import ManualTime, eventually

pytestmark = pytest.mark.slow

BOUND = 0.05
GONE = "gone"


@dataclasses.dataclass
class Site:
    """One namespace on a server, and the processes that share it."""

    server: RedisServer
    namespace: str
    client: redis.Redis
    opened: list[Any] = dataclasses.field(default_factory=list)

    def config(self, *, host: str = "127.0.0.1", **settings: Any) -> CacheConfig:
        url = self.server.url.replace("127.0.0.1", host)
        options = {"hints": False, "staleness_bound": BOUND, **settings}
        return CacheConfig.redis(url, namespace=self.namespace, **options)

    def redis(self, **settings: Any) -> RedisCache:
        self.opened.append(store := RedisCache(self.config(**settings)))
        return store

    def tiers(self, *, tiers: TieredCacheConfig | None = None, **settings: Any) -> TaggedCache:
        config = tiers or TieredCacheConfig(staleness_bound=BOUND)
        return TaggedCache(TieredCache(InMemoryCache(), self.redis(**settings), config))

    def process(self, **settings: Any) -> TaggedCache:
        """A cache that knows of the others only through the server: its clock is its own."""
        return self.tiers(host="localhost", **settings)

    def value(self, key: str) -> str:
        return f"{{{self.namespace}:0}}:v:{key}"

    def names(self, kind: str) -> list[bytes]:
        """The keys on the server: values `v`, listing indexes `i`, the registry `T`."""
        return list(self.client.scan_iter(f"{{{self.namespace}:0}}:{kind}*", count=5000))


@pytest.fixture
async def site(server: RedisServer, namespace: str) -> AsyncIterator[Site]:
    with redis.Redis.from_url(server.url) as client:
        made = Site(server, namespace, client)
        yield made
        for store in made.opened:
            await store.aclose()


async def within_bound(read: Callable[[], Any], old: object) -> object:
    """What is read once it is no longer `old`; checks that this took at most the bound."""
    changed = boottime()
    while True:
        began = boottime()
        if (got := await read()) != old:
            return got
        assert began - changed <= BOUND


# -- Armature, the Rust original -------------------------------------------------------------


async def test_armature_the_index_was_kept_in_the_process(site: Site):
    writer, stranger = site.tiers(), site.process()
    await writer.set_with_tags("k", 1, ["t", "u"])
    assert await stranger.get_keys_by_tag("t") == ["k"]
    assert await stranger.get_tags_for_key("k") == ["t", "u"]
    assert await stranger.list_tags() == ["t", "u"]
    assert await writer.get("k") == 1
    await stranger.invalidate_tag("t")
    assert await within_bound(lambda: writer.get("k", GONE), 1) == GONE


async def test_armature_l1_had_no_bound(site: Site):
    l1 = InMemoryCache(max_entries=100)
    cache = TieredCache(l1, site.redis())
    keys = [f"k{number}" for number in range(150)]
    await cache.set_many(dict.fromkeys(keys, 1))
    assert await cache.get_many(keys) == dict.fromkeys(keys, 1)
    entries = l1.stats().entries
    assert entries is not None
    assert entries <= 100
    assert inspect.signature(InMemoryCache).parameters["max_entries"].default == 10_000


async def test_armature_clear_flushed_the_whole_database(site: Site):
    foreign = f"foreign-{site.namespace}"
    site.client.set(foreign, "theirs", px=60_000)
    neighbour = RedisCache(
        CacheConfig.redis(site.server.url, namespace=f"{site.namespace}n", hints=False)
    )
    async with neighbour:
        await neighbour.set("k", "theirs")
        cache = site.tiers()
        await cache.set("k", 1)
        await cache.clear()
        assert await cache.get("k") is None
        assert await neighbour.get("k") == "theirs"
    assert site.client.get(foreign) == b"theirs"


async def test_armature_no_ttl_left_an_eternal_copy_in_l1(site: Site):
    l1 = InMemoryCache()
    cache = TieredCache(l1, site.redis(default_ttl=100))
    await cache.set("set", 1)
    await cache.get_or_set("loaded", lambda: 1)
    await cache.set("promoted", 1)
    l1.discard("promoted")
    assert await cache.get("promoted") == 1
    for key in ("set", "loaded", "promoted"):
        left = await l1.ttl(key)
        assert left is not None, key
        assert 0 < left <= 25, key
    short = TieredCache(InMemoryCache(), site.redis(default_ttl=0.03))
    await short.set("short", 1)
    await eventually(lambda: absent(short, "short"), "expiry")


async def absent(cache: Any, key: str) -> bool:
    return bool(await cache.get(key, GONE) == GONE)


async def test_armature_without_write_through_l1_kept_the_old_value(site: Site):
    config = TieredCacheConfig(write_through=False, staleness_bound=BOUND)
    cache = site.tiers(tiers=config)
    for number in range(3):
        await cache.set("k", number)
        assert await cache.get("k") == number
        assert await cache.get("k") == number
    await cache.delete("k")
    assert await cache.get("k") is None


async def test_armature_a_reader_promoted_what_was_being_deleted(
    site: Site, monkeypatch: pytest.MonkeyPatch
):
    l2 = site.redis()
    cache = TieredCache(InMemoryCache(), l2, TieredCacheConfig(staleness_bound=BOUND))
    await l2.set("k", "doomed")
    fetch = l2._fetch

    async def overtaken(*args: Any, **kwargs: Any) -> Any:
        found = await fetch(*args, **kwargs)
        monkeypatch.undo()
        await cache.delete("k")
        return found

    monkeypatch.setattr(l2, "_fetch", overtaken)
    assert await cache.get("k") == "doomed", "it was read before the delete"
    assert await cache.get("k", GONE) == GONE


async def test_armature_a_lifetime_below_a_second_was_truncated_to_zero(site: Site):
    cache = site.tiers()
    await cache.set("k", 1, ttl=0.9)
    pttl = site.client.pttl(site.value("k"))
    assert 0 < pttl <= 900
    left = await cache.ttl("k")
    assert left is not None
    assert 0 < left <= 0.9
    await cache.set("k", 1, ttl=0.03)
    await eventually(lambda: absent(cache, "k"), "expiry")


async def test_armature_the_password_was_logged(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(0):
        config = CacheConfig.redis("redis://me:hunter2@127.0.0.1:1/0", operation_timeout=0.5)
        cache = TaggedCache(TieredCache(InMemoryCache(), RedisCache(config)))
        assert await cache.get_or_set("k", lambda: 1) == 1
        await cache.aclose()
    assert caplog.records
    assert "hunter2" not in caplog.text + repr(config) + repr(cache)


def _garbage(raw: bytes) -> bytes:
    return b"garbage"


def _truncated(raw: bytes) -> bytes:
    return raw[:-3]


def _flipped(raw: bytes) -> bytes:
    return raw[:-1] + bytes([raw[-1] ^ 1])


def _head_only(raw: bytes) -> bytes:
    return raw[:20]


def _empty(raw: bytes) -> bytes:
    return b""


@pytest.mark.parametrize("damage", [_garbage, _truncated, _flipped, _head_only, _empty])
async def test_armature_a_bad_stored_entry_failed_reads_until_it_expired(
    site: Site, damage: Callable[[bytes], bytes]
):
    cache = site.redis()
    await cache.set("k", "value", ttl=600)
    raw = site.client.get(site.value("k"))
    assert isinstance(raw, bytes)
    site.client.set(site.value("k"), damage(raw), px=600_000)
    assert await cache.get("k", GONE) == GONE
    assert await cache.get_many(["k"]) == {}
    assert await cache.get_or_set("k", lambda: "loaded") == "loaded"
    assert await cache.get("k") == "loaded"
    assert cache.stats().undecodable >= 1


async def test_armature_tags_over_tiers_did_not_type_check(site: Site):
    cache: TaggedCache = TaggedCache(TieredCache(InMemoryCache(), site.redis()))
    await cache.set_with_tags("user:1", {"id": 1}, ["users", "user:1"], 3600)
    assert await cache.get("user:1") == {"id": 1}
    await cache.invalidate_tag("users")
    assert await cache.get("user:1") is None


# -- cashews, HermesCache, Symfony, Laravel --------------------------------------------------


async def test_cashews_a_short_key_cut_the_life_of_its_tag(site: Site):
    cache = site.tiers()
    await cache.set("long", 1, tags="t", ttl=600)
    await cache.set("short", 1, tags="t", ttl=0.03)
    await eventually(lambda: absent(cache, "short"), "expiry")
    assert await cache.get_keys_by_tag("t") == ["long"]
    await cache.invalidate_tag("t")
    assert await cache.get("long", GONE) == GONE


async def test_cashews_dead_members_were_listed_and_never_left(site: Site):
    cache = site.tiers()
    await cache.set_many({f"dead{number}": 1 for number in range(400)}, tags="t", ttl=0.02)
    await eventually(lambda: absent(cache, "dead399"), "expiry")
    await cache.set("live", 1, tags="t", ttl=600)
    assert await cache.get_keys_by_tag("t") == ["live"]
    for number in range(200):
        await cache.set(f"more{number}", 1, tags="t", ttl=600)
    (index,) = site.names("i")
    assert site.client.zcard(index) <= 260, "one set in five trims members that have died"


@pytest.mark.parametrize("protocol", [None, 2, 3])
async def test_cashews_a_client_of_resp3_heard_no_invalidations(site: Site, protocol: int | None):
    options: dict[str, Any] = {} if protocol is None else {"protocol": protocol}
    client = redis.asyncio.Redis.from_url(site.server.url, **options)
    for hints in (False, True):
        config = site.config(hints=hints)
        l2 = RedisCache.from_client(client, config=config)
        tiers = TieredCacheConfig(staleness_bound=BOUND)
        cache, other = TaggedCache(TieredCache(InMemoryCache(), l2, tiers)), site.process()
        await cache.set("k", 1, tags="t")
        assert await cache.get("k") == 1
        assert await cache.get_keys_by_tag("t") == ["k"]
        assert await cache.list_tags() == ["t"]
        assert await cache.increment(f"n{hints}") == 1
        await other.invalidate_tag("t")
        assert await within_bound(functools.partial(cache.get, "k", GONE), 1) == GONE
        await cache.aclose()
    await client.aclose()


@pytest.mark.parametrize("where", ["here", "elsewhere"])
async def test_cashews_hermes_symfony_laravel_an_invalidation_during_a_load_was_lost(
    site: Site, where: str
):
    cache, other = site.tiers(), site.process()
    invalidating = cache if where == "here" else other

    async def load() -> str:
        await invalidating.invalidate_tag("t")
        return "stale"

    assert await cache.get_or_set("k", load, tags="t", ttl=600) == "stale"
    for store in (other, cache):
        assert await store.get("k", GONE) == GONE
        assert await store.get("k", GONE, consistency="strong") == GONE


async def test_cashews_cancelling_the_first_caller_cancelled_all(site: Site):
    cache = site.tiers()
    started, gate, calls = asyncio.Event(), asyncio.Event(), []

    async def load() -> str:
        calls.append(1)
        started.set()
        await gate.wait()
        return "loaded"

    first = asyncio.create_task(cache.get_or_set("k", load))
    await started.wait()
    others = [asyncio.create_task(cache.get_or_set("k", load)) for _ in range(5)]
    flight: Any
    (flight,) = cache._flights._table.values()

    async def joined() -> bool:
        return bool(flight.shared._waiting == 6)

    await eventually(joined, "five more wait for the load")
    first.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await first
    gate.set()
    assert await asyncio.gather(*others) == ["loaded"] * 5
    assert first.cancelled()
    assert await cache.get("k") == "loaded"


class Trap:
    sprung: list[str] = []  # noqa: RUF012 - a class attribute is what survives pickling

    def __reduce__(self) -> tuple[Any, ...]:
        return (Trap.sprung.append, ("unpickled",))


@pytest.mark.parametrize("codec", range(8))
async def test_cashews_yokedcache_stored_bytes_could_choose_pickle(site: Site, codec: int):
    cache = site.redis()
    await cache.set("k", "value", ttl=600)
    raw = site.client.get(site.value("k"))
    assert isinstance(raw, bytes)
    stored = envelope.parse("k", raw)
    assert stored is not None
    forged = dataclasses.replace(stored, codec=codec, payload=pickle.dumps(Trap()))
    assert isinstance(forged, Envelope)
    site.client.set(site.value("k"), envelope.build("k", forged), px=600_000)
    wants: tuple[Any, ...] = (None, Trap, str)
    for want in wants:
        assert await cache.get("k", GONE, type=want) == GONE
    assert Trap.sprung == []


# -- yokedcache, aiocache, async-hybrid-cache, cachebox --------------------------------------


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # what a loop had open when it ended
def test_yokedcache_sync_calls_failed_with_event_loop_is_closed(
    server: RedisServer, namespace: str, caplog: pytest.LogCaptureFixture
):
    cache = open_cache(server.url, namespace=namespace, hints=False)
    plain = cache.sync()

    async def use(number: int) -> object:
        await cache.set(f"k{number}", number)
        return await cache.get_or_set("shared", lambda: "loaded")

    assert plain.get("k0") is None
    for number in range(3):
        assert asyncio.run(use(number)) == "loaded"
        assert plain.get(f"k{number}") == number
        assert plain.get_or_set("shared", lambda: "again") == "loaded"
        plain.set(f"k{number}", "new")
        assert plain.get(f"k{number}", consistency="strong") == "new"

    async def inside() -> object:
        return plain.get_or_set("inside", lambda: "loaded")

    assert asyncio.run(inside()) == "loaded"
    plain.close()
    asyncio.run(cache.aclose())
    gc.collect()
    assert not [record for record in caplog.records if record.name.startswith("armature")]


async def test_aiocache_clear_left_timers_that_deleted_new_values():
    time = ManualTime()
    cache = InMemoryCache(time=time)
    await cache.set_many({f"k{number}": "old" for number in range(50)}, ttl=10)
    await cache.clear()
    await cache.set_many({f"k{number}": "new" for number in range(50)}, ttl=100)
    await cache.set("k0", "new", ttl=None)
    time.now += 50
    assert cache.stats().entries == 50
    assert await cache.get_many(["k0", "k49"]) == {"k0": "new", "k49": "new"}
    await cache.delete("k1")
    await cache.set("k1", "newer", ttl=1000)
    time.now += 60
    assert await cache.get_many(["k0", "k1", "k2"]) == {"k0": "new", "k1": "newer"}


async def test_aiocache_none_was_never_a_hit(site: Site):
    for cache in (site.tiers(), TaggedCache(InMemoryCache())):
        calls: list[int] = []
        for _ in range(3):
            await cache.get_or_set("k", functools.partial(calls.append, 1))
        assert len(calls) == 1
        assert await cache.get("k", GONE) is None


async def test_async_hybrid_cache_promotion_restarted_the_lifetime(site: Site):
    l1, l2 = InMemoryCache(), site.redis()
    cache = TieredCache(l1, l2, TieredCacheConfig(l1_ttl_fraction=1, staleness_bound=BOUND))
    await l2.set("k", 1, ttl=600)
    await l2.expire("k", 3)
    assert await cache.get("k") == 1
    near = await l1.ttl("k")
    assert near is not None
    assert 0 < near <= 3
    await l2.set("short", 1, ttl=0.03)
    await cache.get("short")
    await eventually(lambda: absent(cache, "short"), "expiry")


async def test_async_hybrid_cache_one_lock_per_key_stayed_for_ever(site: Site):
    cache = site.tiers()
    for number in range(50):
        await cache.get_or_set(f"k{number}", lambda: 1)
        with pytest.raises(ZeroDivisionError):
            await cache.get_or_set(f"e{number}", lambda: 1 / 0)
    await asyncio.gather(*(cache.refresh("k", lambda: 1) for _ in range(10)))
    assert len(cache._flights) == 0


async def test_async_hybrid_cache_clear_left_l2(site: Site):
    cache, other = site.tiers(), site.process()
    await cache.set("k", 1)
    assert await other.get("k") == 1
    await cache.clear()
    assert await cache.get("k") is None
    assert await within_bound(lambda: other.get("k", GONE), 1) == GONE
    assert await site.redis().get("k") is None


@pytest.mark.faults
async def test_async_hybrid_cache_fusioncache_the_listener_died_and_l1_was_kept(
    start_server: StartServer, namespace: str
):
    server = start_server()
    with redis.Redis.from_url(server.url) as client:
        site = Site(server, namespace, client)
        cache, other = site.tiers(hints=True), site.process()
        channel = f"{{{namespace}}}:p"

        async def listening() -> bool:
            await cache.get("absent")
            return bool(client.pubsub_numsub(channel)[0][1])

        for number in range(3):
            await cache.set("k", number, tags="t")
            await eventually(listening, "subscription")
            assert await cache.get("k") == number
            client.client_kill_filter(_type="pubsub")
            await other.invalidate_tag("t")
            assert await within_bound(lambda: cache.get("k", GONE), number) == GONE
        await eventually(listening, "subscription")
        for store in site.opened:
            await store.aclose()


async def test_cachebox_a_function_that_called_itself_deadlocked(site: Site):
    cache = site.tiers()

    async def factorial(n: int) -> int:
        async def load() -> int:
            return n * await factorial(n - 1) if n else 1

        return await cache.get_or_set(f"f{n}", load)

    assert await factorial(10) == 3_628_800
    plain = cache.sync()

    def itself() -> int:
        return plain.get_or_set("self", lambda: 1)

    assert plain.get_or_set("self", itself) == 1
    plain.close()


# -- FusionCache, HybridCache, Laravel, Symfony, coredis -------------------------------------


async def test_fusioncache_the_loss_of_the_tag_marker_revived_entries(site: Site):
    cache, other = site.tiers(), site.process()
    await cache.set("k", 1, tags="t")
    await cache.invalidate_tag("t")
    site.client.delete(f"{{{site.namespace}}}:c")
    assert await other.get("k", GONE) == GONE
    assert await cache.get("k", GONE) == GONE
    await cache.set("k", 2, tags="t", as_of=None)
    assert await cache.get("k") == 2
    site.client.delete(f"{{{site.namespace}}}:c", f"{{{site.namespace}}}:k")
    assert await within_bound(lambda: cache.get("k", GONE), 2) == GONE


@pytest.mark.parametrize("where", ["here", "elsewhere"])
async def test_fusioncache_a_removal_during_a_load_was_lost(site: Site, where: str):
    cache, other = site.tiers(), site.process()
    removing = cache if where == "here" else other

    async def load() -> str:
        await removing.delete("k")
        return "stale"

    assert await cache.refresh("k", load) == "stale"
    for store in (other, cache):
        assert await store.get("k", GONE) == GONE
        assert await store.get("k", GONE, consistency="strong") == GONE


async def test_hybridcache_l1_of_other_processes_was_never_invalidated(site: Site):
    cache, other = site.tiers(), site.process()
    await cache.set("k", 1, tags="t", ttl=600)
    assert await other.get("k") == 1
    await cache.invalidate_tag("t")
    assert await within_bound(lambda: other.get("k", GONE), 1) == GONE
    await cache.set("k", 2, ttl=600)
    assert await within_bound(lambda: other.get("k", GONE), GONE) == 2
    await cache.delete("k")
    assert await within_bound(lambda: other.get("k", GONE), 2) == GONE


async def test_laravel_symfony_orphans_stayed_in_the_index_for_ever(site: Site):
    cache = site.tiers()
    part = cache.namespace("part")
    for number in range(30):
        await cache.set(f"k{number}", 1, tags=[f"t{number}", "all"], ttl=0.2)
        await part.set(f"k{number}", 1, tags=["all"], ttl=0.2)
    await cache.set("k0", 2, tags="other", ttl=0.2)
    await cache.get_or_set("loaded", lambda: 1, tags="all", ttl=0.2)
    await cache.increment("n", ttl=0.2)
    await cache.increment("n", ttl=600)
    await cache.invalidate_tag("t1")
    assert site.names("i")
    assert site.names("T")

    async def silent() -> bool:
        return not (site.names("i") or site.names("T") or site.names("v"))

    await eventually(silent, "the end of every index, registry and value")
    assert await cache.list_tags() == []
    assert await cache.get_keys_by_tag("all") == []


async def test_laravel_symfony_an_invalidation_blocked_the_server(
    site: Site, monkeypatch: pytest.MonkeyPatch
):
    l2 = site.redis()
    cache = TaggedCache(l2)
    await cache.set_many(dict.fromkeys(map(str, range(300)), 1), tags="many")
    await cache.set("one", 1, tags="few")
    send, sent = l2._port.send, []

    async def counted(commands: Any, **options: Any) -> Any:
        sent.append(list(commands))
        return await send(commands, **options)

    monkeypatch.setattr(l2._port, "send", counted)
    await cache.invalidate_tag("many")
    many, sent[:] = list(sent), []
    await cache.invalidate_tag("few")
    assert [len(pipeline) for pipeline in many] == [len(pipeline) for pipeline in sent] == [1]
    assert len(repr(many)) < len(repr(sent)) + 20, "nothing in it grows with the number of keys"
    monkeypatch.undo()
    assert await cache.get_many(["1", "299", "one"]) == {}


async def test_coredis_after_flushall_old_values_were_served(
    start_server: StartServer, namespace: str
):
    server = start_server()
    with redis.Redis.from_url(server.url) as client:
        for hints in (False, True):
            site = Site(server, namespace, client)
            cache = site.tiers(hints=hints)
            await cache.set("k", 1, tags="t", ttl=600)
            assert await cache.get("k") == 1
            client.flushall()
            assert await within_bound(functools.partial(cache.get, "k", GONE), 1) == GONE
            await cache.set("k", 2)
            assert await cache.get("k") == 2
            for store in site.opened:
                await store.aclose()
