"""Loads of several keys at once: shared with other callers, tagged by key, partly failing."""

from __future__ import annotations

import pytest

from armature_cache import ConfigError, InvalidTag, LoadTimeout, PartialLoadError, load_context
from tests.contract.faces import Face, eventually
from tests.contract.stacks import Kit

LONG = 60.0


class Several:
    """A loader of several keys that notes what it was asked for."""

    def __init__(self, cache: Face) -> None:
        self.asked: list[list[str]] = []
        self.started, self.gate = cache.gate(), cache.gate()
        self.gate.open()
        self.suffix = ""
        self._cache = cache

    async def _load(self, keys: list[str]) -> dict[str, str]:
        self.asked.append(sorted(keys))
        suffix = self.suffix
        self.started.open()
        await self.gate.passed()
        return {key: key.upper() + suffix for key in keys}

    @property
    def loader(self):
        return self._cache.loader(self._load)

    def close(self) -> None:
        self.started, self.gate = self._cache.gate(), self._cache.gate()


@pytest.fixture
def several(cache: Face) -> Several:
    return Several(cache)


async def test_keys_that_others_load_are_waited_for(cache: Face, several: Several):
    several.close()
    later = Several(cache)

    async def first() -> object:
        return await cache.get_or_set_many(["a", "b"], several.loader)

    async def second() -> object:
        await several.started.passed()
        return await cache.get_or_set_many(["b", "c"], later.loader)

    async def third() -> object:
        await later.started.passed()
        return await cache.get_or_set("a", lambda: "mine")

    async def release() -> object:
        await later.started.passed()
        several.gate.open()
        return None

    outcome = await cache.together([first, second, third, release])
    assert outcome[:2] == [{"a": "A", "b": "B"}, {"b": "B", "c": "C"}]
    assert outcome[2] == "A"
    assert several.asked == [["a", "b"]]
    assert later.asked == [["c"]]


async def test_a_single_load_is_joined_by_several(cache: Face, several: Several):
    started, gate = cache.gate(), cache.gate()

    async def load() -> str:
        started.open()
        await gate.passed()
        return "single"

    async def one() -> object:
        return await cache.get_or_set("a", cache.loader(load))

    async def many() -> object:
        await started.passed()
        return await cache.get_or_set_many(["a", "b"], several.loader)

    async def release() -> object:
        await several.started.passed()
        gate.open()
        return None

    outcome = await cache.together([one, many, release])
    assert outcome[:2] == ["single", {"a": "single", "b": "B"}]
    assert several.asked == [["b"]]


async def test_who_waits_for_a_key_that_is_left_out_loads_it(cache: Face):
    started, gate = cache.gate(), cache.gate()

    async def none(keys: list[str]) -> dict[str, str]:
        started.open()
        await gate.passed()
        return {}

    async def many() -> object:
        return await cache.get_or_set_many(["a"], cache.loader(none))

    async def one() -> object:
        await started.passed()
        gate.open()
        return await cache.get_or_set("a", lambda: "mine", lock_timeout=0)

    assert await cache.together([many, one]) == [{}, "mine"]


async def test_tags_by_key(tagged: Face):
    several = Several(tagged)
    loaded = await tagged.get_or_set_many(
        ["a", "b"], several.loader, tags=lambda key: [f"tag-{key}", "all"]
    )
    assert loaded == {"a": "A", "b": "B"}
    assert await tagged.get_tags_for_key("a") == ["all", "tag-a"]
    await tagged.invalidate_tag("tag-a")
    assert await tagged.get_many(["a", "b"]) == {"b": "B"}
    assert await tagged.get_or_set_many(["a", "b"], several.loader, tags="all") == loaded
    assert several.asked == [["a", "b"], ["a"]]
    with pytest.raises(InvalidTag):
        await tagged.get_or_set_many(["c"], several.loader, tags=lambda key: "")


