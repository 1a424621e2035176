"""Where items are, and what they are called."""

from __future__ import annotations

import collections
import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from armature_cache.memcachedio.names import Names, Place
from armature_cache.memcachedio.ring import Ring

SERVERS = [f"10.0.0.{number}:11211" for number in range(5)]


def owners(servers: list[str], count: int = 3000) -> list[str]:
    ring = Ring(servers)
    return [servers[ring.owner(b"name%d" % number)] for number in range(count)]


def test_the_order_of_servers_does_not_matter() -> None:
    expected = owners(SERVERS)
    for servers in itertools.islice(itertools.permutations(SERVERS), 1, 120, 13):
        assert owners(list(servers)) == expected


def test_every_server_has_its_share() -> None:
    shares = collections.Counter(owners(SERVERS, 20_000))
    assert all(0.7 < share / 4000 < 1.3 for share in shares.values())
    assert len(shares) == 5


def test_another_server_takes_over_its_part_and_no_more() -> None:
    before, after = owners(SERVERS), owners([*SERVERS, "10.0.0.9:11211"])
    moved = [new for old, new in zip(before, after, strict=True) if old != new]
    assert set(moved) == {"10.0.0.9:11211"}
    assert 0.1 < len(moved) / len(before) < 0.25


def test_places_are_those_of_every_release() -> None:
    """Processes of two releases have to find the same items."""
    names = Names("shop", Ring(SERVERS))
    assert names.home == 3
    assert names.change == Place(3, b"{shop}:g")
    assert names.bound == Place(3, b"{shop}:b")
    assert names.value("user:1") == Place(2, b"{shop}:v:user:1")
    assert names.claim("user:1") == Place(2, b"{shop}:l:user:1")
    assert names.tag("users") == Place(3, b"{shop}:t:ceb1163fdc1958d225d5df047c1d84f5112f3a32")


def test_one_server_has_everything() -> None:
    names = Names("shop", Ring(SERVERS[:1]))
    assert {names.value(f"k{n}").node for n in range(100)} == {names.home} == {0}


@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=300), unique=True))
def test_names_are_fit_and_nobody_elses(keys: list[str]) -> None:
    names = Names("ns", Ring(SERVERS))
    made = [name for key in keys for name in (names.value(key).name, names.claim(key).name)]
    made += [names.tag(key).name for key in keys]
    assert len(set(made)) == len(made)
    for name in made:
        assert len(name) <= 250
        assert all(33 <= byte <= 126 for byte in name)
    for key in keys:
        name = names.value(key).name
        assert names.key_of(name) == (None if names.is_hashed(name) else key)
        assert names.is_value(name, key[:1]) or not key[:1]


@pytest.mark.parametrize("namespace", ["a b", "ü", "~" + "0" * 40, "x" * 256, "\x7f", "a" * 101])
def test_a_namespace_may_be_anything(namespace: str) -> None:
    names = Names(namespace, Ring(SERVERS))
    others = Names(namespace[:-1] or "z", Ring(SERVERS))
    for place in (names.change, names.bound, names.value("k" * 200), names.tag("t")):
        assert len(place.name) <= 250
        assert all(33 <= byte <= 126 for byte in place.name)
    assert names.change.name != others.change.name


def test_namespaces_do_not_meet() -> None:
    rng = random.Random(1)
    parts = ["a", "b", ":", "v", "h", "~", "t", "g"]
    spaces = {"".join(rng.choices(parts, k=rng.randint(1, 4))) for _ in range(60)}
    keys = {"".join(rng.choices(parts, k=rng.randint(1, 4))) for _ in range(30)}
    found = [Names(space, Ring(SERVERS)).value(key).name for space in spaces for key in keys]
    assert len(set(found)) == len(found)
