"""Settings from a mapping, a file and the environment; named caches; profiles of functions."""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import json
import os
import subprocess
import sys
import threading
import tomllib
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from armature_cache import (
    CacheConfig,
    CacheRegistry,
    ClosedError,
    ConfigError,
    FunctionStats,
    InMemoryCache,
    InvalidationError,
    JsonCodec,
    TieredCacheConfig,
    open_cache,
    open_cache_from_env,
    open_cache_from_mapping,
    request_scope,
)
from armature_cache.policy import LoadPolicy
from armature_cache.settings import OF_CACHES, OF_PROFILES

SECRET = "s3cr#t"
URL = "redis://localhost:1/0"


def parts(cache: Any) -> tuple[CacheConfig, TieredCacheConfig, Any]:
    tiered = cache.store
    return tiered.l2.config, tiered.config, tiered.l1


# -- values ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (300, 300), (0.25, 0.25), ("300", 300), (" 1.5 ", 1.5), ("100ms", 0.1), ("90s", 90),
        ("5m", 300), ("5min", 300), ("1h30m", 5400), ("1h 30m", 5400), ("1 D", 86_400),
        ("1w2d3h4m5s6ms", 788_645.006), ("1.5h", 5400), (timedelta(minutes=2), 120),
        ("1e2", 100), ("none", None), ("Never", None), (None, None),
    ],
)  # fmt: skip
def test_a_duration(given: object, seconds: float | None):
    cache = open_cache_from_mapping({"url": URL, "default_ttl": given})
    assert cache.default_ttl == seconds
    if seconds is not None:
        config, _, _ = parts(open_cache_from_mapping({"url": URL, "operation_timeout": given}))
        assert config.operation_timeout == seconds


@pytest.mark.parametrize(
    ("given", "size"),
    [
        (5, 5), ("5", 5), ("1_000", 1000), ("64MiB", 64 * 1024**2), ("10 MB", 10**7),
        ("1kb", 1000), ("2KiB", 2048), ("1GiB", 1024**3), ("7b", 7),
    ],
)  # fmt: skip
def test_a_size(given: object, size: int):
    config, _, _ = parts(open_cache_from_mapping({"url": URL, "max_value_bytes": given}))
    assert config.max_value_bytes == size


@pytest.mark.parametrize(
    ("given", "flag"),
    [(True, True), ("true", True), ("ON", True), ("1", True), (1, True), ("yes", True),
     (False, False), ("False", False), ("off", False), ("0", False), (0, False), (" no ", False)],
)  # fmt: skip
def test_a_flag(given: object, flag: bool):
    config, tiers, _ = parts(
        open_cache_from_mapping({"url": URL, "hints": given, "write_through": given})
    )
    assert config.hints is flag
    assert tiers.write_through is flag


WRONG: list[tuple[str, object, str]] = [
    ("default_ttl", "1 hour", "default_ttl is a duration such as .*, not '1 hour'"),
    ("default_ttl", "", "default_ttl is a duration"),
    ("default_ttl", [1], "not list"),
    ("default_ttl", -1, "default_ttl: ttl must be a positive number"),
    ("default_ttl", "1y", "a duration"),
    ("operation_timeout", "none", "operation_timeout is a duration such as .*, not 'none'"),
    ("operation_timeout", True, "a duration such as .*, not True"),
    ("operation_timeout", "nan", "positive number of seconds"),
    ("staleness_bound", "2h", "between 0.001 and 3600"),
    ("max_entries", "many", "max_entries is an integer, not 'many'"),
    ("max_entries", 1.5, "an integer, not 1.5"),
    ("max_entries", 0, "^max_entries is an integer of at least 1, not 0"),
    ("max_bytes", "64M", "a size such as .*'64MiB'.*, not '64M'"),
    ("max_value_bytes", "-1", "at least 1"),
    ("hints", "maybe", "hints is true or false, not 'maybe'"),
    ("hints", 2, "true or false, not 2"),
    ("hints", None, "true or false"),
    ("isolate", "yess", "true or false"),
    ("l1_ttl_fraction", "a quarter", "a number, not 'a quarter'"),
    ("l1_ttl_fraction", 2, "above 0 and at most 1"),
    ("on_l2_down", "laod", "on_l2_down is one of"),
    ("consistency", "weak", "bounded"),
    ("codec", "pickle", "'msgpack', 'json', or a codec, not 'pickle'"),
    ("namespace", "a{b}", "no braces"),
    ("namespace", 7, "namespace is a text, not 7"),
    ("url", 7, "url is a text, not 7"),
]


