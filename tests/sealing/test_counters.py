"""Counters of a protected store: the server adds nothing, and sees nothing."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from armature_cache import CounterError, SealedCodec
from armature_cache.envelope import Flag
from tests.sealing.vault import GONE, KEYS, Vault, undecodable

SEALS: dict[str, Any] = {
    "encrypted": SealedCodec(encrypt=KEYS, compress="lz4"),
    "signed": SealedCodec(sign=KEYS),
}
each_seal = pytest.mark.parametrize("codec", SEALS.values(), ids=SEALS)


@each_seal
async def test_counting(vault: Vault, codec: SealedCodec):
    cache = vault.open(codec)
    assert await cache.increment("n", 123_456_789, ttl=60) == 123_456_789
    assert await cache.increment("n", 1) == 123_456_790
    assert await cache.decrement("n", 90) == 123_456_700
    assert await cache.get("n") == 123_456_700
    assert 0 < await cache.ttl("n") <= 60
    stored = vault.stored("n")
    assert not stored.flags & Flag.COUNTER
    assert stored.flags & (Flag.ENCRYPTED | Flag.SIGNED)
    assert (b"123456700" in vault.raw("n")) is bool(stored.flags & Flag.SIGNED)
    await cache.set("m", 5)
    assert await cache.increment("m") == 6
    await cache.set("text", "5")
    with pytest.raises(CounterError):
        await cache.increment("text")
    with pytest.raises(CounterError):
        await cache.increment("n", 2**63 - 1)
    assert await cache.expire("n", 600)
    assert await cache.increment("n") == 123_456_701
    assert await cache.delete("n") is True
    assert await cache.increment("n") == 1
    assert undecodable(cache) == 0


@each_seal
async def test_counting_together(vault: Vault, codec: SealedCodec):
    caches = [vault.open(codec), vault.open(codec)]

    async def count(number: int) -> None:
        for _ in range(5):
            await caches[number % 2].increment("n")

    await caches[0].together([functools.partial(count, number) for number in range(6)])
    assert await caches[0].get("n", consistency="strong") == 30


async def test_a_counter_in_the_clear_is_not_believed(vault: Vault):
    plain, cache = vault.open(), vault.open(SEALS["encrypted"])
    await plain.increment("n", 41)
    assert await cache.get("n", GONE) == GONE
    assert await cache.increment("n") == 1
    assert await plain.get("n", GONE) == GONE
    assert await plain.increment("n") == 1


async def test_compression_alone_leaves_counters_to_the_server(vault: Vault):
    cache = vault.open(SealedCodec(compress="zstd"))
    assert await cache.increment("n", 41) == 41
    assert await vault.open().increment("n") == 42
    assert await cache.get("n") == 42
    assert vault.stored("n").flags & Flag.COUNTER
