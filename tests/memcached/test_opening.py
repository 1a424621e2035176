"""From a URL to a cache on Memcached: addresses, settings, and what is wrong with them."""

from __future__ import annotations

from typing import Any

import pytest

from armature_cache import (
    CacheConfig,
    ConfigError,
    InMemoryCache,
    MemcachedCache,
    TaggedCache,
    TieredCache,
    open_cache,
    open_cache_from_env,
    open_cache_from_mapping,
    sync,
)
from armature_cache.testing import MemcachedServer
from tests.conftest import joined

SECRET = "s3cr#t"


def parts(cache: TaggedCache) -> tuple[InMemoryCache, MemcachedCache]:
    tiers = cache.store
    assert isinstance(tiers, TieredCache)
    assert isinstance(tiers.l1, InMemoryCache)
    assert isinstance(tiers.l2, MemcachedCache)
    return tiers.l1, tiers.l2


@pytest.mark.parametrize(
    ("url", "hosts", "tls"),
    [
        ("memcached://h1,h2:3", [("h1", 11211), ("h2", 3)], False),
        ("memcached://h2:3,h1", [("h1", 11211), ("h2", 3)], False),
        ("memcached://", [("localhost", 11211)], False),
        ("memcached://[::1]:5", [("::1", 5)], False),
        ("memcacheds://h1?ssl_cert_reqs=none", [("h1", 11211)], True),
        ("memcached:///run/memcached.sock", [("/run/memcached.sock", 0)], False),
        (["memcached://h1", "memcached://h2"], [("h1", 11211), ("h2", 11211)], False),
    ],
)
def test_addresses(url: Any, hosts: list[tuple[str, int]], tls: bool):
    address = CacheConfig.memcached(url).address
    assert (list(address.hosts), address.tls, address.topology) == (hosts, tls, "ring")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("", "memcached://"),
        ([], "list"),
        (7, "memcached://"),
        ("redis://h", "memcached://"),
        ("memcached://h1,h1:11211", "twice"),
        ("memcached://h:0", "port"),
        ("memcached://h:99999", "port"),
        ("memcached://h/3", "socket"),
        ("memcacheds:///run/x", "TLS"),
        ("memcached://u@h", "user and a password"),
        ("memcached://h?ssl_cert_reqs=none", "TLS"),
        ("memcached://h?db=1", "unknown url option"),
        ("memcached://h?ssl_ca_cert=x", "did you mean 'ssl_ca_certs'"),
        (["memcached://h1", "memcacheds://h2"], "same scheme"),
        ([f"memcached://u:{SECRET}@h1", "memcached://h2"], "same scheme"),
        (f"memcached://u:{SECRET}@h/3", "socket"),
        (f"memcached://u:{SECRET}/x@h", "percent-encode"),
    ],
)
def test_a_wrong_address_is_told_without_secrets(url: Any, told: str):
    with pytest.raises(ConfigError, match=told) as caught:
        CacheConfig.memcached(url)
    assert caught.value.field == "url"
    assert SECRET not in str(caught.value)


def test_a_url_gives_the_recommended_stack():
    cache = open_cache("memcached://h1,h2", namespace="shop", default_ttl=60, max_entries=7,
                       staleness_bound=0.5, hints=False)  # fmt: skip
    near, far = parts(cache)
    assert (near.bound, far.config.namespace, far.config.hints) == (0.5, "shop", False)
    assert far.config.address.servers == ("h1:11211", "h2:11211")
    with pytest.raises(ConfigError, match=r"did you mean 'hints'.*CacheConfig\.memcached"):
        open_cache("memcached://h1", hint=False)
    with pytest.raises(ConfigError, match="did you mean 'memcached'"):
        open_cache("memcache://h1")


def test_settings_from_elsewhere():
    described = {"url": "memcached://h1", "username": "me", "password": SECRET, "max_ttl": "1h"}
    _, far = parts(open_cache_from_mapping(described))
    assert (far.config.address.username, far.config.address.password) == ("me", SECRET)
    assert far.config.max_ttl == 3600
    assert SECRET not in repr(far) + repr(far.config)
    _, far = parts(open_cache_from_env({"ARMATURE_CACHE_URL": "memcached://h2,h1"}))
    assert far.config.address.servers == ("h1:11211", "h2:11211")


async def test_an_opened_cache_works(memcached_ring: list[MemcachedServer], namespace: str):
    async with open_cache(joined(memcached_ring), namespace=namespace, default_ttl=60) as cache:
        await cache.ping()
        await cache.set_many({f"k{number}": number for number in range(20)}, tags="t")
        with cache.sync() as blocking:
            assert isinstance(blocking, sync.TaggedCache)
            assert len(blocking.get_many([f"k{number}" for number in range(20)])) == 20
            blocking.invalidate_tag("t")
        assert await cache.get("k1", consistency="strong") is None
        assert await cache.advise() == ()


def test_the_sync_face_by_itself(memcached: MemcachedServer, namespace: str):
    config = CacheConfig.memcached(memcached.url, namespace=namespace)
    with sync.TaggedCache(sync.MemcachedCache(config)) as cache:
        cache.set("k", {1, 2}, ttl=60, tags="t")
        assert cache.get("k") == {1, 2}
        assert cache.get_keys_by_tag("t") == ["k"]