@pytest.mark.parametrize(("name", "value", "told"), WRONG)
def test_a_wrong_value_names_the_setting_the_value_and_the_fix(name: str, value: object, told: str):
    with pytest.raises(ConfigError, match=told) as caught:
        open_cache_from_mapping({"url": URL, name: value})
    assert caught.value.field == name
    assert str(caught.value).startswith(name)
    if isinstance(value, str) and value:
        with pytest.raises(ConfigError, match=told.removeprefix("^").removeprefix(name)) as caught:
            open_cache_from_env(
                {"ARMATURE_CACHE_URL": URL, f"ARMATURE_CACHE_{name.upper()}": value}
            )
        assert str(caught.value).startswith(f"ARMATURE_CACHE_{name.upper()}")


@given(st.text(max_size=12) | st.integers() | st.floats() | st.booleans() | st.none())
def test_any_value_is_read_or_refused(value: object):
    for name in OF_CACHES:
        if name not in {"url", "codec"}:
            fields = {name}
            try:
                open_cache_from_mapping({"url": "redis://localhost:1/0", name: value})
            except ConfigError as error:
                fields.add(str(error.field))
            assert fields == {name}


# -- names -------------------------------------------------------------------------------------


def test_every_setting_there_is_can_be_given():
    """A new field of a configuration has to be read from text, too."""
    kinds = (CacheConfig.redis, CacheConfig.sqlite)
    shared = {name for make in kinds for name in inspect.signature(make).parameters} - {"path"}
    tiers = {field.name for field in dataclasses.fields(TieredCacheConfig)}
    near = set(inspect.signature(open_cache).parameters) - {"tiers", "settings"}
    assert set(OF_CACHES) == shared | tiers | near | {"username", "password"}
    policy = {field.name for field in dataclasses.fields(LoadPolicy)}
    options = {"cache", "ttl", "tags", "ignore", "cache_none"}
    assert set(OF_PROFILES) == options | policy - {"stale_on", "fallback"}


def test_settings_reach_what_they_are_for():
    mapping = {
        "URL": URL, "namespace": "shop", "default-ttl": "1h", "MAX_ENTRIES": "7",
        "connect_timeout": "1s", "max_connections": 3, "staleness_bound": "50ms", "hints": "off",
        "on_l2_down": "serve_stale", "serve_stale_for": "2m", "codec": "json",
    }  # fmt: skip
    cache = open_cache_from_mapping(mapping)
    config, tiers, _ = parts(cache)
    assert (config.namespace, config.default_ttl, config.hints) == ("shop", 3600, False)
    assert (config.connect_timeout, config.max_connections) == (1.0, 3)
    assert config.staleness_bound == tiers.staleness_bound == 0.05
    assert (tiers.on_l2_down, tiers.serve_stale_for) == ("serve_stale", 120)
    inside: Any = cache.store
    assert isinstance(inside.l2.codec, JsonCodec)
    assert (
        parts(open_cache_from_mapping({"url": URL, "staleness_bound": 1}))[1].staleness_bound == 1
    )
    strong = parts(open_cache_from_mapping({"url": URL, "consistency": "strong"}))
    assert strong[0].consistency == "strong"


def test_a_name_that_is_none_is_refused_with_the_one_that_was_meant():
    with pytest.raises(ConfigError, match="did you mean 'namespace'") as caught:
        open_cache_from_mapping({"url": URL, "namespcae": "shop"})
    assert caught.value.field == "namespcae"
    with pytest.raises(ConfigError, match="default_ttl is given twice"):
        open_cache_from_mapping({"url": URL, "default_ttl": 1, "DEFAULT-TTL": 2})
    with pytest.raises(ConfigError, match="url is missing: redis://"):
        open_cache_from_mapping({"namespace": "shop"})
    wrong: Any = [1]
    with pytest.raises(ConfigError, match="a mapping of settings, not list"):
        open_cache_from_mapping(wrong)
    with pytest.raises(ConfigError, match="memory:// has no setting 'operation_timeout'"):
        open_cache_from_mapping({"url": "memory://", "operation_timeout": 1})
    with pytest.raises(ConfigError, match="memory:// has no setting 'tiers'"):
        open_cache_from_mapping({"url": "memory://", "enable_l1": True})
    with pytest.raises(ConfigError, match="did you mean 'redis'"):
        open_cache_from_mapping({"url": "reddis://localhost"})
    with pytest.raises(ConfigError, match="did you mean 'operation_timeout'"):
        open_cache(URL, operation_timout=1)
    with pytest.raises(ConfigError, match="did you mean 'client_name'"):
        open_cache(f"{URL}?clientname=x")


