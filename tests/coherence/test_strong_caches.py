"""A cache that is strong by its settings: no call has to say so."""

from __future__ import annotations

from typing import Any

import pytest

from armature_cache import ConfigError, TieredCacheConfig, cache, open_cache
from armature_cache import sync as plain
from armature_cache.config import CacheConfig
from tests.contract.faces import Face

HOUR = 3600
SETTINGS: dict[str, dict[str, Any]] = {
    "open_cache": {"consistency": "strong"},
    "tiers": {"tiers": TieredCacheConfig(staleness_bound=HOUR, consistency="strong")},
    "tiers without L1": {"tiers": TieredCacheConfig(enable_l1=False, consistency="strong")},
}


@pytest.fixture(params=["async", "sync"])
def face(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def _open(url: str, namespace: str, face: str, **settings: Any) -> Face:
    settings = {"staleness_bound": HOUR, "hints": False, **settings}
    store = open_cache(url, namespace=namespace, **settings)
    return Face(store if face == "async" else store.sync())


def _elsewhere(url: str) -> str:
    """The same server under another name: its cache knows of the first only through it."""
    return url.replace("127.0.0.1", "localhost")


@pytest.mark.parametrize("how", SETTINGS)
async def test_every_read_is_strong(server_url: str, namespace: str, face: str, how: str) -> None:
    strong = _open(server_url, namespace, face, **SETTINGS[how])
    part = strong.namespace("part")
    writer = _open(_elsewhere(server_url), namespace, "async")

    async def load() -> str:
        return "loaded"

    reads = {
        "get": lambda cache: cache.get("k"),
        "get_many": lambda cache: cache.get_many(["k"]),
        "exists": lambda cache: cache.exists("k"),
        "exists_many": lambda cache: cache.exists_many(["k"]),
        "ttl": lambda cache: cache.ttl("k"),
        "ttl_many": lambda cache: cache.ttl_many(["k"]),
        "get_or_set": lambda cache: cache.get_or_set("k", cache.loader(load)),
    }
    absent = {
        "get_many": {}, "exists": False, "exists_many": {"k": False}, "ttl_many": {"k": None},
        "get_or_set": "loaded",
    }  # fmt: skip
    for cache_, theirs in ((strong, writer), (part, writer.namespace("part"))):
        for name, read in reads.items():
            await cache_.set("k", "old", tags=["t"], ttl=60, as_of=None)
            assert await cache_.get("k") == "old"
            await theirs.invalidate_tag("t")
            assert await read(cache_) == absent.get(name), name
    await strong.close()
    await writer.close()


async def test_a_decorated_function_follows_its_store(
    server_url: str, namespace: str, face: str
) -> None:
    strong = _open(server_url, namespace, face, consistency="strong")
    writer = _open(_elsewhere(server_url), namespace, "async")
    runs: list[int] = []

    if face == "async":

        @cache(using=strong.store, key="number", tags=["t"])
        async def number() -> int:
            runs.append(1)
            return len(runs)
    else:

        @cache(using=strong.store, key="number", tags=["t"])
        def number() -> int:
            runs.append(1)
            return len(runs)

    async def called() -> int:
        outcome: Any = number()
        return int(await outcome) if face == "async" else int(outcome)

    assert [await called(), await called()] == [1, 1]
    await writer.invalidate_tag("t")
    assert await called() == 2
    await strong.close()
    await writer.close()


async def test_a_call_may_ask_for_less(server_url: str, namespace: str, face: str) -> None:
    strong = _open(server_url, namespace, face, consistency="strong")
    writer = _open(_elsewhere(server_url), namespace, "async")
    await strong.set("k", "old", ttl=60)
    assert await strong.get("k") == "old"
    await writer.delete("k")
    syncs = strong.stats().syncs
    assert await strong.get("k", consistency="bounded") == "old"
    assert strong.stats().syncs == syncs
    assert await strong.get("k") is None
    assert strong.stats().syncs > syncs
    await strong.close()
    await writer.close()


def test_a_cache_without_a_shared_tier_reads_without_a_detour() -> None:
    tiers = TieredCacheConfig(enable_l2=False, consistency="strong")
    with plain.TieredCache(plain.InMemoryCache(), plain.InMemoryCache(), tiers) as cache_:
        cache_.set("k", 1)
        assert cache_.get("k") == 1
        assert cache_._peek("k") is not None


@pytest.mark.parametrize("word", ["", "Strong", "eventual", None, True])
def test_other_words_are_refused(word: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        TieredCacheConfig(consistency=word)
    assert caught.value.field == "consistency"
    with pytest.raises(ConfigError) as caught:
        CacheConfig.redis("redis://localhost", consistency=word)
    assert caught.value.field == "consistency"
