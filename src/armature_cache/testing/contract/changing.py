from __future__ import annotations

import functools
import math

import pytest

from armature_cache.errors import ConfigError, CounterError
from armature_cache.testing.contract.faces import Face
from armature_cache.testing.contract.kit import Kit

TOP, BOTTOM = 2**63 - 1, -(2**63)


async def test_add_stores_only_what_is_absent(cache: Face) -> None:
    assert await cache.add("k", None, ttl=60) is True
    assert await cache.add("k", 2) is False
    assert await cache.get("k", "default") is None
    assert await cache.ttl("k") < 61
    await cache.delete("k")
    assert await cache.add("k", 3, ttl=None) is True
    assert await cache.get("k") == 3
    assert await cache.ttl("k") == math.inf


async def test_one_of_many_adds_wins(cache: Face) -> None:
    async def add(number: int) -> bool:
        return bool(await cache.add("k", number))

    won = await cache.together([functools.partial(add, number) for number in range(8)])
    assert won.count(True) == 1
    assert await cache.get("k") == won.index(True)


async def test_delete_says_whether_there_was_something(cache: Face) -> None:
    assert await cache.delete("k") is False
    await cache.set("k", None)
    assert await cache.get("k", 1) is None
    assert await cache.delete("k") is True
    assert await cache.get("k", "gone") == "gone"
    assert await cache.exists("k") is False
    assert await cache.ttl("k") is None
    assert await cache.delete("k") is False
    await cache.set("k", 2)
    assert await cache.get("k") == 2


async def test_a_counter_begins_at_zero_and_keeps_its_lifetime(cache: Face) -> None:
    assert await cache.increment("n", ttl=60) == 1
    assert await cache.ttl("n") <= 60
    assert await cache.increment("n", 5, ttl=6000) == 6
    assert await cache.decrement("n", ttl=None) == 5
    assert await cache.decrement("n", 10) == -5
    assert await cache.increment("n", 0) == -5
    assert await cache.increment("n", -5) == -10
    assert 0 < await cache.ttl("n") <= 60
    assert await cache.get("n") == -10
    assert await cache.get_many(["n"]) == {"n": -10}
    assert await cache.decrement("m", 3) == -3
    assert await cache.ttl("m") == math.inf


async def test_a_counter_can_be_read_between_changes(cache: Face) -> None:
    for number in range(1, 4):
        assert await cache.increment("n") == number
        assert await cache.get("n") == number
        assert await cache.get("n", type=int) == number
    assert await cache.expire("n", 100) is True
    assert await cache.increment("n") == 4
    assert await cache.ttl("n") <= 100


async def test_a_value_that_was_set_can_be_counted_on(cache: Face) -> None:
    await cache.set("n", 41, ttl=60)
    assert await cache.get("n") == 41
    assert await cache.increment("n", ttl=6000) == 42
    assert await cache.get("n") == 42
    assert await cache.ttl("n") <= 60
    assert await cache.increment("n") == 43
    await cache.set("n", 1)
    assert await cache.increment("n") == 2
    assert await cache.get("n") == 2
    assert await cache.delete("n") is True
    assert await cache.increment("n") == 1


@pytest.mark.parametrize(("start", "delta"), [(TOP, 1), (BOTTOM, -1), (1, TOP), (-2, BOTTOM)])
async def test_an_overflow_changes_nothing(cache: Face, start: int, delta: int) -> None:
    assert await cache.increment("counted", start, ttl=60) == start
    await cache.set("plain", start, ttl=60)
    for key in ("counted", "plain"):
        with pytest.raises(CounterError, match="64 bits"):
            await cache.increment(key, delta)
        assert await cache.get(key) == start
        assert 0 < await cache.ttl(key) <= 60
        step = -1 if delta > 0 else 1
        assert await cache.increment(key, step) == start + step


async def test_a_step_beyond_64_bits_is_refused(cache: Face) -> None:
    await cache.set("n", -1)
    for key in ("n", "absent"):
        for step in (cache.increment(key, 2**63), cache.increment(key, BOTTOM - 1)):
            with pytest.raises(CounterError, match="64 bits"):
                await step
        with pytest.raises(CounterError, match="64 bits"):
            await cache.decrement(key, BOTTOM)
    assert await cache.get("n") == -1
    assert await cache.exists("absent") is False


async def test_what_is_no_integer_is_not_counted(cache: Face) -> None:
    values = {"text": "1", "float": 1.0, "bool": True, "none": None, "list": [1]}
    await cache.set_many(values)
    for key in values:
        with pytest.raises(CounterError, match="not an integer"):
            await cache.increment(key)
    assert await cache.get_many(values) == values
    for delta in ("1", 1.0, True, None):
        for call in (cache.increment("n", delta), cache.decrement("n", delta)):
            with pytest.raises(ConfigError, match="delta is an int") as caught:
                await call
            assert caught.value.field == "delta"
    assert await cache.exists("n") is False


async def test_no_increment_is_lost(cache: Face) -> None:
    async def count() -> list[int]:
        return [await cache.increment("n") for _ in range(5)]

    seen = await cache.together([count] * 8)
    assert sorted(number for each in seen for number in each) == list(range(1, 41))
    assert await cache.get("n") == 40


async def test_an_expired_counter_begins_anew(kit: Kit, cache: Face) -> None:
    assert await cache.increment("n", 7, ttl=0.03) == 7
    await kit.expired(cache, "n", 0.03)
    assert await cache.increment("n", ttl=60) == 1