@pytest.mark.parametrize("field", ["hints", "enable_l1", "write_through"])
def test_flags_are_checked_in_code_too(field: str):
    wrong: Any = "no"

    def configure() -> None:
        if field == "hints":
            CacheConfig.redis(URL, hints=wrong)
        else:
            TieredCacheConfig(**{field: wrong})

    with pytest.raises(ConfigError, match=f"{field} is True or False, not 'no'"):
        configure()


# -- secrets -----------------------------------------------------------------------------------


def test_a_password_may_be_given_apart_from_the_url():
    cache = open_cache_from_mapping({"url": URL, "username": "me", "password": f"{SECRET}@/?&%"})
    config, _, _ = parts(cache)
    assert (config.address.username, config.address.password) == ("me", f"{SECRET}@/?&%")
    assert config.address.hosts == (("localhost", 1),)
    both = open_cache_from_mapping({"url": "redis://me@localhost?db=3", "password": SECRET})
    config, _, _ = parts(both)
    assert (config.address.username, config.address.password) == ("me", SECRET)
    assert config.address.db == 3
    with pytest.raises(ConfigError, match="password is a text") as caught:
        open_cache_from_mapping({"url": URL, "password": 987_654})
    assert "987" not in str(caught.value)
    for shown in (cache, both, config, config.address):
        assert SECRET not in f"{shown!r} {shown}"


@pytest.mark.parametrize(
    "mapping",
    [
        {"url": f"redis://me:{SECRET}@localhost", "password": "other"},
        {"url": "redis://me@localhost", "username": "you", "password": SECRET},
        {"url": URL, "password": [SECRET]},
        {"url": f"redis://:{SECRET}@localhost:x"},
        {"url": f"redis://:{SECRET}@localhost", "default_ttl": "x"},
        {"url": f"nowhere://:{SECRET}@localhost"},
        {"url": URL, "namespace": "x", "max_entries": f"redis://:{SECRET}@localhost"},
        {"url": "memory://", "password": SECRET},
        {"url": f"reddis://a:{SECRET}@x", "password": SECRET},
    ],
)
def test_no_error_shows_a_secret(mapping: dict[str, Any]):
    variables = {
        f"ARMATURE_CACHE_{name.upper()}": value
        for name, value in mapping.items()
        if isinstance(value, str)
    }
    opens: list[Any] = [lambda: open_cache_from_mapping(mapping)]
    opens.append(lambda: CacheRegistry.from_mapping({"one": mapping}))
    if len(variables) == len(mapping):
        opens.append(lambda: open_cache_from_env(variables))
    for opening in opens:
        with pytest.raises(ConfigError) as caught:
            opening()
        error: BaseException | None = caught.value
        while error is not None:
            assert SECRET not in f"{error} {error!r} {vars(error)}"
            error = error.__cause__


# -- the environment ---------------------------------------------------------------------------


def test_the_environment(monkeypatch: pytest.MonkeyPatch):
    environ = {
        "ARMATURE_CACHE_URL": URL,
        "ARMATURE_CACHE_NAMESPACE": "shop",
        "ARMATURE_CACHE_DEFAULT_TTL": "1h",
        "ARMATURE_CACHE_MAX_BYTES": "",
        "ARMATURE_CACHE_SESSIONS__URL": "memory://",
        "ARMATURE": "x",
        "OTHER_URL": "x",
    }
    config, _, _ = parts(open_cache_from_env(environ))
    assert (config.namespace, config.default_ttl) == ("shop", 3600)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    config, _, _ = parts(open_cache_from_env())
    assert config.namespace == "shop"
    assert open_cache_from_env({"SHOP_URL": "memory://"}, prefix="SHOP_").default_ttl is None
    with pytest.raises(ConfigError, match="ARMATURE_CACHE_URL is missing"):
        open_cache_from_env({})
    with pytest.raises(ConfigError, match="ARMATURE_CACHE_URI is no setting; did you mean 'url'"):
        open_cache_from_env({"ARMATURE_CACHE_URI": URL})


