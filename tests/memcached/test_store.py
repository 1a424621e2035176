"""What is special about `MemcachedCache`; what it shares with other stores is in the contract."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from armature_cache import (
    BackendError,
    BackendUnavailable,
    CacheConfig,
    ConfigError,
    InMemoryCache,
    KeyRing,
    MemcachedCache,
    NotSupported,
    RedisCache,
    SealedCodec,
    TaggedCache,
    TieredCache,
    ValueTooLarge,
)
from armature_cache.clocks.nonces import ROOT, NonceReplica
from armature_cache.memcachedio import frame
from armature_cache.memcachedio.names import Place
from armature_cache.testing import MemcachedServer
from tests.conftest import StartMemcached
from tests.contract.faces import eventually

Open = Callable[..., TaggedCache]
GONE = "gone"


@pytest.fixture
async def open_at(namespace: str) -> AsyncIterator[Open]:
    """Opens caches of one namespace, each as in a process of its own."""
    opened: list[TaggedCache] = []

    def start(
        *servers: MemcachedServer, tiered: bool = False, skew: float = 0.0, **settings: Any
    ) -> TaggedCache:
        config = CacheConfig.memcached(
            [server.url for server in servers],
            **{"namespace": namespace, "hints": False, "staleness_bound": 0.05, **settings},
        )
        own = mock.patch(
            "armature_cache.stores.memcached.nonce_replica_of", return_value=NonceReplica()
        )
        skewed = mock.Mock(side_effect=lambda: time.time() + skew)
        wall = mock.patch("armature_cache.stores.memcached.walltime", skewed)
        with own, wall:
            store = MemcachedCache(config)
        cache = TaggedCache(TieredCache(InMemoryCache(), store) if tiered else store)
        opened.append(cache)
        return cache

    yield start
    for cache in opened:
        await cache.aclose()


def store_of(cache: TaggedCache) -> MemcachedCache:
    inner = cache.store
    found = inner.l2 if isinstance(inner, TieredCache) else inner
    assert isinstance(found, MemcachedCache)
    return found


def value_at(cache: TaggedCache, key: str) -> Place:
    return store_of(cache)._names.value(key)


def raw(server: MemcachedServer, place: Place) -> bytes:
    """What is stored in an item."""
    answer = b"\r\n".join(server.command(b"mg " + place.name + b" v"))
    return answer.partition(b"\r\n")[2]


def put(server: MemcachedServer, place: Place, value: bytes, *, flags: int = 1) -> None:
    """Store any bytes in an item."""
    server.command(b"ms %b %d F%d\r\n%b" % (place.name, len(value), flags, value))


def crowd(server: MemcachedServer, name: int, size: int) -> None:
    """Fill the memory for items of one size."""
    for part in range(40):
        names = (f"{size}-{part}-{number}-".encode().ljust(name, b"x") for number in range(1000))
        server.command(*(b"ms %b %d\r\n%b" % (one, size, b"v" * size) for one in names))


def life_at(server: MemcachedServer, place: Place) -> int:
    """The seconds that the server will keep an item, -1 for no end."""
    (line,) = server.command(b"mg " + place.name + b" t")
    return int(line.partition(b" t")[2].split()[0])


# -- keys and values -----------------------------------------------------------------------------


async def test_keys_that_memcached_refuses(open_at: Open, memcached: MemcachedServer):
    cache = open_at(memcached)
    keys = [
        "a b",
        "a\nb",
        "ü",
        "\x7f",
        "\x01",
        "k" * 251,
        "k" * 4096,
        "日本" * 500,
        " ",
        "~h",
        "h:",
    ]
    for number, key in enumerate(keys):
        await cache.set(key, number, tags=key[:100])
    assert await cache.get_many(keys) == {key: number for number, key in enumerate(keys)}
    assert sorted([key async for key in cache.scan()]) == sorted(keys)
    assert [key async for key in cache.scan("k")] in (keys[5:7], keys[6:4:-1])
    assert await cache.get_keys_by_tag("ü") == ["ü"]
    await cache.invalidate_tag("日本" * 50)
    assert await cache.delete("a b") is True
    assert await cache.increment("a\nb") == 2
    left = [key for key in keys if key not in {"a b", keys[7]}]
    assert sorted(await cache.get_many(keys)) == sorted(left)


async def test_a_collision_of_hashed_names_is_a_miss(open_at: Open, memcached: MemcachedServer):
    cache = open_at(memcached)
    await cache.set("a long name", 1, ttl=60)
    put(memcached, value_at(cache, "another name"), raw(memcached, value_at(cache, "a long name")))
    put(memcached, value_at(cache, "plain"), raw(memcached, value_at(cache, "a long name")))
    assert await cache.get_many(["a long name", "another name", "plain"]) == {"a long name": 1}
    assert cache.stats().undecodable == 2
    await cache.set("another name", 2)
    assert await cache.get_many(["a long name", "another name"]) == {
        "a long name": 1,
        "another name": 2,
    }


@pytest.mark.parametrize("size", ["512k", "1m", "4m"])
async def test_values_up_to_the_limit_and_none_beyond(
    open_at: Open, start_memcached: StartMemcached, size: str
):
    server = start_memcached(["-I", size])
    cache, limit = open_at(server), int(size[:-1]) * (1024 if size[-1] == "k" else 1024**2)
    fitting = None
    for length in range(limit - 20_000, limit, 97):
        value = os.urandom(length)
        with contextlib.suppress(ValueTooLarge):
            await cache.set("k", value, as_of=None)
            fitting = value
        assert await cache.get("k") == fitting, "a value that is refused takes nothing with it"
    assert fitting is not None
    with pytest.raises(ValueTooLarge, match="-I") as caught:
        await cache.set("k", os.urandom(limit), as_of=None)
    assert caught.value.limit == limit < caught.value.size
    assert await cache.get("k") == fitting


async def test_who_stores_too_much_is_told(open_at: Open, memcached: MemcachedServer):
    cache, large = open_at(memcached), os.urandom(2 * 1024 * 1024)
    for call in (
        lambda: cache.set("k", large),
        lambda: cache.set_many({"small": 1, "large": large}),
        lambda: cache.add("k", large),
        lambda: cache.get_or_set("k", lambda: large),
    ):
        with pytest.raises(ValueTooLarge):
            await call()
    assert await cache.get_many(["k", "small", "large"]) == {}


async def test_a_value_beyond_ones_own_limit_is_a_miss(open_at: Open, memcached: MemcachedServer):
    cache = open_at(memcached)
    await cache.set("k", os.urandom(300_000), tags="t")
    careful = open_at(memcached, max_value_bytes=1000)
    assert await careful.get("k", GONE) == GONE
    assert await careful.exists("k") is False
    await careful.set("k", 1, as_of=None)
    assert await cache.get("k", consistency="strong") == 1


async def test_bytes_of_others_are_misses(open_at: Open, memcached: MemcachedServer):
    cache = open_at(memcached)
    await cache.set("k", "value", tags="t", ttl=60)
    good = raw(memcached, value_at(cache, "k"))
    damaged = [good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :] for at in range(len(good))]
    # The stamp is of no use here, and not looked at.
    for value in (b"x", b"theirs", good[:-1], good + b"x", b"AM\x01", *damaged):
        put(memcached, value_at(cache, "k"), value)
        assert await cache.get("k", GONE, consistency="strong") == GONE
    assert cache.stats().undecodable >= len(damaged)
    await cache.set("k", "new")
    assert await cache.get("k") == "new"


async def test_what_a_later_release_wrote_is_not_replaced_by_a_load(
    open_at: Open, memcached: MemcachedServer
):
    cache = open_at(memcached)
    await cache.set("k", 1)
    later = bytearray(raw(memcached, value_at(cache, "k")))
    later[2] = 9
    put(memcached, value_at(cache, "k"), bytes(later))
    assert await cache.get_or_set("k", lambda: "ours") == "ours"
    assert raw(memcached, value_at(cache, "k")) == bytes(later)
    await cache.set("k", "ours", as_of=None)
    assert await cache.get("k") == "ours"


# -- the clock's items ---------------------------------------------------------------------------


@pytest.mark.parametrize("value", [b"", b"x", b"garbage" * 50, b"\0" * 24], ids=repr)
@pytest.mark.parametrize("which", ["g", "root", "tag", "bound", "claim"])
async def test_garbage_in_place_of_the_clock(
    open_at: Open, memcached: MemcachedServer, which: str, value: bytes
):
    near, far = open_at(memcached, tiered=True), open_at(memcached, tiered=True)
    names = store_of(near)._names
    place = {
        "g": names.change,
        "root": names.tag(ROOT),
        "tag": names.tag("t"),
        "bound": names.bound,
        "claim": names.claim("k"),
    }[which]
    await near.set("k", "old", tags="t")
    assert await far.get("k") == "old"
    put(memcached, place, value)
    await near.invalidate_tag("t", wait=True)
    assert await far.get("k", GONE) == GONE
    assert await near.get("k", GONE) == GONE
    put(memcached, place, value)
    loaded = await asyncio.wait_for(far.get_or_set("k", lambda: "new", tags="t"), 10)
    assert loaded == "new"
    assert await near.get_or_set("k", lambda: "newer", tags="t") in {"new", "newer"}
    await near.set("k", "newest", tags="t", as_of=None)
    assert await far.get("k", consistency="strong") == "newest"


@pytest.mark.parametrize("tiered", [True, False], ids=["tiered", "alone"])
async def test_everything_lost_is_misses(
    open_at: Open, start_memcached: StartMemcached, tiered: bool
):
    server = start_memcached()
    near, far = open_at(server, tiered=tiered), open_at(server, tiered=tiered)
    for lose in (server.flush, server.restart):
        await near.set("k", "old", tags="t", as_of=None)
        assert await far.get("k", consistency="strong") == "old"
        lose()
        for cache in (near, far):
            assert await cache.get("k", GONE, consistency="strong") == GONE
        assert await far.get_or_set("k", lambda: "new", tags="t") == "new"
        assert await near.get("k", consistency="strong") == "new"
        await near.invalidate_tag("t")
        assert await far.get("k", GONE, consistency="strong") == GONE


async def test_nonces_that_are_evicted_make_misses(open_at: Open, start_memcached: StartMemcached):
    """Under pressure a small server forgets what was not used of late, the clock's items too."""
    server = start_memcached(["-m", "2"])
    near, far = open_at(server, tiered=True), open_at(server, tiered=True)
    await near.set("k", "old", tags="t")
    assert await far.get("k") == "old"
    await near.invalidate_tag("t")
    names = store_of(near)._names
    crowd(server, len(names.tag("t").name), 24)
    assert server.command(b"mg " + names.tag("t").name) == [b"EN"]
    for cache in (near, far):
        assert await cache.get("k", GONE, consistency="strong") == GONE
    assert await far.get_or_set("k", lambda: "new", tags="t") == "new"
    assert await far.get("k") == "new"


