from __future__ import annotations

import dataclasses
import datetime
import decimal
import math
import uuid
from typing import Any

import pytest

from armature_cache.errors import ConfigError
from armature_cache.testing.contract.faces import Face

FALSY: tuple[Any, ...] = (None, False, 0, 0.0, "", b"", [], {}, ())


@dataclasses.dataclass
class User:
    id: int
    name: str


async def test_an_absent_key_gives_none_or_the_default(cache: Face) -> None:
    assert await cache.get("absent") is None
    for default in ("x", *FALSY):
        assert await cache.get("absent", default) is default
    assert await cache.exists("absent") is False
    assert await cache.ttl("absent") is None


async def test_a_falsy_value_is_a_value(cache: Face) -> None:
    for number, value in enumerate(FALSY):
        await cache.set(f"k{number}", value)
    for number, value in enumerate(FALSY):
        got = await cache.get(f"k{number}", "default")
        assert (type(got), got) == (type(value), value)
        assert await cache.exists(f"k{number}") is True


async def test_values_come_back_as_they_were(cache: Face) -> None:
    values = {
        "text": "naïve ☃ \x00 text",
        "bytes": bytes(range(256)),
        "numbers": [0, -1, 2**63 - 1, -(2**63), 2**80, 1.5, -0.0, math.inf],
        "nested": {"a": [{"b": (1, "x")}], "s": {1, 2}},
        "when": datetime.datetime(2026, 7, 1, 12, 30, 1, 5, tzinfo=datetime.UTC),
        "exact": decimal.Decimal("1.10"),
        "id": uuid.UUID(int=7),
    }
    for key, value in values.items():
        await cache.set(key, value)
    for key, value in values.items():
        assert await cache.get(key) == value
    assert math.isnan(await _kept(cache, math.nan))


async def _kept(cache: Face, value: object) -> float:
    await cache.set("kept", value)
    got = await cache.get("kept")
    assert isinstance(got, float)
    return got


async def test_a_megabyte(cache: Face) -> None:
    text, raw = "ä" * 500_000, b"\0\xff" * 500_000
    await cache.set("text", text)
    await cache.set("raw", raw)
    assert await cache.get("text") == text
    assert await cache.get("raw") == raw


async def test_keys_of_all_kinds_are_told_apart(cache: Face) -> None:
    keys = [
        "a", "a:b", "a:b:", ":", "{a}", "{a", "a}", "{a}:v:b", " ", " a", "a ", "a b", "A", "ä",
        "a\u0308", "☃", "\n", "\t", "a\nb", "%s", "*", "?", "[a]", "\\", "k" * 4096, "é" * 2048,
        "{:0}:v:a", "v:a", "../a", '"', "'", "None", "0", "\x7f", "\ufeff", "😀",
    ]  # fmt: skip
    await cache.set_many({key: number for number, key in enumerate(keys)})
    for number, key in enumerate(keys):
        assert await cache.get(key) == number
    assert await cache.get_many(keys) == {key: number for number, key in enumerate(keys)}
    assert sorted(await cache.scan()) == sorted(keys)
    assert await cache.delete("a:b") is True
    assert await cache.get("a:b") is None
    assert await cache.get("a:b:") == keys.index("a:b:")


async def test_a_set_replaces_value_and_lifetime(cache: Face) -> None:
    await cache.set("k", 1, ttl=60)
    await cache.set("k", "two", ttl=None)
    assert await cache.get("k") == "two"
    assert await cache.ttl("k") == math.inf
    assert await cache.get("k") == "two"


async def test_a_typed_read_gives_the_type(cache: Face) -> None:
    user = User(7, "Ada")
    await cache.set("u", user, type=User)
    for _ in range(2):
        assert await cache.get("u", type=User) == user
    assert await cache.get("absent", type=User) is None
    assert await cache.get("absent", "default", type=User) == "default"
    assert await cache.get_many(["u", "absent"], type=User) == {"u": user}


async def test_strong_reads(cache: Face) -> None:
    await cache.set("k", 1, ttl=60)
    assert await cache.get("k", consistency="strong") == 1
    assert await cache.get("absent", "d", consistency="strong") == "d"
    assert await cache.exists("k", consistency="strong") is True
    assert await cache.ttl("k", consistency="strong") == pytest.approx(60, abs=10)
    assert await cache.get_many(["k", "absent"], consistency="strong") == {"k": 1}
    assert await cache.exists_many(["k", "absent"], consistency="strong") == {
        "k": True,
        "absent": False,
    }
    assert (await cache.ttl_many(["absent"], consistency="strong")) == {"absent": None}
    assert await cache.get_or_set("k", lambda: 2, consistency="strong") == 1
    await cache.delete("k")
    assert await cache.get("k", consistency="strong") is None


async def test_an_unknown_consistency_is_refused_on_hits_too(cache: Face) -> None:
    await cache.set("k", 1)
    for read in (cache.get, cache.exists, cache.ttl):
        with pytest.raises(ConfigError, match='"bounded" or "strong"') as caught:
            await read("k", consistency="eventual")
        assert caught.value.field == "consistency"
    with pytest.raises(ConfigError, match="strong"):
        await cache.get_many(["k"], consistency="eventual")
    with pytest.raises(ConfigError, match="strong"):
        await cache.get_or_set("k", lambda: 2, consistency="eventual")
