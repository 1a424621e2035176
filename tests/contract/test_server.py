"""What concerns the server beside the store, and what takes long."""

from __future__ import annotations

import math

import pytest

from tests.contract.faces import Face
from tests.contract.stacks import Kit

THOUSAND = {f"k{number}": number for number in range(1000)}


async def test_clear_leaves_foreign_keys_on_the_server(kit: Kit, served: Face):
    foreign = kit.foreign
    names = [f"{kit.root}-foreign", f"{kit.root}:k", f"{kit.root}"]
    for name in names:
        foreign.set(name, b"theirs")
    await served.set("k", 1)
    await served.clear()
    assert [foreign.get(name) for name in names] == [b"theirs"] * 3
    assert await served.scan() == []


@pytest.mark.slow
async def test_a_thousand_keys(once: Face):
    cache = once
    await cache.set_many(THOUSAND, ttl=600)
    assert await cache.get_many(THOUSAND) == THOUSAND
    assert await cache.get_many(reversed(THOUSAND)) == THOUSAND
    assert all((await cache.exists_many(THOUSAND)).values())
    assert {math.ceil(left) > 500 for left in (await cache.ttl_many(THOUSAND)).values()} == {True}
    assert len(await cache.scan()) == 1000
    assert await cache.delete_many(THOUSAND) == 1000
    assert await cache.get_many(THOUSAND) == {}
    assert await cache.scan() == []