async def test_without_room_writes_fail_and_reads_are_misses(
    open_at: Open, start_memcached: StartMemcached
):
    server = start_memcached(["-m", "2", "-M"])
    cache = open_at(server)
    await cache.set("k", "old", ttl=60)
    for size in range(0, 400, 20):
        crowd(server, 40, size)
    assert await cache.get("k") == "old"
    assert await cache.get("none", GONE) == GONE
    with pytest.raises(BackendError, match="memory"):
        await cache.set("k" * 30, "x" * 100, as_of=None)
    assert await cache.get_or_set("other", lambda: "loaded") == "loaded"
    server.flush()
    await cache.set("k", "new", as_of=None)
    assert await cache.get("k") == "new"


# -- lifetimes -----------------------------------------------------------------------------------


async def test_lifetimes_on_the_server(open_at: Open, memcached: MemcachedServer):
    cache = open_at(memcached)
    month = 30 * 86_400
    for ttl, longest in (
        (0.01, 2),
        (1, 2),
        (1.5, 3),
        (60, 61),
        (month - 60, month),
        (month * 2, None),
    ):
        await cache.set("k", 1, ttl=ttl, as_of=None)
        left = life_at(memcached, value_at(cache, "k"))
        assert left <= (longest or ttl + 2)
        assert left >= ttl - 2
        if ttl > 1:
            assert await cache.ttl("k") == pytest.approx(ttl, abs=5)
    await cache.set("k", 1, ttl=None, as_of=None)
    assert await cache.ttl("k") == math.inf
    assert life_at(memcached, value_at(cache, "k")) == pytest.approx(400 * 86_400, abs=10)
    await cache.get("missing")
    assert 0 < life_at(memcached, value_at(cache, "missing")) <= 90


