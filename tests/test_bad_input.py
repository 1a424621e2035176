"""What a caller can get wrong: the documented error, with advice, and nothing half-done.

Bad keys among many, bad tags, lifetimes, loaders and marks are in the contract (tests/contract),
where every store meets them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import math
import socket
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pytest
import redis
import redis.asyncio
import redis.asyncio.retry
from redis.backoff import NoBackoff
from redis.retry import Retry

import armature_cache
import armature_cache.sync
from armature_cache import (
    AuthenticationFailed,
    BackendTimeout,
    BackendUnavailable,
    CacheConfig,
    CacheError,
    CacheKeyError,
    ConfigError,
    InMemoryCache,
    InvalidationError,
    InvalidTTL,
    NullCache,
    RedisCache,
    TaggedCache,
    TieredCache,
    TieredCacheConfig,
    UnsupportedValue,
    ValueTooLarge,
    open_cache,
)
from tests.contract.faces import Face, eventually

if TYPE_CHECKING:
    from armature_cache.testing import RedisServer
    from tests.conftest import StartServer

SECRET = "hunter2-Ünïcode"
QUOTED = "hunter2-%C3%9Cn%C3%AFcode"
HIDDEN = ("hunter2", "n%C3%AFcode", "nïcode")
URL = "redis://localhost:6379/0"

both_faces = pytest.mark.parametrize("module", [armature_cache, armature_cache.sync])


class Opened:
    """Opens stores of one face, and closes them after the test."""

    def __init__(self, module: Any) -> None:
        self.module = module
        self._stores: list[Face] = []

    def keep(self, store: Any) -> Face:
        self._stores.append(Face(store))
        return self._stores[-1]

    def redis(self, url: str, **settings: Any) -> Face:
        return self.keep(self.module.RedisCache(CacheConfig.redis(url, hints=False, **settings)))

    def tiered(self, url: str, **settings: Any) -> Face:
        module, config = self.module, CacheConfig.redis(url, hints=False, **settings)
        tiers = module.TieredCache(module.InMemoryCache(), module.RedisCache(config))
        return self.keep(module.TaggedCache(tiers))

    async def close(self) -> None:
        for store in self._stores:
            with contextlib.suppress(CacheError):  # where the test took the server away
                await store.close()


@pytest.fixture(params=["async", "sync"])
async def opened(request: pytest.FixtureRequest) -> AsyncIterator[Opened]:
    made = Opened(armature_cache if request.param == "async" else armature_cache.sync)
    yield made
    await made.close()


def hides_secrets(error: BaseException) -> bool:
    """Whether no part of the password is in an error, its causes and their traceback."""
    text = "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))
    return not any(part in text for part in HIDDEN)


# -- keys ------------------------------------------------------------------------------------

BAD_KEYS = {
    "empty": ("", "cannot be empty"),
    "NUL": ("a\0b", "cannot contain NUL"),
    "huge": ("k" * 4097, "at most 4096 bytes, this one has 4097.*hash"),
    "huge in UTF-8": ("é" * 2049, "at most 4096 bytes, this one has 4098"),
    "surrogate": ("\ud800", "encodable as UTF-8"),
    "int": (5, "a key is a str, not int"),
    "None": (None, "a key is a str, not NoneType"),
    "bytes": (b"k", "a key is a str, not bytes"),
    "list": (["k"], "a key is a str, not list"),
    "dict": ({}, "a key is a str, not dict"),
}


@pytest.fixture(params=["memory", "part", "redis", "tiered"])
def store(request: pytest.FixtureRequest, opened: Opened, namespace: str) -> Face:
    module = opened.module
    if request.param == "memory":
        return opened.keep(module.TaggedCache(module.InMemoryCache()))
    if request.param == "part":
        return opened.keep(module.TaggedCache(module.InMemoryCache()).namespace("part"))
    url = request.getfixturevalue("valkey").url
    if request.param == "tiered":
        return opened.tiered(url, namespace=namespace)
    plain = module.RedisCache(CacheConfig.redis(url, namespace=namespace, hints=False))
    return opened.keep(module.TaggedCache(plain))


@pytest.mark.parametrize(("key", "advice"), BAD_KEYS.values(), ids=BAD_KEYS)
async def test_a_bad_key_is_refused_by_every_method(store: Face, key: Any, advice: str):
    calls: tuple[Callable[[], Awaitable[object]], ...] = (
        lambda: store.get(key),
        lambda: store.get(key, type=int),
        lambda: store.get(key, consistency="strong"),
        lambda: store.set(key, 1),
        lambda: store.add(key, 1),
        lambda: store.delete(key),
        lambda: store.exists(key),
        lambda: store.ttl(key),
        lambda: store.expire(key, 60),
        lambda: store.increment(key),
        lambda: store.decrement(key),
        lambda: store.get_or_set(key, lambda: 1),
        lambda: store.get_or_set(key, lambda: 1, consistency="strong"),
        lambda: store.refresh(key, lambda: 1),
        lambda: store.set_with_tags(key, 1, "t"),
        lambda: store.get_tags_for_key(key),
    )
    for call in calls:
        with pytest.raises(CacheKeyError, match=advice) as caught:
            await call()
        assert isinstance(caught.value, ValueError)
    assert await store.scan() == []
    assert await store.list_tags() == []
    assert store.stats().loads == 0


# -- values ----------------------------------------------------------------------------------


class Opaque:
    def __init__(self) -> None:
        self.x = 1


def encoding(opened: Opened, url: str, tiers: str, **settings: Any) -> Face:
    return opened.redis(url, **settings) if tiers == "one tier" else opened.tiered(url, **settings)


@pytest.mark.parametrize("tiers", ["one tier", "two tiers"])
async def test_a_value_that_cannot_be_restored_changes_nothing(
    opened: Opened, server: RedisServer, namespace: str, tiers: str
):
    cache = encoding(opened, server.url, tiers, namespace=namespace)
    await cache.set("k", "old")

    def calls(value: Any) -> tuple[Callable[[], Awaitable[object]], ...]:
        return (
            lambda: cache.set("k", value),
            lambda: cache.set_many({"m": 1, "k": value}),
            lambda: cache.add("m", value),
            lambda: cache.get_or_set("m", lambda: value),
            lambda: cache.refresh("k", lambda: value),
            lambda: cache.get_or_set_many(["m", "n"], lambda keys: {"m": 1, "n": value}),
        )

    values: tuple[Any, ...] = (Opaque(), {"a": [Opaque()]}, lambda: 1, open, iter(()))
    for value in values:
        for call in calls(value):
            with pytest.raises(UnsupportedValue, match=r"value.* is an? ") as caught:
                await call()
            assert caught.value.value_type is not None
    assert await cache.get_many(["k", "m", "n"]) == {"k": "old"}
    assert await cache.get("k", consistency="strong") == "old"


@pytest.mark.parametrize("tiers", ["one tier", "two tiers"])
async def test_a_value_too_large_changes_nothing(
    opened: Opened, server: RedisServer, namespace: str, tiers: str
):
    cache = encoding(opened, server.url, tiers, namespace=namespace, max_value_bytes=1000)
    await cache.set("k", "old")
    big = b"x" * 1001
    calls: tuple[Callable[[], Awaitable[object]], ...] = (
        lambda: cache.set("k", big),
        lambda: cache.set_many({"m": 1, "k": big}),
        lambda: cache.add("m", big),
        lambda: cache.get_or_set("m", lambda: big),
        lambda: cache.refresh("k", lambda: big),
    )
    for call in calls:
        with pytest.raises(ValueTooLarge, match="max_value_bytes=1000") as caught:
            await call()
        assert caught.value.size > caught.value.limit == 1000
    assert await cache.get_many(["k", "m"]) == {"k": "old"}
    await cache.set("k", b"x" * 900)
    assert len(await cache.get("k")) == 900


async def test_a_lifetime_beyond_max_ttl(opened: Opened, valkey: RedisServer, namespace: str):
    cache = opened.redis(valkey.url, namespace=namespace, max_ttl=3600)
    for call in (cache.set("k", 1, ttl=3601), cache.expire("k", 3601)):
        with pytest.raises(InvalidTTL, match=r"3601 s exceeds.*3600 s.*raise max_ttl") as caught:
            await call
        assert caught.value.ttl == 3601
    await cache.set("k", 1, ttl=3600)
    await cache.set("k", 1, ttl=None)
    assert await cache.ttl("k") == math.inf


# -- settings --------------------------------------------------------------------------------

BAD_URLS: dict[str, tuple[Any, str]] = {
    "none": (None, "url is a string"),
    "empty": ("", "url is a string"),
    "number": (6379, "url is a string"),
    "no scheme": ("localhost:6379", "no known scheme; use redis://"),
    "other scheme": ("http://localhost", "no known scheme; use redis://"),
    "typo": ("reddis://localhost", "no known scheme; use redis://"),
    "port zero": ("redis://localhost:0", "port"),
    "port text": ("redis://localhost:abc", "port"),
    "port too high": ("redis://localhost:65536", "port"),
    "port negative": ("redis://localhost:-1", "port"),
    "db text": ("redis://localhost/first", "database"),
    "db negative": ("redis://localhost/-1", "database"),
    "db in option": ("redis://localhost?db=x", "database"),
    "two paths": ("redis://localhost/0/1", "database"),
    "bracket": ("redis://[::1", "url cannot be read"),
    "unknown option": ("redis://localhost?timeout=5", "unknown url option 'timeout'; known are"),
    "pool option": ("redis://localhost?max_connections=5", "arguments of CacheConfig.redis"),
    "no socket": ("unix://", "names a socket"),
    "a socket on a host": ("unix://host/run/redis.sock", "names a socket"),
}


@pytest.mark.parametrize(("url", "advice"), BAD_URLS.values(), ids=BAD_URLS)
def test_a_bad_url(url: Any, advice: str):
    with pytest.raises(ConfigError, match=advice) as caught:
        CacheConfig.redis(url)
    assert caught.value.field == "url"
    with pytest.raises(ConfigError) as caught:
        open_cache(url)
    assert caught.value.field == "url"


@pytest.mark.parametrize(
    "url",
    [
        f"http://me:{QUOTED}@localhost",
        f"redis://me:{QUOTED}@localhost:0",
        f"me:{QUOTED}@redis://localhost",
        f"unix://me:{QUOTED}/more@/run/redis.sock",
        f"redis://me:{QUOTED}@localhost:x",
        f"redis://me:{QUOTED}@localhost/x",
        f"redis://:{QUOTED}@localhost?bogus=1",
        f"redis://localhost?password={QUOTED}&bogus=1",
        f"redis://localhost/x?password={QUOTED}",
        f"nowhere://localhost?password=a@{QUOTED}",
        f"redis://:12/{QUOTED}@localhost",
        f"redis://u:12/{QUOTED}@localhost:6379/0",
        f"redis://u:12?{QUOTED}@localhost:6379/0",
        f"redis://u:p@1?{QUOTED}@localhost:6379/0",
        f"nowhere://u:12#{QUOTED}@localhost:6379/0",
        f"nowhere://u:a/{QUOTED}@localhost",
        f"nowhere://u:a?{QUOTED}@localhost",
        f"nowhere:me:{QUOTED}@localhost",
    ],
)
def test_a_bad_url_keeps_its_secret(url: str):
    for make in (CacheConfig.redis, open_cache):
        with pytest.raises(ConfigError) as caught:
            make(url)
        shown = f"{caught.value} {caught.value!r} {vars(caught.value)}"
        assert not any(part in shown for part in HIDDEN), shown


BAD_SETTINGS: list[tuple[str, Any, str]] = [
    ("namespace", "", "non-empty"),
    ("namespace", "a{b}", "no braces"),
    ("namespace", "a\0", "no NUL"),
    ("namespace", "x" * 257, "at most 256 bytes"),
    ("namespace", "\ud800", "namespace"),
    ("namespace", None, "non-empty str"),
    ("namespace", b"a", "non-empty str"),
    ("max_connections", 0, "at least 1"),
    ("max_connections", 1.5, "integer"),
    ("max_connections", True, "integer"),
    ("max_value_bytes", 0, "at least 1"),
    ("max_value_bytes", "1MB", "integer"),
    *(
        (field, value, "positive number of seconds")
        for field in (
            "connect_timeout", "operation_timeout", "max_ttl", "max_load_time", "staleness_bound",
        )
        for value in (0, -1, math.nan, math.inf, "5", None, True)
    ),
    ("staleness_bound", 0.0001, "between 0.001 and 3600"),
    ("staleness_bound", 3601, "between 0.001 and 3600"),
]  # fmt: skip


@pytest.mark.parametrize(("field", "value", "advice"), BAD_SETTINGS)
def test_a_bad_setting(field: str, value: Any, advice: str):
    with pytest.raises(ConfigError, match=advice) as caught:
        CacheConfig.redis(URL, **{field: value})
    assert caught.value.field == field
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("ttl", [0, -1, math.nan, math.inf, "60", True, 10**12])
def test_a_bad_default_ttl(ttl: Any):
    makes: tuple[Callable[[], object], ...] = (
        lambda: CacheConfig.redis(URL, default_ttl=ttl),
        lambda: InMemoryCache(default_ttl=ttl),
        lambda: armature_cache.sync.InMemoryCache(default_ttl=ttl),
        lambda: open_cache("memory://", default_ttl=ttl),
        lambda: open_cache(URL, default_ttl=ttl),
    )
    for make in makes:
        with pytest.raises(InvalidTTL, match="ttl") as caught:
            make()
        assert caught.value.ttl is ttl
    with pytest.raises(InvalidTTL, match="raise max_ttl"):
        CacheConfig.redis(URL, default_ttl=61, max_ttl=60)


@both_faces
@pytest.mark.parametrize("field", ["max_entries", "max_bytes"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "10", True])
def test_bad_bounds_of_memory(module: Any, field: str, value: Any):
    with pytest.raises(ConfigError, match="integer of at least 1") as caught:
        module.InMemoryCache(**{field: value})
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("field", "value", "advice"),
    [
        *(
            ("l1_ttl_fraction", value, "above 0 and at most 1")
            for value in (0, -0.1, 1.001, 2, math.nan, math.inf, "0.5", None, True)
        ),
        *(("staleness_bound", value, "seconds") for value in (0, -1, math.nan, "1", 4000, 1e-9)),
        *(("serve_stale_for", value, "seconds") for value in (0, -1, math.nan, math.inf, "1")),
        ("on_l2_down", "panic", "load.*serve_stale.*raise"),
        ("on_l2_down", None, "one of"),
    ],
)
def test_a_bad_setting_of_the_tiers(field: str, value: Any, advice: str):
    with pytest.raises(ConfigError, match=advice) as caught:
        TieredCacheConfig(**{field: value})
    assert caught.value.field == field


def test_both_tiers_off():
    with pytest.raises(ConfigError, match="use NullCache") as caught:
        TieredCacheConfig(enable_l1=False, enable_l2=False)
    assert caught.value.field == "enable_l2"


def test_settings_are_frozen():
    for settings in (TieredCacheConfig(), CacheConfig.redis(URL)):
        with pytest.raises(dataclasses.FrozenInstanceError):
            settings.staleness_bound = 1  # type: ignore[misc]


def test_settings_that_a_url_does_not_have():
    with pytest.raises(ConfigError, match="memory:// has no setting 'operation_timeout'") as caught:
        open_cache("memory://", operation_timeout=1)
    assert caught.value.field == "operation_timeout"
    with pytest.raises(ConfigError, match="tiers") as caught:
        open_cache("memory://", tiers=TieredCacheConfig())
    assert caught.value.field == "tiers"
    with pytest.raises(ConfigError, match=r"no setting 'timeout'.*operation_timeout") as caught:
        open_cache(URL, timeout=1)
    assert caught.value.field == "timeout"


# -- what goes into what ---------------------------------------------------------------------


def test_the_wrong_face_is_refused_with_the_cure():
    plain = armature_cache.sync
    config = CacheConfig.redis(URL)
    cases: list[tuple[Callable[[], object], str, str]] = [
        (lambda: TaggedCache(plain.InMemoryCache()), "store", "armature_cache.sync"),  # type: ignore[arg-type]
        (
            lambda: TieredCache(InMemoryCache(), plain.RedisCache(config)),  # type: ignore[arg-type]
            "l2",
            "armature_cache.sync.TieredCache",
        ),
        (
            lambda: TieredCache(plain.InMemoryCache(), RedisCache(config)),  # type: ignore[arg-type]
            "l1",
            "InMemoryCache",
        ),
        (lambda: plain.TaggedCache(InMemoryCache()), "store", r"store\.sync\(\)"),  # type: ignore[arg-type]
        (
            lambda: plain.TieredCache(InMemoryCache(), plain.RedisCache(config)),  # type: ignore[arg-type]
            "l1",
            r"store\.sync\(\)",
        ),
        (
            lambda: plain.TieredCache(plain.InMemoryCache(), RedisCache(config)),  # type: ignore[arg-type]
            "l2",
            r"store\.sync\(\)",
        ),
    ]
    for make, field, cure in cases:
        with pytest.raises(ConfigError, match=cure) as caught:
            make()
        assert caught.value.field == field


@both_faces
def test_what_is_no_store_is_refused(module: Any):
    for wrong in (None, 5, {}, "redis://localhost", object(), module.InMemoryCache):
        with pytest.raises(ConfigError) as caught:
            module.TaggedCache(wrong)
        assert caught.value.field == "store"
        with pytest.raises(ConfigError) as caught:
            module.TieredCache(module.InMemoryCache(), wrong)
        assert caught.value.field == "l2"
        with pytest.raises(ConfigError) as caught:
            module.TieredCache(wrong, module.InMemoryCache())
        assert caught.value.field == "l1"
        with pytest.raises(ConfigError, match="CacheConfig") as caught:
            module.RedisCache(wrong)
        assert caught.value.field == "config"
    with pytest.raises(ConfigError, match="TieredCacheConfig") as caught:
        module.TieredCache(module.InMemoryCache(), module.InMemoryCache(), {"enable_l1": False})
    assert caught.value.field == "config"


@both_faces
def test_l1_is_in_process(module: Any):
    shared = module.RedisCache(CacheConfig.redis(URL))
    for wrong in (
        shared,
        module.TaggedCache(shared),
        module.TieredCache(module.InMemoryCache(), shared),
        module.InMemoryCache().namespace("part"),
    ):
        with pytest.raises(ConfigError, match=r"l1 is an in-process store.*nest") as caught:
            module.TieredCache(wrong, module.RedisCache(CacheConfig.redis(URL)))
        assert caught.value.field == "l1"
    memory = module.InMemoryCache()
    for l1, l2 in ((memory, memory), (module.TaggedCache(memory), memory)):
        with pytest.raises(ConfigError, match="the same store") as caught:
            module.TieredCache(l1, l2)
        assert caught.value.field == "l1"
    module.TieredCache(module.NullCache(), module.InMemoryCache())


def test_one_l1_for_two_shared_stores_is_refused():
    l1 = InMemoryCache()
    TieredCache(l1, RedisCache(CacheConfig.redis(URL, namespace="a")))
    with pytest.raises(ConfigError, match="an InMemoryCache of its own") as caught:
        TieredCache(l1, RedisCache(CacheConfig.redis(URL, namespace="b")))
    assert caught.value.field == "l1"


def test_the_wrong_client_is_refused_with_the_cure():
    with pytest.raises(ConfigError, match=r"armature_cache\.sync\.RedisCache") as caught:
        RedisCache.from_client(redis.Redis())  # type: ignore[arg-type]
    assert caught.value.field == "client"
    with pytest.raises(ConfigError, match=r"sync\(\)") as caught:
        armature_cache.sync.RedisCache.from_client(redis.asyncio.Redis())  # type: ignore[arg-type]
    assert caught.value.field == "client"
    for module in (armature_cache, armature_cache.sync):
        for wrong in (None, 5, URL, redis.Redis):
            with pytest.raises(ConfigError, match="from_client takes") as caught:
                module.RedisCache.from_client(wrong)
            assert caught.value.field == "client"


async def test_a_coroutine_as_the_loader_of_a_sync_store():
    cache = armature_cache.sync.InMemoryCache()

    async def load() -> int:
        return 1

    calls: tuple[Callable[[], object], ...] = (
        lambda: cache.get_or_set("k", load),
        lambda: cache.refresh("k", load),
        lambda: cache.get_or_set_many(["k"], lambda keys: load()),  # type: ignore[arg-type,return-value]
    )
    for call in calls:
        with pytest.raises(ConfigError, match=r"coroutine function.*sync store") as caught:
            call()
        assert caught.value.field == "loader"
    assert cache.exists("k") is False


async def test_the_null_cache_checks_what_it_is_given():
    cache = TaggedCache(NullCache())
    with pytest.raises(CacheKeyError):
        await cache.get("")
    with pytest.raises(InvalidTTL):
        await cache.set("k", 1, ttl=0)


# -- servers ---------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


ATTEMPTS: dict[str, Callable[[Face], Awaitable[object]]] = {
    "ping": lambda cache: cache.ping(),
    "get": lambda cache: cache.get("k"),
    "set": lambda cache: cache.set("k", 1),
    "add": lambda cache: cache.add("k", 1),
    "increment": lambda cache: cache.increment("k"),
    "get_many": lambda cache: cache.get_many(["k"]),
    "exists": lambda cache: cache.exists("k"),
    "clear": lambda cache: cache.clear(),
    "scan": lambda cache: cache.scan(),
}


async def attempts(cache: Face, kind: type[CacheError], advice: str) -> None:
    """Every kind of call fails with this error; a delete says that it stays queued."""
    for name, call in ATTEMPTS.items():
        with pytest.raises(kind, match=advice) as caught:
            await call(cache)
        assert caught.value.backend, name  # type: ignore[attr-defined]
        assert hides_secrets(caught.value), name
    with pytest.raises(InvalidationError, match="not acknowledged and stays queued") as gone:
        await cache.delete("k")
    assert gone.value.keys == ("k",)
    assert isinstance(gone.value.__cause__, kind)
    assert hides_secrets(gone.value)


async def test_an_unreachable_server_is_told_at_once(opened: Opened, namespace: str):
    began = time.monotonic()
    cache = opened.redis(f"redis://me:{QUOTED}@127.0.0.1:{free_port()}/0", namespace=namespace)
    await attempts(cache, BackendUnavailable, "cannot be reached; check that the server runs")
    assert time.monotonic() - began < 2
    assert await cache.get_or_set("k", lambda: "loaded") == "loaded"
    assert await cache.get_or_set_many(["k"], lambda keys: {"k": 1}) == {"k": 1}
    assert await cache.refresh("k", lambda: "loaded") == "loaded"


async def test_a_wrong_password_is_told_as_such(
    opened: Opened, start_server: StartServer, namespace: str
):
    server = start_server({"requirepass": "right"})
    for user in (f":{QUOTED}@", f"nobody:{QUOTED}@", ""):
        cache = opened.redis(f"redis://{user}127.0.0.1:{server.port}/0", namespace=namespace)
        await attempts(cache, AuthenticationFailed, "refused the user")
        assert await cache.get_or_set("k", lambda: "loaded") == "loaded"


async def test_a_user_without_rights_is_told_as_such(
    opened: Opened, start_server: StartServer, namespace: str
):
    server = start_server()
    with redis.Redis.from_url(server.url) as root:
        root.acl_setuser(
            "reader", enabled=True, passwords=[f"+{SECRET}"], categories=["-@all"], keys=["*"],
            commands=["+info", "+ping", "+select"],
        )  # fmt: skip
    cache = opened.redis(f"redis://reader:{QUOTED}@127.0.0.1:{server.port}/0", namespace=namespace)
    await cache.ping()
    for name in ("get", "set", "increment", "clear", "scan"):
        with pytest.raises(AuthenticationFailed, match="right") as caught:
            await ATTEMPTS[name](cache)
        assert hides_secrets(caught.value)


async def test_a_database_that_does_not_exist(opened: Opened, valkey: RedisServer, namespace: str):
    cache = opened.redis(f"redis://127.0.0.1:{valkey.port}/9999", namespace=namespace)
    with pytest.raises(BackendUnavailable, match="DB index"):
        await cache.ping()


@pytest.mark.faults
async def test_a_server_that_does_not_answer_is_not_waited_for(
    opened: Opened, start_server: StartServer, namespace: str
):
    server = start_server()
    limit = 0.2
    settings = {"namespace": namespace, "operation_timeout": limit, "connect_timeout": limit}
    warm, cold = opened.redis(server.url, **settings), opened.redis(server.url, **settings)
    other = opened.redis(server.url, namespace=namespace)
    await other.set("k", "old", ttl=600)
    await eventually(lambda: answered(warm), "an answer")
    server.pause()
    try:
        for cache in (warm, cold):
            for name in ("get", "set", "increment", "clear"):
                began = time.monotonic()
                with pytest.raises(BackendTimeout, match="did not answer in time") as caught:
                    await ATTEMPTS[name](cache)
                assert isinstance(caught.value, TimeoutError)
                assert time.monotonic() - began < 2 * limit + 1, name
    finally:
        server.resume()
    assert await other.get("k") in {"old", None}
    await other.set("k", "new")
    await eventually(lambda: answered(cold), "an answer")
    assert await other.get("k") == "new"


async def answered(cache: Face) -> bool:
    try:
        await cache.ping()
    except BackendTimeout:
        return False
    return True


@pytest.mark.faults
async def test_tiers_load_while_the_server_does_not_answer(
    opened: Opened, start_server: StartServer, namespace: str
):
    server = start_server()
    cache = opened.tiered(
        server.url, namespace=namespace, operation_timeout=0.2, connect_timeout=0.2
    )
    other = opened.tiered(server.url, namespace=namespace)
    await other.set_with_tags("k", "old", "t")
    await eventually(lambda: answered(cache), "an answer")
    server.pause()
    try:
        began = time.monotonic()
        assert await cache.get_or_set("l", lambda: "loaded", tags="t") == "loaded"
        assert await cache.get("absent") is None
        with pytest.raises(InvalidationError) as caught:
            await cache.invalidate_tag("t")
        assert caught.value.tags == ("t",)
        assert await cache.get("k") is None
        assert time.monotonic() - began < 5
    finally:
        server.resume()
    assert await other.get("k", consistency="strong") is None


async def test_secrets_are_shown_nowhere(
    opened: Opened, valkey: RedisServer, namespace: str, caplog: pytest.LogCaptureFixture
):
    url = f"redis://me:{QUOTED}@127.0.0.1:{free_port()}/0"
    with caplog.at_level(logging.DEBUG):
        config = CacheConfig.redis(url, namespace=namespace)
        module = opened.module
        plain = opened.redis(url, namespace=namespace)
        cache = opened.tiered(url, namespace=namespace)
        part = opened.keep(cache.store.namespace("part"))
        assert await cache.get("k") is None
        assert await cache.get_or_set("k", lambda: 1) == 1
        assert await part.get_or_set_many(["k"], lambda keys: {"k": 1}) == {"k": 1}
        with pytest.raises(InvalidationError) as caught:
            await cache.invalidate_tag("t")
    shown = [
        repr(config), str(config), repr(config.address), repr(plain), repr(cache), repr(part),
        repr(cache.stats()), repr(cache.mark()), repr(module.CacheStore), str(caught.value),
        *(f"{record.getMessage()} {record.args!r} {record.exc_text}" for record in caplog.records),
        caplog.text,
    ]  # fmt: skip
    for text in shown:
        assert not any(part in text for part in HIDDEN), text
    assert "me" not in repr(config).partition("@")[0].partition("://")[2]
    assert caplog.records
    assert hides_secrets(caught.value)


async def test_a_client_keeps_its_secrets(opened: Opened, namespace: str):
    kind: Any = redis.asyncio.Redis if opened.module is armature_cache else redis.Redis
    retry: Any = redis.asyncio.retry.Retry if opened.module is armature_cache else Retry
    client = kind(
        host="127.0.0.1", port=free_port(), username="me", password=SECRET,
        retry=retry(NoBackoff(), 0),
    )  # fmt: skip
    config = CacheConfig.redis(URL, namespace=namespace, hints=False)
    cache = opened.keep(opened.module.RedisCache.from_client(client, config=config))
    assert not any(part in repr(cache) for part in HIDDEN)
    with pytest.raises(BackendUnavailable, match="cannot be reached") as caught:
        await cache.set("k", 1)
    assert hides_secrets(caught.value)
    closing = client.aclose() if opened.module is armature_cache else client.close()
    if closing is not None:
        await closing
