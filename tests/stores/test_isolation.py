"""Value safety: an object that its user changes changes nothing in the cache, or is found."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
import warnings
from collections.abc import AsyncIterator
from typing import Any

import pytest

import armature_cache
import armature_cache.sync
from armature_cache import (
    CacheConfig,
    CacheMutationWarning,
    ConfigError,
    UnsupportedValue,
    open_cache,
)
from armature_cache.entry import Entry
from tests.contract.faces import Face

GONE = "gone"


@dataclasses.dataclass
class User:
    name: str
    tags: list[str]


def fresh() -> dict[str, Any]:
    return {"list": [1, {"a": 2}], "user": "Ada"}


@pytest.fixture(params=["memory", "tagged", "part", "two memories", "tiered", "l2 is off"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Maker:
    def __init__(self, kind: str, face: str, url: str, namespace: str) -> None:
        self.module: Any = armature_cache.sync if face == "sync" else armature_cache
        self.kind, self.url, self.namespace = kind, url, namespace
        self.made: list[Face] = []

    def __call__(self, **care: bool) -> Face:
        module, near = self.module, self.module.InMemoryCache(**care)
        store: Any = near
        if self.kind == "two memories":
            store = module.TieredCache(near, module.InMemoryCache(**care))
        elif self.kind in {"tiered", "l2 is off"}:
            config = CacheConfig.redis(self.url, namespace=self.namespace, hints=False)
            tiers = armature_cache.TieredCacheConfig(enable_l2=self.kind == "tiered")
            store = module.TieredCache(near, module.RedisCache(config), tiers)
        if self.kind != "memory":
            store = module.TaggedCache(store)
        if self.kind == "part":
            store = store.namespace("part")
        self.made.append(Face(store))
        return self.made[-1]


@pytest.fixture(params=["async", "sync"])
async def make(
    request: pytest.FixtureRequest, kind: str, valkey: Any, namespace: str
) -> AsyncIterator[Maker]:
    maker = Maker(kind, request.param, valkey.url, namespace)
    yield maker
    for made in maker.made:
        await made.close()


async def test_each_reader_gets_an_object_of_his_own(make: Maker):
    cache = make(isolate=True)
    given = fresh()
    await cache.set("k", given)
    given["list"].append("changed by the writer")
    for _ in range(3):
        got = await cache.get("k")
        assert got == fresh()
        got["list"][1]["a"] = "changed by a reader"
        many = await cache.get_many(["k"])
        assert many == {"k": fresh()}
        many["k"].clear()
        strong = await cache.get("k", consistency="strong")
        assert strong == fresh()
        strong["list"].clear()


async def test_so_does_each_who_loads_and_who_waits_for_a_load(make: Maker):
    cache = make(isolate=True)
    source = fresh()

    async def load() -> dict[str, Any]:
        return source

    got = await cache.get_or_set("k", cache.loader(load))
    got["list"].append(1)
    again = await cache.get_or_set("k", cache.loader(load))
    assert again == fresh()
    again.clear()
    await cache.delete("k")
    source = fresh()
    gate = cache.gate()
    begun = 0

    async def slow() -> dict[str, Any]:
        nonlocal begun
        begun += 1
        await gate.passed()
        return source

    async def want(number: int) -> None:
        if number == 0:
            gate.open()
        got = await cache.get_or_set("k", cache.loader(slow))
        assert got == fresh()
        got["list"].append(number)

    await cache.together([lambda number=number: want(number) for number in (1, 2, 3, 0)])  # type: ignore[misc]
    await cache.delete("k")
    gate = cache.gate()

    async def slow_many(keys: list[str]) -> dict[str, Any]:
        await gate.passed()
        return dict.fromkeys(keys, source)

    async def want_many(number: int) -> None:
        if number == 0:
            gate.open()
        found = await cache.get_or_set_many(["k", "m"], cache.loader(slow_many))
        assert found == {"k": fresh(), "m": fresh()}
        found["k"]["list"].append(number)

    await cache.together([lambda number=number: want_many(number) for number in (1, 2, 0)])  # type: ignore[misc]
    refreshed = await cache.refresh("k", cache.loader(load))
    assert refreshed == fresh()
    refreshed.clear()
    loaded = await cache.get_or_set_many(["k", "l"], lambda keys: dict.fromkeys(keys, source))
    assert loaded == {"k": fresh(), "l": fresh()}
    loaded["k"].clear()
    assert await cache.get("k") == fresh()


async def test_what_nobody_can_change_is_shared(make: Maker):
    cache = make(isolate=True)
    value = ("a", (1, 2), frozenset({3}))
    await cache.set("k", value)
    one = await cache.get("k")
    assert one == value
    assert await cache.get("k") is one


async def test_everything_else_works_as_ever(make: Maker):
    for care in ({"isolate": True}, {"detect_mutation": True}):
        cache = make(**care)
        await cache.set("k", [1], ttl=60)
        assert await cache.expire("k", 600)
        assert 60 < await cache.ttl("k") <= 600
        assert await cache.add("k", [2]) is False
        assert await cache.get("k", type=list) == [1]
        assert await cache.increment("n") == 1
        assert await cache.increment("n") == 2
        assert await cache.exists_many(["k", "n", "o"]) == {"k": True, "n": True, "o": False}
        assert sorted(await cache.scan()) == ["k", "n"]
        assert await cache.delete("k") is True
        assert await cache.get("k", GONE) == GONE
        await cache.clear()
        assert await cache.scan() == []


async def test_a_change_is_found_and_the_key_is_named(make: Maker, kind: str):
    cache = make(detect_mutation=True)
    await cache.set("user:1", fresh())
    got = await cache.get("user:1")
    assert await cache.get("user:1") is got
    got["list"][1]["a"] = 3
    with pytest.warns(CacheMutationWarning, match=r"user:1'.* at value\['list'\]\[1\]\['a'\] "):
        assert await cache.get("user:1", GONE) == got
    with warnings.catch_warnings():
        if kind == "two memories":  # both of them have that object
            warnings.simplefilter("ignore")
        after = await cache.get("user:1", GONE)
    healed = kind == "tiered"  # the shared tier has it as it was
    if kind != "two memories":
        assert after == (fresh() if healed else GONE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        await cache.set("user:1", fresh())
        assert await cache.get("user:1") == fresh()
        assert await cache.get_many(["user:1"]) == {"user:1": fresh()}


async def test_what_is_right_draws_no_warning(make: Maker):
    cache = make(detect_mutation=True)
    values = {"a": fresh(), "b": [1], "c": (1, 2), "d": {1, 2}, "e": bytearray(b"x")}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        await cache.set_many(values)
        for _ in range(3):
            assert await cache.get_many(values) == values


async def test_a_change_between_a_load_and_a_read_is_found():
    store = armature_cache.InMemoryCache(detect_mutation=True)
    user = User("Ada", [])
    assert await store.get_or_set("k", lambda: user) is user
    user.tags.append("changed")
    with pytest.warns(CacheMutationWarning, match=r"User, was changed at value.tags"):
        assert await store.get_or_set("k", lambda: User("loaded again", [])) is user
    again = User("loaded again", [])
    assert await store.get_or_set("k", lambda: again) is again


async def test_decorated_functions_are_cared_for(valkey: Any, namespace: str):
    store = open_cache(valkey.url, namespace=namespace, hints=False, isolate=True)

    @armature_cache.cache(using=store)
    async def load(number: int) -> list[User]:
        return [User("Ada", [])]

    for _ in range(3):
        users = await load(1)
        assert users == [User("Ada", [])]
        users[0].tags.append("changed")
    assert load.stats().hits == 2
    await store.aclose()
    watched = open_cache("memory://", detect_mutation=True)

    @armature_cache.cache(using=watched)
    async def watch(number: int) -> list[User]:
        return [User("Ada", [])]

    (await watch(1))[0].tags.append("changed")
    with pytest.warns(CacheMutationWarning, match=r"value\[0\]\.tags"):
        assert await watch(1) == [User("Ada", ["changed"])]
    assert await watch(1) == [User("Ada", [])]


@pytest.mark.parametrize("value", [threading.Lock(), [iter([1]), (x for x in "ab")]], ids=range(2))
async def test_what_cannot_be_copied_is_refused(value: Any):
    store = armature_cache.InMemoryCache(isolate=True)
    with pytest.raises(UnsupportedValue, match="isolate=True") as caught:
        await store.set_many({"a": 1, "k": value})
    assert caught.value.value_type is type(value)
    assert await store.get("a", GONE) == GONE
    with pytest.raises(UnsupportedValue):
        await store.get_or_set("k", lambda: value)


def test_one_of_the_two_is_enough():
    with pytest.raises(ConfigError) as caught:
        armature_cache.sync.InMemoryCache(isolate=True, detect_mutation=True)
    assert caught.value.field == "detect_mutation"


def test_nothing_is_paid_for_what_is_off():
    """The value of an entry without care is a slot, and so is that of what cannot be changed."""
    for store in (
        armature_cache.sync.InMemoryCache(),
        armature_cache.sync.InMemoryCache(isolate=True),
        armature_cache.sync.InMemoryCache(detect_mutation=True),
    ):
        store.set("list", [1])
        store.set("text", "x")
        entries = [store._peek(key) for key in ("text", "list")]
        kinds = [type(entry) is Entry for entry in entries]
        assert kinds == [True, not store._core._care]  # type: ignore[attr-defined]
        assert [entry.value for entry in entries if entry] == ["x", [1]]


async def test_readers_in_threads_never_share():
    store = armature_cache.sync.InMemoryCache(isolate=True)
    store.set("k", {"list": []})
    wrong: list[Any] = []

    def read() -> None:
        for _ in range(2000):
            got = store.get("k")
            if got != {"list": []}:
                wrong.append(got)
            got["list"].append(1)

    await asyncio.gather(*(asyncio.to_thread(read) for _ in range(4)))
    assert wrong == []