async def test_a_sliding_lifetime_moves_on_the_server(open_at: Open, memcached: MemcachedServer):
    cache = open_at(memcached)
    assert await cache.get_or_set("k", lambda: 1, ttl=0.5, sliding=True) == 1

    async def moved() -> bool:
        assert await cache.get("k") == 1
        return time.monotonic() - began > 1.5

    began = time.monotonic()
    await eventually(moved, "three lifetimes")


@pytest.mark.parametrize("skew", [-3600, 3600, -40, 40])
async def test_a_wall_clock_that_is_wrong_costs_seconds(
    open_at: Open, memcached: MemcachedServer, skew: float
):
    """Memcached's own seconds stand against it."""
    right, wrong = open_at(memcached), open_at(memcached, skew=skew)
    await right.set("r", 1, ttl=60)
    await wrong.set("w", 1, ttl=60)
    for reader in (right, wrong):
        assert await reader.get_many(["r", "w"]) == {"r": 1, "w": 1}
        for key in ("r", "w"):
            assert await reader.ttl(key) == pytest.approx(60, abs=8)
    await wrong.set("short", 1, ttl=0.2)

    async def gone() -> bool:
        return await right.get("short") is None

    await eventually(gone, "the end of a short life")


# -- servers -------------------------------------------------------------------------------------


