from __future__ import annotations

import math

import pytest

from armature_cache.errors import ConfigError
from armature_cache.testing.contract.faces import Face
from armature_cache.testing.contract.kit import Kit

CALLERS = 50


class Boom(Exception):
    pass


class Count:
    """A loader that counts its calls and gives the number of the call."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> int:
        self.calls += 1
        return self.calls


async def test_a_value_is_loaded_once(cache: Face) -> None:
    load = Count()
    assert await cache.get_or_set("k", load, ttl=60) == 1
    assert await cache.get_or_set("k", load) == 1
    assert await cache.get("k") == 1
    assert load.calls == 1
    assert 0 < await cache.ttl("k") <= 60


async def test_a_loader_may_wait(cache: Face) -> None:
    async def load() -> str:
        await cache.set("other", 1)
        return "loaded"

    assert await cache.get_or_set("k", cache.loader(load)) == "loaded"
    assert await cache.get_many(["k", "other"]) == {"k": "loaded", "other": 1}


async def test_none_is_loaded_once_unless_told_otherwise(cache: Face) -> None:
    calls = []
    for _ in range(3):
        assert await cache.get_or_set("cached", lambda: calls.append("cached")) is None
        assert await cache.get_or_set("not", lambda: calls.append("not"), cache_none=False) is None
    assert calls.count("cached") == 1
    assert calls.count("not") == 3
    assert await cache.exists("not") is False
    assert await cache.get_or_set("not", lambda: 0, cache_none=False) == 0
    assert await cache.get("not") == 0


async def test_an_error_is_not_cached(cache: Face) -> None:
    def fail() -> None:
        raise Boom("the source is down")

    for _ in range(2):
        with pytest.raises(Boom, match="the source is down"):
            await cache.get_or_set("k", fail)
        with pytest.raises(Boom):
            await cache.refresh("k", fail)
        with pytest.raises(Boom):
            await cache.get_or_set_many(["k"], lambda keys: fail())
    assert await cache.exists("k") is False
    assert await cache.get_or_set("k", lambda: "well") == "well"
    with pytest.raises(Boom):
        await cache.refresh("k", fail)
    assert await cache.get("k") == "well"


async def test_many_callers_share_one_load(cache: Face) -> None:
    gate, arrived, calls = cache.gate(), [], []

    async def load() -> str:
        calls.append(1)
        await gate.passed()
        return "loaded"

    async def call() -> str:
        arrived.append(1)
        if len(arrived) == CALLERS:
            gate.open()
        return str(await cache.get_or_set("k", cache.loader(load)))

    assert await cache.together([call] * CALLERS) == ["loaded"] * CALLERS
    assert len(calls) == 1


async def test_many_callers_share_one_failure_and_then_load_anew(cache: Face) -> None:
    gate, arrived = cache.gate(), []

    async def load() -> str:
        await gate.passed()
        raise Boom

    async def call() -> str:
        arrived.append(1)
        if len(arrived) == 10:
            gate.open()
        try:
            return str(await cache.get_or_set("k", cache.loader(load)))
        except Boom:
            return "failed"

    assert await cache.together([call] * 10) == ["failed"] * 10
    assert await cache.get_or_set("k", lambda: "well") == "well"


async def test_callers_of_different_keys_do_not_wait_for_one_another(cache: Face) -> None:
    gate = cache.gate()

    async def first() -> str:
        async def load() -> str:
            await gate.passed()
            return "first"

        return str(await cache.get_or_set("a", cache.loader(load)))

    async def second() -> str:
        async def load() -> str:
            gate.open()
            return "second"

        return str(await cache.get_or_set("b", cache.loader(load)))

    assert await cache.together([first, second]) == ["first", "second"]


async def test_a_loader_may_load_other_keys(cache: Face) -> None:
    async def count(number: int) -> int:
        if number == 0:
            return 0

        async def load() -> int:
            return 1 + await count(number - 1)

        return int(await cache.get_or_set(f"k{number}", cache.loader(load)))

    assert await count(10) == 10
    assert await cache.get("k10") == 10
    assert await cache.get("k1") == 1


async def test_a_loader_that_asks_for_its_own_key_does_not_wait_for_itself(cache: Face) -> None:
    async def load() -> str:
        async def inner() -> str:
            return "inner"

        return "outer of " + str(await cache.get_or_set("k", cache.loader(inner)))

    assert await cache.get_or_set("k", cache.loader(load)) == "outer of inner"
    assert await cache.get("k") in {"outer of inner", "inner"}


async def test_an_overtaken_load_is_returned_and_not_served_again(cache: Face) -> None:
    async def load() -> str:
        await cache.elsewhere(cache.delete("k")) if cache.awaited else await cache.delete("k")
        return "old"

    assert await cache.get_or_set("k", cache.loader(load)) == "old"
    assert await cache.get("k", "gone") == "gone"
    assert await cache.get_or_set("k", lambda: "new") == "new"
    assert await cache.get("k") == "new"


async def test_a_set_during_a_load_wins(cache: Face) -> None:
    async def load() -> str:
        await cache.set("k", "set")
        return "loaded"

    assert await cache.get_or_set("k", cache.loader(load)) == "loaded"
    assert await cache.get("k") == "set"


async def test_a_clear_during_a_load_wins(cache: Face) -> None:
    async def load() -> str:
        await cache.clear()
        return "old"

    assert await cache.get_or_set("k", cache.loader(load)) == "old"
    assert await cache.get("k", "gone") == "gone"
    assert await cache.scan() == []


async def test_an_invalidation_during_a_load_wins(tagged: Face) -> None:
    async def load() -> str:
        await tagged.invalidate_tag("t")
        return "old"

    async def load_many(keys: list[str]) -> dict[str, str]:
        await tagged.invalidate_tags(["t", "u"])
        return dict.fromkeys(keys, "old")

    assert await tagged.get_or_set("k", tagged.loader(load), tags=["t", "u"]) == "old"
    assert await tagged.get_or_set_many(["a", "b"], tagged.loader(load_many), tags="t") == {
        "a": "old",
        "b": "old",
    }
    assert await tagged.refresh("r", tagged.loader(load), tags="t") == "old"
    assert await tagged.get_many(["k", "a", "b", "r"]) == {}
    assert await tagged.get_keys_by_tag("t") == []


async def test_who_comes_after_an_invalidation_does_not_join_the_load_before_it(
    tagged: Face,
) -> None:
    started, gate = tagged.gate(), tagged.gate()

    async def old() -> str:
        started.open()
        await gate.passed()
        return "old"

    async def first() -> str:
        return str(await tagged.get_or_set("k", tagged.loader(old), tags="t"))

    async def second() -> str:
        await started.passed()
        await tagged.invalidate_tag("t")
        try:
            return str(await tagged.get_or_set("k", lambda: "new", tags="t"))
        finally:
            gate.open()

    assert await tagged.together([first, second]) == ["old", "new"]
    assert await tagged.get("k") == "new"


async def test_refresh_loads_whatever_is_cached(cache: Face) -> None:
    load = Count()
    assert await cache.refresh("k", load, ttl=600) == 1
    assert await cache.get("k") == 1
    assert await cache.refresh("k", load, ttl=60) == 2
    assert await cache.get("k") == 2
    assert await cache.ttl("k") <= 60
    assert await cache.refresh("k", lambda: None) is None
    assert await cache.get("k", "default") is None
    assert await cache.refresh("k", lambda: None, cache_none=False) is None


async def test_only_missing_keys_are_loaded(cache: Face) -> None:
    asked = []

    def load(keys: list[str]) -> dict[str, str]:
        asked.append(keys)
        return {key: key.upper() for key in reversed(keys)}

    await cache.set_many({"b": "old", "d": None})
    found = await cache.get_or_set_many(["c", "b", "a", "c", "d"], load, ttl=60)
    assert list(found.items()) == [("c", "C"), ("b", "old"), ("a", "A"), ("d", None)]
    assert asked == [["c", "a"]]
    assert await cache.get_or_set_many(["a", "b", "c"], load) == {"a": "A", "b": "old", "c": "C"}
    assert len(asked) == 1
    assert await cache.ttl("a") <= 60
    assert await cache.ttl("b") == math.inf


async def test_keys_that_a_loader_leaves_out_stay_absent(cache: Face) -> None:
    assert await cache.get_or_set_many(["a", "b"], lambda keys: {"b": 2}) == {"b": 2}
    assert await cache.get_or_set_many(["a"], lambda keys: {}) == {}
    assert await cache.exists_many(["a", "b"]) == {"a": False, "b": True}
    answer = {"n": None, "m": 0}
    assert await cache.get_or_set_many(["n", "m"], lambda k: answer, cache_none=False) == answer
    assert await cache.exists_many(["n", "m"]) == {"n": False, "m": True}
    assert await cache.get_or_set_many(["n"], lambda keys: {"n": None}) == {"n": None}
    assert await cache.exists("n") is True


async def test_strange_keys_from_a_loader_are_refused(cache: Face) -> None:
    await cache.set("strange", "old")
    with pytest.raises(ConfigError, match=r"not asked for.*strange"):
        await cache.get_or_set_many(["a"], lambda keys: {"a": 1, "strange": 2})
    assert await cache.exists("a") is False
    assert await cache.get("strange") == "old"
    for answer in (None, 5, ["a"], "a"):
        with pytest.raises(ConfigError, match="mapping"):
            await cache.get_or_set_many(["a"], lambda keys, answer=answer: answer)
    assert await cache.exists("a") is False


async def test_what_cannot_be_called_is_no_loader(cache: Face) -> None:
    for loader in (None, 5, "value"):
        for call in (
            lambda loader=loader: cache.get_or_set("k", loader),
            lambda loader=loader: cache.refresh("k", loader),
            lambda loader=loader: cache.get_or_set_many(["k"], loader),
        ):
            with pytest.raises(ConfigError, match="loader") as caught:
                await call()
            assert caught.value.field == "loader"
    assert await cache.exists("k") is False


async def test_an_expired_value_is_loaded_again(kit: Kit, cache: Face) -> None:
    load = Count()
    assert await cache.get_or_set("k", load, ttl=0.03) == 1
    await kit.expired(cache, "k", 0.03)
    assert await cache.get_or_set("k", load) == 2