async def test_an_error_as_the_value_of_a_key(kit: Kit, cache: Face):
    def partly(keys: list[str]) -> dict[str, object]:
        return {key: LookupError(key) if key == "bad" else key for key in keys}

    with pytest.raises(PartialLoadError) as caught:
        await cache.get_or_set_many(["good", "bad"], partly)
    assert caught.value.values == {"good": "good"}
    assert isinstance(caught.value.errors["bad"], LookupError)
    assert await cache.get_many(["good", "bad"]) == {"good": "good"}
    instead = await cache.get_or_set_many(["good", "bad"], partly, fallback=0)
    assert instead == {"good": "good", "bad": 0}
    assert cache.stats().load_errors == 2


async def test_stale_values_stand_in(kit: Kit, cache: Face, several: Several):
    policy = {"stale_for": LONG, "retry_after": LONG}
    await cache.get_or_set_many(["a", "b"], several.loader, ttl=0.05, **policy)
    await kit.expired(cache, "a", 0.05)
    await kit.expired(cache, "b", 0)

    def fail(keys: list[str]) -> dict[str, str]:
        raise ConnectionError("down")

    for _ in range(2):
        assert await cache.get_or_set_many(["a", "b"], fail, **policy) == {"a": "A", "b": "B"}
    with pytest.raises(ConnectionError):
        await cache.get_or_set_many(["a", "b"], fail)
    assert cache.stats().load_errors == 2
    assert await cache.get_or_set_many(["a", "c"], several.loader, ttl=LONG) == {"a": "A", "c": "C"}


async def test_stale_values_are_renewed_together(kit: Kit, cache: Face, several: Several):
    policy = {"stale_while_revalidate": LONG}
    await cache.get_or_set_many(["a", "b"], several.loader, ttl=0.05, **policy)
    await kit.expired(cache, "a", 0.05)
    await kit.expired(cache, "b", 0)
    several.suffix = "2"
    several.close()
    for _ in range(2):
        found = await cache.get_or_set_many(["a", "b"], several.loader, ttl=LONG, **policy)
        assert found == {"a": "A", "b": "B"}
    several.gate.open()

    async def renewed() -> bool:
        found = await cache.get_many(["a", "b"])
        return bool(found == {"a": "A2", "b": "B2"})

    await eventually(renewed, "a renewal")
    assert several.asked == [["a", "b"], ["a", "b"]]


async def test_several_slow_loads_are_not_waited_for(cache: Face, several: Several):
    several.close()
    with pytest.raises(PartialLoadError) as caught:
        await cache.get_or_set_many(["a", "b"], several.loader, hard_timeout=0.02)
    assert {type(error) for error in caught.value.errors.values()} == {LoadTimeout}
    several.gate.open()

    async def stored() -> bool:
        return bool(await cache.get_many(["a", "b"]) == {"a": "A", "b": "B"})

    await eventually(stored, "a load that goes on in the background")


async def test_a_loader_that_asks_for_its_own_keys(cache: Face):
    def outer(keys: list[str]) -> dict[str, object]:
        return {key: key for key in keys}

    async def load(keys: list[str]) -> dict[str, object]:
        inner = await cache.get_or_set_many(["a", "b"], outer)
        single = await cache.get_or_set("a", lambda: "single")
        return {key: (inner[key], single) for key in keys}

    loaded = await cache.get_or_set_many(["a", "b"], cache.loader(load))
    assert set(loaded) == {"a", "b"}


async def test_a_loader_says_how_all_its_values_are_kept(cache: Face):
    def load(keys: list[str]) -> dict[str, int]:
        load_context().ttl = 10
        return dict.fromkeys(keys, 1)

    await cache.get_or_set_many(["a", "b"], load, ttl=100)
    assert all(left <= 10 for left in (await cache.ttl_many(["a", "b"])).values())
    with pytest.raises(ConfigError):
        await cache.get_or_set_many(["c"], lambda keys: 1)