def test_every_field_has_a_variable():
    given = {
        "url": "redis://localhost:1/0", "username": "me", "password": "p", "namespace": "n",
        "default_ttl": "1h", "max_entries": "5", "max_bytes": "1MiB", "isolate": "false",
        "detect_mutation": "false", "codec": "msgpack", "connect_timeout": "1s",
        "operation_timeout": "2s", "max_connections": "5", "staleness_bound": "1s",
        "max_ttl": "9d", "max_value_bytes": "1MB", "max_load_time": "30s", "hints": "true",
        "consistency": "bounded", "enable_l1": "true", "enable_l2": "true",
        "write_through": "true", "promote_to_l1": "true", "l1_ttl_fraction": "0.5",
        "on_l2_down": "raise", "serve_stale_for": "10s", "l2_soft_timeout": "50ms",
        "l2_hard_timeout": "none", "breaker_failures": "3", "breaker_pause": "2s",
        "background_writes": "yes", "on_failover": "replay", "reclaim": "true",
    }  # fmt: skip
    of_files = {"max_file_bytes"}
    assert set(given) == set(OF_CACHES) - of_files
    variables = {f"ARMATURE_CACHE_{name.upper()}": value for name, value in given.items()}
    config, tiers, _ = parts(open_cache_from_env(variables))
    assert (config.max_ttl, config.max_value_bytes) == (9 * 86_400, 1_000_000)
    assert (config.on_failover, config.reclaim) == ("replay", True)
    assert (tiers.l1_ttl_fraction, tiers.on_l2_down) == (0.5, "raise")


# -- named caches ------------------------------------------------------------------------------

TOML = """
[caches.default]
url = "memory://"
default_ttl = "1h"

[caches.sessions]
url = "{url}"
namespace = "{namespace}"
staleness_bound = "50ms"

[profiles.catalogue]
ttl = "5m"
tags = ["catalogue"]

[profiles.session]
cache = "sessions"
ttl = "30m"
cache_none = false
stale_for = "10s"
"""


async def test_a_registry_from_a_file(server_url: str, namespace: str):
    described = tomllib.loads(TOML.format(url=server_url, namespace=namespace))
    async with CacheRegistry.from_mapping(
        described["caches"], profiles=described["profiles"]
    ) as caches:
        assert list(caches) == ["default", "sessions"]
        assert (len(caches), "sessions" in caches, "x" in caches) == (2, True, False)
        assert repr(caches) == "<CacheRegistry of default, sessions>"
        assert all(caches[name] is caches[name] for name in caches)
        assert caches["default"].default_ttl == 3600
        await caches["sessions"].set("a", 1)
        assert await asyncio.to_thread(caches.sync("sessions").get, "a") == 1
        assert caches.sync("sessions") is caches.sync("sessions")
        assert json.dumps(described)  # nothing in it was changed


def test_a_registry_from_the_environment():
    caches = CacheRegistry.from_env(
        {
            "ARMATURE_CACHE_URL": "memory://",
            "ARMATURE_CACHE_DEFAULT_TTL": "1m",
            "ARMATURE_CACHE_BIG_ONES__URL": "memory://",
            "ARMATURE_CACHE_BIG_ONES__MAX_ENTRIES": "9",
        }
    )
    assert list(caches) == ["default", "big_ones"]
    assert caches["default"].default_ttl == 60
    with pytest.raises(ConfigError, match="ARMATURE_CACHE_BIG__MAX_ENTRIES is an integer"):
        CacheRegistry.from_env(
            {"ARMATURE_CACHE_BIG__URL": "memory://", "ARMATURE_CACHE_BIG__MAX_ENTRIES": "x"}
        )
    with pytest.raises(ConfigError, match="ARMATURE_CACHE_BIG__URL is missing"):
        CacheRegistry.from_env({"ARMATURE_CACHE_BIG__MAX_ENTRIES": "9"})


