"""Reads from Memcached and writes to it, beside its clients and aiocache."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from armature_cache import TaggedCache, TieredCacheConfig, open_cache
from armature_cache.testing import MemcachedServer
from benchmarks.bench import TTL, Bench, values
from benchmarks.harness import OURS, Case, Result, row

_FEW = 200
_ITEMS = list(values().items())[:_FEW]
_REMARK = (
    "Ours reads the entry and judges it by the nonces of its tags, checks and decodes it. The "
    "peers have no tags, and nothing keeps a late value from replacing a newer one."
)


@contextlib.asynccontextmanager
async def _filled(server: MemcachedServer) -> AsyncIterator[TaggedCache]:
    """`TaggedCache(TieredCache(InMemoryCache, MemcachedCache))` without L1, holding the items."""
    tiers = TieredCacheConfig(enable_l1=False)
    async with open_cache(server.url, namespace="bench", default_ttl=TTL, tiers=tiers) as store:
        for key, value in _ITEMS:
            await store.set(key, value, tags=("users", key), as_of=None)
        yield store


def _reads(get: Any) -> Case:
    async def run() -> None:
        for key, _ in _ITEMS:
            assert await get(key)

    return run


def _plain_reads(get: Any) -> Case:
    def run() -> None:
        for key, _ in _ITEMS:
            assert get(key)

    return run


@row("memcached-get")
async def memcached_get(bench: Bench) -> Result:
    with MemcachedServer() as server:
        async with _filled(server) as store, contextlib.AsyncExitStack() as open_peers:
            cases: dict[str, Case] = {OURS: _reads(store.get)}
            if bench.has("aiocache") and bench.has("aiomcache"):
                cache = await _aiocache(server)
                open_peers.push_async_callback(cache.close)
                for key, value in _ITEMS:
                    await cache.set(key, value, ttl=TTL)
                cases["aiocache"] = _reads(cache.get)
            figures = await bench.compare(cases, _FEW, seconds=0.3, rounds=7)
    title = "Memcached: L2 hit, one task"
    return Result("memcached-get", title, "ns", figures, (), _REMARK, by="median")


@row("memcached-get-sync")
async def memcached_get_sync(bench: Bench) -> Result:
    with MemcachedServer() as server:
        async with _filled(server) as store:
            remote = store.sync()
            cases: dict[str, Case] = {OURS: _plain_reads(remote.get)}
            if bench.has("pymemcache"):
                from pymemcache.client.base import Client

                client = Client((server.host, server.port))
                for key, value in _ITEMS:
                    client.set(key, value, expire=TTL)
                cases["pymemcache"] = _plain_reads(client.get)
            figures = await bench.compare(cases, _FEW, seconds=0.3, rounds=7)
            remote.close()
    title = "Memcached: L2 hit, one thread, sync face"
    return Result("memcached-get-sync", title, "ns", figures, (), _REMARK, by="median")


@row("memcached-set")
async def memcached_set(bench: Bench) -> Result:
    with MemcachedServer() as server:
        async with _filled(server) as store, contextlib.AsyncExitStack() as open_peers:

            async def ours() -> None:
                for key, value in _ITEMS:
                    await store.set(key, value, tags=("users", key), as_of=None)

            cases: dict[str, Case] = {OURS: ours}
            if bench.has("aiocache") and bench.has("aiomcache"):
                cache = await _aiocache(server)
                open_peers.push_async_callback(cache.close)

                async def theirs() -> None:
                    for key, value in _ITEMS:
                        await cache.set(key, value, ttl=TTL)

                cases["aiocache, no tags"] = theirs
            figures = await bench.compare(cases, _FEW, seconds=0.3, rounds=7)
    return Result(
        "memcached-set",
        "Memcached: tagged `set`, two tags",
        "ns",
        figures,
        (),
        "Ours changes `g` before and after, and reads the nonces of the tags, in one round trip.",
        by="median",
    )


async def _aiocache(server: MemcachedServer) -> Any:
    from aiocache import MemcachedCache
    from aiocache.serializers import StringSerializer

    return MemcachedCache(
        endpoint=server.host, port=server.port, serializer=StringSerializer(), namespace="peer"
    )
