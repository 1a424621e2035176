"""Whoever can write to the server can delete, and bring back what was there; nothing else."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import pytest

from armature_cache import KeyRing, SealedCodec, envelope
from armature_cache._runtime.blocking import BLOCKING
from armature_cache._runtime.ready import run_ready
from armature_cache._time import boottime
from armature_cache.envelope import Envelope, Flag
from armature_cache.stores.sealing import Addressed, Sealing
from armature_cache.testing import FakeTime
from tests.sealing.vault import FOREIGN, GONE, KEYS, NEW, OLD, TEXT, Vault, undecodable

pytestmark = pytest.mark.broad

SEALS: dict[str, dict[str, Any]] = {
    "encrypted": {"encrypt": KEYS},
    "signed": {"sign": KEYS},
    "encrypted-zstd": {"encrypt": KEYS, "compress": "zstd"},
    "signed-lz4": {"sign": KEYS, "compress": "lz4"},
}
each_seal = pytest.mark.parametrize("seal", SEALS.values(), ids=SEALS)


@each_seal
async def test_each_byte_counts(vault: Vault, seal: dict[str, Any]):
    cache = vault.open(SealedCodec(**seal), tagged=True)
    await cache.set("k", {"text": "short", "more": [1, 2, 3]}, tags=["a"])
    raw = vault.raw("k")
    assert await cache.get("k") == {"text": "short", "more": [1, 2, 3]}
    before = undecodable(cache)
    for at in (*range(24), *range(24, len(raw), 3)):
        changed = bytearray(raw)
        changed[at] ^= 1 << (at % 8)
        vault.plant("k", bytes(changed))
        assert await cache.get("k", GONE) == GONE, at
    assert undecodable(cache) - before == len((*range(24), *range(24, len(raw), 3)))
    vault.plant("k", raw)
    assert await cache.get("k") == {"text": "short", "more": [1, 2, 3]}


CHANGES: dict[str, Any] = {
    "created": lambda stored: stored.created - 1,
    "fresh_until": lambda stored: stored.fresh_until + 1,
    "dead_at": lambda stored: stored.dead_at + 3_600_000,
    "cost": lambda stored: stored.cost + 1,
    "codec": lambda stored: 2,
    "type_id": lambda stored: 77,
    "tags": lambda stored: ("b",),
    "flags": lambda stored: stored.flags ^ Flag.NO_EXPIRY,
    "key_id": lambda stored: 2,
    "seal": lambda stored: bytes(len(stored.seal)),
    "payload": lambda stored: bytes(stored.payload[:-1]) + bytes([stored.payload[-1] ^ 1]),
}


@each_seal
@pytest.mark.parametrize("field", CHANGES)
async def test_each_fact_is_bound_though_the_checksum_is_right(
    vault: Vault, seal: dict[str, Any], field: str
):
    cache = vault.open(SealedCodec(**seal), tagged=True)
    await cache.set("k", TEXT, ttl=60, tags=["a"])
    vault.forge("k")
    assert await cache.get("k") == TEXT
    vault.forge("k", **{field: CHANGES[field](vault.stored("k"))})
    assert await cache.get("k", GONE) == GONE
    assert undecodable(cache) == 1


@each_seal
async def test_the_stamp_is_the_servers_own(vault: Vault, seal: dict[str, Any]):
    cache = vault.open(SealedCodec(**seal))
    await cache.set("k", TEXT)
    stored = vault.stored("k")
    assert stored.asof > 0
    vault.forge("k", asof=stored.asof + 1)
    assert await cache.get("k") == TEXT


@each_seal
async def test_entries_cannot_be_swapped(vault: Vault, seal: dict[str, Any]):
    codec = SealedCodec(**seal)
    cache = vault.open(codec)
    other = f"{vault.namespace}x"
    elsewhere = vault.open(codec, namespace=other)
    await cache.set_many({"a": "mine", "b": "yours"})
    mine = vault.stored("a")
    moved = dataclasses.replace(mine, asof=vault.stored("b").asof)
    vault.plant("b", envelope.build("b", moved))
    assert await cache.get("b", GONE) == GONE
    await elsewhere.set("a", "theirs")
    stamp = envelope.read_stamp(vault.raw("a", other))
    assert stamp is not None
    epoch, asof = stamp
    foreign = dataclasses.replace(mine, epoch=epoch, asof=asof)
    vault.plant("a", envelope.build("a", foreign), other)
    assert await elsewhere.get("a", GONE) == GONE
    assert (undecodable(cache), undecodable(elsewhere)) == (1, 1)


async def test_a_part_is_a_place_of_its_own(vault: Vault):
    cache = vault.open(SealedCodec(encrypt=KEYS))
    part = cache.namespace("part")
    await cache.set("k", "whole")
    await part.set("k", "part")
    assert (await cache.get("k"), await part.get("k")) == ("whole", "part")
    inner = dataclasses.replace(vault.stored("part\0k"), asof=vault.stored("k").asof)
    vault.plant("k", envelope.build("k", inner))
    assert await cache.get("k", GONE) == GONE
    assert undecodable(cache) == 1


OTHERS: dict[str, Any] = {
    "plain": None,
    "encrypted": SealedCodec(encrypt=KEYS),
    "signed": SealedCodec(sign=KEYS),
    "zstd": SealedCodec(compress="zstd"),
    "lz4": SealedCodec(compress="lz4"),
    "encrypted with another secret": SealedCodec(encrypt=KeyRing({1: FOREIGN})),
    "signed with another secret": SealedCodec(sign=KeyRing({1: FOREIGN})),
    "encrypted with another number": SealedCodec(encrypt=KeyRing({2: OLD})),
    "signed with another number": SealedCodec(sign=KeyRing({2: OLD})),
}


@pytest.mark.parametrize("reader", OTHERS)
async def test_what_is_read_is_decided_by_the_reader(vault: Vault, reader: str):
    cache = vault.open(OTHERS[reader])
    seen = 0
    for writer, codec in OTHERS.items():
        await vault.open(codec).set(writer, TEXT)
        readable = writer in {reader, *(["plain"] if reader in {"zstd", "lz4"} else [])}
        assert await cache.get(writer, GONE) == (TEXT if readable else GONE), writer
        seen += not readable
    assert undecodable(cache) == seen


@pytest.mark.parametrize("reader", ["encrypted", "signed"])
@pytest.mark.parametrize(
    "lie",
    [
        {"flags": 0, "key_id": 0, "seal": b""},
        {"flags": Flag.COUNTER, "key_id": 0, "seal": b"", "codec": 255, "payload": b"1"},
        {"flags": Flag.ENCRYPTED, "key_id": 0},
        {"flags": Flag.ENCRYPTED | Flag.SIGNED},
        {"flags": Flag.SIGNED, "seal": bytes(32)},
        {"flags": Flag.ENCRYPTED, "seal": bytes(28), "payload": b""},
        {"flags": 128, "key_id": 0, "seal": b""},
        {"compression": 1},
    ],
    ids=range(8),
)
async def test_no_entry_talks_its_reader_into_less(vault: Vault, reader: str, lie: dict[str, Any]):
    cache = vault.open(OTHERS[reader])
    await vault.open().set("k", "attacker")
    vault.forge("k", **{"flags": 0, **lie})
    assert await cache.get("k", GONE) == GONE
    await cache.set("l", "mine")
    vault.forge("l", **lie)
    assert await cache.get("l", GONE) == GONE
    assert await cache.get("l", GONE, type=str) == GONE
    assert undecodable(cache) == 3


async def test_rotation(vault: Vault):
    first = SealedCodec(encrypt=KeyRing({1: OLD}))
    ready = SealedCodec(encrypt=KeyRing({1: OLD, 2: NEW}, active=1))
    turned = SealedCodec(encrypt=KeyRing({1: OLD, 2: NEW}, active=2))
    last = SealedCodec(encrypt=KeyRing({2: NEW}))
    steps = [first, ready, turned, last]
    for at, codec in enumerate(steps):
        await vault.open(codec).set(str(at), at)
    assert [vault.stored(str(at)).key_id for at in range(4)] == [1, 1, 2, 2]
    table = []
    for codec in steps:
        cache = vault.open(codec)
        table.append([await cache.get(str(at), GONE) for at in range(4)])
    assert table == [
        [0, 1, GONE, GONE],
        [0, 1, 2, 3],
        [0, 1, 2, 3],
        [GONE, GONE, 2, 3],
    ]


async def test_what_cannot_be_read_is_as_good_as_absent(vault: Vault):
    cache = vault.open(SealedCodec(sign=KEYS))
    await vault.open(SealedCodec(sign=KeyRing({9: NEW}))).set("k", 1)
    assert await cache.exists("k") is False
    assert await cache.ttl("k") is None
    assert await cache.expire("k", 60) is False
    assert await cache.add("k", 2) is True
    assert await cache.get("k") == 2
    stored = vault.stored("k")
    vault.plant("k", envelope.build("k", dataclasses.replace(stored, payload=os.urandom(9))))
    assert await cache.expire("k", 60) is False
    assert await cache.add("k", 3) is True


async def test_a_new_lifetime_is_sealed_anew(vault: Vault):
    cache = vault.open(SealedCodec(encrypt=KEYS, compress="zstd"), tagged=True)
    await cache.set("k", TEXT, ttl=60, tags=["a", "b"])
    before = vault.stored("k")
    assert await cache.expire("k", 3000)
    after = vault.stored("k")
    assert after.dead_at > before.dead_at
    assert bytes(after.payload) != bytes(before.payload)
    assert await cache.get("k") == TEXT
    assert await cache.get_tags_for_key("k") == ["a", "b"]
    assert undecodable(cache) == 0


@each_seal
async def test_an_entry_is_not_revived_after_its_end(vault: Vault, seal: dict[str, Any]):
    """The server drops it in time; who can write to the server can bring it back."""
    codec = SealedCodec(**seal)
    # Its time stands still: else one that ends while it is looked at would be a plain miss.
    cache = vault.open(codec, time=FakeTime(boottime()))
    await cache.set("k", "value", ttl=60)
    stored = vault.stored("k")
    store = Sealing(codec, namespace=vault.namespace, limit=10_000, runtime=BLOCKING)
    for late, expected in ((-60_000, "value"), (0, "value"), (6000, GONE), (10**9, GONE)):
        seconds, micros = vault.client.time()
        dead_at = seconds * 1000 + micros // 1000 - late
        payload = codec.codec.encode("value").payload
        old = Envelope(
            stored.asof, stored.epoch, codec=codec.codec.code, created=dead_at - 60_000,
            fresh_until=dead_at, dead_at=dead_at, payload=payload,
        )  # fmt: skip
        (closed,) = run_ready(store.close([Addressed("k", old)]))
        vault.plant("k", closed.stamped(*stored.stamp[::-1]))
        assert await cache.get("k", GONE) == expected, late
    assert undecodable(cache) == 2


async def test_an_older_value_of_the_same_key_is_dead_once_it_was_replaced(vault: Vault):
    """Who can write can bring a ciphertext back; its stamp tells that it is an old one."""
    cache = vault.open(SealedCodec(encrypt=KEYS))
    await cache.set("k", "old")
    raw = vault.raw("k")
    await cache.set("k", "new")
    vault.plant("k", raw)
    assert await cache.get("k", GONE) == GONE
    stamped = envelope.parse("k", raw)
    assert stamped is not None
    vault.plant("k", envelope.build("k", dataclasses.replace(stamped, asof=stamped.asof + 10**9)))
    assert await cache.get("k", GONE) == "old"  # whoever forges the stamp, too, brings it back