def test_everything_is_checked_at_once_and_nothing_is_opened():
    code = """
import sys
from armature_cache import CacheRegistry
caches = CacheRegistry.from_mapping({"one": {"url": "redis://localhost:1/0"}})
@caches.cached(cache="one")
def f(n: int) -> int:
    return n
assert "redis" not in sys.modules
caches["one"]
assert "redis" in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=50)
    with pytest.raises(ConfigError, match=r"^two\.url: .* has no known scheme"):
        CacheRegistry.from_mapping({"one": {"url": "memory://"}, "two": {"url": "nowhere://"}})
    with pytest.raises(ConfigError, match=r"^one\.max_entrys is no setting; did you mean"):
        CacheRegistry.from_mapping({"one": {"url": "memory://", "max_entrys": 1}})
    with pytest.raises(ConfigError, match=r"^one\.default_ttl: ttl must be"):
        CacheRegistry.from_mapping({"one": {"url": "memory://", "default_ttl": 0}})
    wrong: Any = {"one": "redis://localhost"}
    with pytest.raises(ConfigError, match=r"^one is a mapping of settings"):
        CacheRegistry.from_mapping(wrong)
    with pytest.raises(ConfigError, match="caches are a mapping"):
        CacheRegistry.from_mapping(wrong["one"])


def test_a_name_that_is_none():
    caches = CacheRegistry.from_mapping({"sessions": {"url": "memory://"}})
    for ask in (
        lambda: caches["session"],
        lambda: caches.sync("session"),
        lambda: caches.cached(cache="session"),
    ):
        with pytest.raises(ConfigError, match=r"did you mean 'sessions'.*there are sessions"):
            ask()
    with pytest.raises(ConfigError, match="no cache 'default'"):
        caches.cached()
    with pytest.raises(ConfigError, match="no profile 'x'; there are none"):
        caches.cached("x", cache="sessions")


def test_threads_open_a_cache_once(server_url: str, namespace: str):
    caches = CacheRegistry.from_mapping({"default": {"url": server_url, "namespace": namespace}})
    barrier = threading.Barrier(8)

    def ask() -> Any:
        barrier.wait(10)
        return caches.sync()

    with ThreadPoolExecutor(8) as pool:
        found = [each.result() for each in [pool.submit(ask) for _ in range(8)]]
    assert {id(each) for each in found} == {id(found[0])}
    caches.close()


async def test_a_registry_closes_what_it_has_opened(server_url: str, namespace: str):
    described = {
        name: {"url": server_url, "namespace": namespace + name} for name in ("one", "two", "three")
    }
    caches = CacheRegistry.from_mapping(described)
    one, two = caches["one"], caches["two"]
    plain = caches.sync("three")
    await one.set("a", 1)
    plain.set("a", 1)
    with pytest.raises(ConfigError, match=r"await registry\.aclose\(\)"):
        caches.close()
    await caches.aclose()
    for closed in (one, two):
        with pytest.raises(ClosedError):
            await closed.ping()
    with pytest.raises(ClosedError):
        plain.ping()
    for ask in (lambda: caches["one"], lambda: caches.sync("two")):
        with pytest.raises(ClosedError, match="registry"):
            ask()
    await caches.aclose()


async def test_each_cache_is_closed_also_after_a_failure(server_url: str, namespace: str):
    caches = CacheRegistry.from_mapping(
        {
            "down": {"url": URL},
            "too": {"url": URL, "namespace": "other"},
            "up": {"url": server_url, "namespace": namespace},
        }
    )
    for name in ("down", "too"):
        with pytest.raises(InvalidationError):
            await caches[name].invalidate_tag(name)
    up = caches["up"]
    await up.ping()
    with pytest.raises(InvalidationError) as caught:
        await caches.aclose()
    assert len(caught.value.__notes__) == 1
    with pytest.raises(ClosedError):
        await up.ping()


def test_a_program_that_awaits_nothing_closes_too(server_url: str, namespace: str):
    described = {"default": {"url": server_url, "namespace": namespace}}
    with CacheRegistry.from_mapping(described) as caches:
        plain = caches.sync()
        plain.set("a", 1)
    with pytest.raises(ClosedError):
        plain.ping()


def test_a_fork_leaves_the_registry_usable():
    caches = CacheRegistry.from_mapping({"default": {"url": "memory://"}})
    caches.sync().set("a", 1)
    child = os.fork()
    if not child:
        os._exit(0 if caches.sync().get("a") == 1 else 1)
    assert os.waitpid(child, 0)[1] == 0


# -- profiles ----------------------------------------------------------------------------------


async def test_functions_take_their_options_from_a_profile():
    caches = CacheRegistry.from_mapping(
        {"default": {"url": "memory://"}, "other": {"url": "memory://"}},
        profiles={
            "catalogue": {"TTL": "5m", "tags": "catalogue, shop", "cache-none": "no"},
            "elsewhere": {"cache": "other", "ttl": 60, "stale_for": "1h"},
        },
    )

    @caches.cached("catalogue", tags="product:{number}")
    async def product(number: int) -> int | None:
        return number or None

    @caches.cached("catalogue", ttl=7, cache_none=True)
    def price(number: int) -> int | None:
        return number or None

    @caches.cached("elsewhere", cache="default", key="stock:{number}")
    def stock(number: int) -> int:
        return number

    @caches.cached("elsewhere")
    def place(number: int) -> int:
        return number

    @caches.cached()
    def bare() -> int:
        return 1

    @caches.cached(when=lambda number: number > 0, unless=lambda found: found == 1, scope="both")
    def chosen(number: int) -> int:
        return number

    with request_scope():
        assert [chosen(0), chosen(1), chosen(2), chosen(2), chosen(1)] == [0, 1, 2, 2, 1]
    assert chosen.stats() == FunctionStats(hits=1, misses=3, errors=0)

    assert product.tags_for(1) == ("catalogue", "shop", "product:1")
    assert await product(1) == 1
    left = await caches["default"].ttl(product.key_for(1))
    assert left is not None
    assert 290 < left <= 300
    await product(0)
    assert not await caches["default"].exists(product.key_for(0))
    price(0)
    assert caches.sync().ttl(price.key_for(0)) <= 7  # type: ignore[operator]
    stock(1)
    place(1)
    assert caches.sync().exists("stock:1")
    assert caches.sync("other").exists(place.key_for(1))
    assert not caches.sync().exists(place.key_for(1))
    assert bare() == bare() == 1
    assert bare.stats().hits == 1
    await caches["default"].invalidate_tag("shop")
    assert not await caches["default"].exists(product.key_for(1))
    await caches.aclose()


async def test_methods_take_a_cache_of_the_registry():
    caches = CacheRegistry.from_mapping({"default": {"url": "memory://"}})

    class Service:
        @caches.cached(ttl=60)
        async def load(self, number: int) -> int:
            return number

        @caches.cached(ttl=60)
        def size(self, number: int) -> int:
            return number

    service = Service()
    for _ in range(2):
        assert await service.load(1) == service.size(1) == 1
    assert service.load.stats().hits == service.size.stats().hits == 1
    assert await service.load.invalidate(1) is True
    assert service.size.invalidate(1) is True
    await caches.aclose()


@pytest.mark.parametrize(
    ("profile", "told"),
    [
        ({"ttl": "x"}, r"^p\.ttl is a duration"),
        ({"ttl": -1}, r"^p\.ttl must be a positive"),
        ({"tll": 1}, r"^p\.tll is no setting; did you mean 'ttl'"),
        ({"cache": "defualt"}, r"^there is no p\.cache: cache 'defualt'; did you mean 'default'"),
        ({"jitter": 3}, r"^p\.jitter is"),
        ({"tags": [1]}, r"^p\.tags is a text, or several"),
        ({"key": "x"}, r"^p\.key is no setting"),
    ],
)
def test_a_profile_that_is_wrong(profile: dict[str, Any], told: str):
    with pytest.raises(ConfigError, match=told):
        CacheRegistry.from_mapping({"default": {"url": "memory://"}}, profiles={"p": profile})


def test_tags_need_no_store_in_the_registry():
    """What a registry opens always has tags."""
    caches = CacheRegistry.from_mapping({"default": {"url": "memory://"}})
    assert caches["default"].supports_tags
    assert isinstance(caches["default"].store, InMemoryCache)