async def test_placement_does_not_depend_on_the_order_of_servers(
    open_at: Open, memcached_ring: list[MemcachedServer]
):
    one = open_at(*memcached_ring, tiered=True)
    other = open_at(*reversed(memcached_ring), tiered=True)
    keys = [f"k{number}" for number in range(30)]
    await one.set_many(dict.fromkeys(keys, 1), tags="t")
    assert await other.get_many(keys) == dict.fromkeys(keys, 1)
    await other.invalidate_tag("t")
    assert await one.get_many(keys, consistency="strong") == {}
    used = {value_at(one, key).node for key in keys}
    assert used == {0, 1, 2}


async def test_listings_over_several_servers(open_at: Open, memcached_ring: list[MemcachedServer]):
    cache = open_at(*memcached_ring)
    keys = [f"k {number}" if number % 3 else f"k{number}" for number in range(1200)]
    await cache.set_many(dict.fromkeys(keys, 1), tags=["t", "u"], ttl=60)
    await cache.set("single", 1, tags="v")
    assert sorted([key async for key in cache.scan("k")]) == sorted(keys)
    assert await cache.get_keys_by_tag("v") == ["single"]
    assert len(await cache.get_keys_by_tag("t", exact=True)) == 1200
    assert await cache.list_tags() == ["t", "u", "v"]


async def test_a_server_that_does_not_list(open_at: Open, start_memcached: StartMemcached):
    cache = open_at(start_memcached(["-X"]))
    await cache.set("k", 1, tags="t")
    for call in (
        lambda: cache.get_keys_by_tag("t"),
        cache.list_tags,
        lambda: anext(cache.scan()),
    ):
        with pytest.raises(NotSupported, match="-X"):
            await call()
    assert await cache.get_tags_for_key("k") == ["t"]


async def test_a_server_without_cas_values(open_at: Open, start_memcached: StartMemcached):
    cache = open_at(start_memcached(["-C"]))
    with pytest.raises(BackendUnavailable, match="-C"):
        await cache.get("k")


async def test_a_sealed_entry_that_is_put_back_after_its_end_is_a_miss(
    memcached: MemcachedServer, namespace: str
):
    """Whoever writes to the server decides how long it keeps an item, and says so in the frame."""
    ring = KeyRing({1: bytes(range(32))})
    moment = [time.time()]
    with mock.patch(
        "armature_cache.stores.memcached.walltime", mock.Mock(side_effect=lambda: moment[0])
    ):
        config = CacheConfig.memcached(memcached.url, namespace=namespace, hints=False)
        cache = TaggedCache(MemcachedCache(config, codec=SealedCodec(encrypt=ring)))
        async with cache:
            await cache.set("k", "secret", ttl=60)
            place = value_at(cache, "k")
            taken = raw(memcached, place)
            moment[0] += 600
            memcached.command(b"ms %b %d F1 T61\r\n%b" % (place.name, len(taken), taken))
            assert await cache.get("k", GONE) == GONE
            assert cache.stats().undecodable == 1


def test_settings_of_another_store_are_refused():
    with pytest.raises(ConfigError, match=r"CacheConfig\.memcached"):
        MemcachedCache(CacheConfig.redis("redis://localhost"))
    with pytest.raises(ConfigError, match=r"CacheConfig\.redis"):
        RedisCache(CacheConfig.memcached("memcached://localhost"))
    with pytest.raises(ConfigError, match="CacheConfig"):
        MemcachedCache("memcached://localhost")  # type: ignore[arg-type]


async def test_no_secret_shows(tmp_path: Path):
    config = CacheConfig.memcached("memcached://me:s3cret@127.0.0.1:1,127.0.0.1:2")
    cache = MemcachedCache(config)
    with pytest.raises(BackendError) as caught:
        await cache.get("k")
    for text in (repr(config), repr(cache), str(caught.value), str(config), repr(config.address)):
        assert "s3cret" not in text
        assert "127.0.0.1" in text or "me" not in text
    await cache.aclose()


def test_a_frame_says_what_it_costs():
    """16 bytes of nonces for the root and for each tag, and 16 more."""
    empty = frame.build(frame.Frame((b"0" * 16,) * 3, "", 60, b""))
    assert len(empty) == 16 + 3 * 16
