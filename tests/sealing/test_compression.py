"""Compression: when it is done, what it saves, where it runs, and what a bomb can do."""

from __future__ import annotations

import asyncio
import random
import sys
import threading
import tracemalloc
from typing import Any

import lz4.block
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from armature_cache import ConfigError, Lz4, SealedCodec, UndecodablePayload, ValueTooLarge, Zstd
from armature_cache.envelope import Flag
from armature_cache.stores.sealing import LARGE
from tests.sealing.vault import GONE, KEYS, TEXT, Vault, undecodable

pytestmark = pytest.mark.broad

KINDS: dict[str, Any] = {"zstd": Zstd, "lz4": Lz4}
each_kind = pytest.mark.parametrize("kind", KINDS)
MIB = 1024 * 1024


@each_kind
async def test_large_payloads_are_compressed_and_small_ones_are_not(vault: Vault, kind: str):
    cache = vault.open(SealedCodec(compress=KINDS[kind]()))
    noise = random.Random(1).randbytes(5000)
    values = {"small": "x" * 900, "large": TEXT, "noise": noise}
    await cache.set_many(values)
    assert await cache.get_many(values) == values
    flags = {key: vault.stored(key).flags & Flag.COMPRESSED for key in values}
    assert flags == {"small": 0, "large": Flag.COMPRESSED, "noise": 0}
    assert vault.stored("large").compression == KINDS[kind].code
    assert len(vault.raw("large")) < len(TEXT) / 10


async def test_thresholds_and_levels_are_the_users(vault: Vault):
    eager = vault.open(SealedCodec(compress=Zstd(19, threshold=10)))
    await eager.set("k", "x" * 100)
    assert vault.stored("k").compression == 1
    await vault.open(SealedCodec(compress=Lz4(9, threshold=10_000))).set("k", TEXT[:9000])
    assert vault.stored("k").compression == 0


async def test_other_compressors_can_still_be_read(vault: Vault):
    await vault.open(SealedCodec(compress="zstd")).set("z", TEXT)
    await vault.open(SealedCodec(compress="lz4")).set("l", TEXT)
    both = vault.open(SealedCodec(compress=Lz4(), reads=["zstd"]))
    neither = vault.open(SealedCodec())
    only = vault.open(SealedCodec(reads=[Zstd()]))
    for cache, expected in ((both, [TEXT, TEXT]), (neither, [GONE, GONE]), (only, [TEXT, GONE])):
        assert [await cache.get("z", GONE), await cache.get("l", GONE)] == expected
    await only.set("k", TEXT)
    assert vault.stored("k").compression == 0


class Upper:
    """A compressor of a user's own: it says where it ran."""

    code = 200
    name = "upper"
    threshold = 10

    def __init__(self) -> None:
        self.threads: list[int] = []
        self._inner = Lz4()

    def compress(self, payload: Any) -> bytes:
        self.threads.append(threading.get_ident())
        return self._inner.compress(payload)

    def size(self, packed: Any) -> int:
        return self._inner.size(packed)

    def decompress(self, packed: Any, limit: int) -> bytes:
        self.threads.append(threading.get_ident())
        return self._inner.decompress(packed, limit)


@pytest.mark.parametrize("seal", [{}, {"encrypt": KEYS}, {"sign": KEYS}], ids=str)
async def test_large_ones_leave_the_event_loop(vault: Vault, seal: dict[str, Any]):
    own = Upper()
    cache = vault.open(SealedCodec(compress=own, **seal))
    here = threading.get_ident()
    await cache.set("small", TEXT)
    assert await cache.get("small") == TEXT
    assert own.threads == [here, here]
    del own.threads[:]
    huge = "x" * (2 * LARGE)
    await cache.set("huge", huge)
    assert len(vault.stored("huge").payload) < LARGE / 10
    assert await cache.get("huge") == huge
    assert len(own.threads) == 2
    assert all((thread == here) is (vault.face == "sync") for thread in own.threads)
    del own.threads[:]
    many = {str(number): f"{number}" * LARGE for number in range(3)}
    await cache.set_many(many)
    assert await cache.get_many(many) == many
    assert (here in own.threads) is (vault.face == "sync")


async def test_a_reader_who_leaves_does_not_disturb_others(vault: Vault):
    if vault.face == "sync":
        return
    cache = vault.open(SealedCodec(compress="zstd"))
    values = {str(number): str(number) * LARGE for number in range(8)}
    await cache.set_many(values)

    async def read(key: str) -> object:
        return await cache.get(key)

    tasks = [asyncio.get_running_loop().create_task(read(key)) for key in values]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert outcomes[1::2] == [values[str(number)] for number in range(1, 8, 2)]
    assert await cache.get_many(values) == values


async def test_limits_hold_before_and_after(vault: Vault):
    roomy = vault.open(SealedCodec(compress="zstd", encrypt=KEYS))
    narrow = vault.open(SealedCodec(compress="zstd", encrypt=KEYS), max_value_bytes=1000)
    await roomy.set("k", "x" * 5000)
    assert len(vault.raw("k")) < 500
    assert await narrow.get("k", GONE) == GONE
    assert undecodable(narrow) == 1
    with pytest.raises(ValueTooLarge) as caught:
        await narrow.set("k", "x" * 5000)
    assert (caught.value.size, caught.value.limit) == (5003, 1000)
    await narrow.set("k", "x" * 900)
    assert await narrow.get("k") == "x" * 900


@pytest.mark.parametrize("codec", [None, SealedCodec(sign=KEYS)], ids=["plain", "signed"])
async def test_the_limit_holds_for_what_is_read_without_compression(vault: Vault, codec: Any):
    await vault.open(codec).set("k", "x" * 1200)
    narrow = vault.open(codec, max_value_bytes=1000)
    assert await narrow.get("k", GONE) == GONE
    assert undecodable(narrow) == 1


# -- bombs -----------------------------------------------------------------------------------


def zstd_telling(size: int, payload: bytes) -> bytes:
    """A frame of one raw block that tells another size than it has."""
    head = (0xFD2FB528).to_bytes(4, "little") + b"\xe0" + size.to_bytes(8, "little")
    return head + (1 | len(payload) << 3).to_bytes(3, "little") + payload


def zstd_running(size: int, blocks: int) -> bytes:
    """A frame of blocks that are one byte 128 KiB long each: much more than it tells."""
    head = (0xFD2FB528).to_bytes(4, "little") + b"\xa0" + size.to_bytes(4, "little")
    long = 128 * 1024 << 3 | 2
    body = (long.to_bytes(3, "little") + b"x") * (blocks - 1)
    return head + body + (long | 1).to_bytes(3, "little") + b"x"


def zstd_of_window(log: int, size: int) -> bytes:
    """A frame, not finished, that asks for a window of 2 ** log bytes."""
    head = (0xFD2FB528).to_bytes(4, "little") + b"\x80" + bytes([(log - 10) << 3])
    return head + size.to_bytes(4, "little") + (100 << 3).to_bytes(3, "little") + b"x" * 50


SILENT = zstandard.ZstdCompressor(write_content_size=False)
GENUINE = zstandard.ZstdCompressor().compress(b"y" * MIB)
BOMBS: dict[str, tuple[str, bytes]] = {
    "zstd, honest": ("zstd", zstandard.ZstdCompressor().compress(bytes(64 * MIB))),
    "zstd, tells too much": ("zstd", zstd_telling(2**60, b"x" * 100)),
    "zstd, tells the limit": ("zstd", zstd_telling(MIB, b"x" * 100)),
    "zstd, tells too little": ("zstd", zstd_running(1000, 2000)),
    "zstd, wide window": ("zstd", zstd_of_window(27, 1000)),
    "zstd, cut": ("zstd", GENUINE[:-1]),
    "zstd, goes on": ("zstd", GENUINE + b"x"),
    "zstd, two frames": ("zstd", GENUINE * 2),
    "zstd, tells nothing": ("zstd", SILENT.compress(TEXT.encode())),
    "zstd, skippable": ("zstd", b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd"),
    "lz4, honest": ("lz4", lz4.block.compress(bytes(64 * MIB))),
    "lz4, tells too much": ("lz4", b"\xff\xff\xff\x7f" + b"x" * 100),
    "lz4, tells the limit": ("lz4", MIB.to_bytes(4, "little") + b"x" * 100),
    "lz4, tells too little": ("lz4", b"\x09\0\0\0" + lz4.block.compress(bytes(MIB))[4:]),
    "lz4, a size below zero": ("lz4", b"\xff\xff\xff\xff" + b"\x1fx" + b"\xff" * (17 * MIB)),
    "lz4, nothing": ("lz4", b""),
}  # fmt: skip


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_never_takes_more_than_the_limit(bomb: str):
    kind, packed = BOMBS[bomb]
    compressor = KINDS[kind]()
    tracemalloc.start()
    try:
        with pytest.raises(UndecodablePayload):
            compressor.decompress(packed, MIB)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1.1 * MIB


def test_lz4_takes_nothing_for_more_than_its_best_ratio():
    tracemalloc.start()
    try:
        with pytest.raises(UndecodablePayload):
            Lz4().decompress((32 * MIB).to_bytes(4, "little") + b"x" * 100, 64 * MIB)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100_000


@pytest.mark.parametrize("bomb", BOMBS)
async def test_a_planted_bomb_is_a_miss(vault: Vault, bomb: str):
    kind, packed = BOMBS[bomb]
    cache = vault.open(SealedCodec(compress=kind), max_value_bytes=MIB)  # type: ignore[arg-type]
    await cache.set("k", "x")
    vault.forge("k", payload=packed, flags=Flag.COMPRESSED, compression=KINDS[kind].code)
    assert await cache.get("k", GONE) == GONE
    assert undecodable(cache) == 1


@given(st.sampled_from(sorted(KINDS)), st.binary(max_size=300))
def test_any_bytes(kind: str, packed: bytes):
    compressor = KINDS[kind]()
    try:
        assert len(compressor.decompress(packed, MIB)) == compressor.size(packed) <= MIB
    except UndecodablePayload:
        return


@given(st.sampled_from(sorted(KINDS)), st.binary(min_size=1, max_size=300), st.integers(1, 50))
def test_all_bytes_come_back(kind: str, part: bytes, times: int):
    compressor = KINDS[kind]()
    for payload in (part * times, memoryview(part * times)):
        packed = compressor.compress(payload)
        assert compressor.size(packed) == len(payload)
        assert compressor.decompress(memoryview(packed), len(payload)) == bytes(payload)
        with pytest.raises(UndecodablePayload):
            compressor.decompress(packed, len(payload) - 1)


@each_kind
def test_a_compressor_serves_many_threads(kind: str):
    compressor = KINDS[kind]()
    payloads = [f"{number} ".encode() * 20_000 for number in range(8)]
    wrong: list[int] = []

    def work(number: int) -> None:
        for _ in range(20):
            packed = compressor.compress(payloads[number])
            if compressor.decompress(packed, MIB) != payloads[number]:
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# -- settings --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: Zstd(23), "level"),
        (lambda: Zstd(True), "level"),
        (lambda: Zstd("3"), "level"),  # type: ignore[arg-type]
        (lambda: Lz4(-1), "level"),
        (lambda: Lz4(threshold=0), "threshold"),
        (lambda: Zstd(threshold=1.5), "threshold"),  # type: ignore[arg-type]
        (lambda: SealedCodec(compress="gzip"), "compress"),  # type: ignore[arg-type]
        (lambda: SealedCodec(compress=Zstd), "compress"),  # type: ignore[arg-type]
        (lambda: SealedCodec(compress=3), "compress"),  # type: ignore[arg-type]
        (lambda: SealedCodec(reads=[object()]), "reads"),  # type: ignore[list-item]
        (lambda: SealedCodec(SealedCodec()), "codec"),  # type: ignore[arg-type]
        (lambda: SealedCodec(encrypt=KEYS, sign=KEYS), "sign"),
        (lambda: SealedCodec(encrypt=b"k" * 32), "encrypt"),  # type: ignore[arg-type]
        (lambda: SealedCodec(sign="secret"), "sign"),  # type: ignore[arg-type]
    ],
    ids=range(14),
)
def test_wrong_settings_name_the_field(make: Any, field: str):
    with pytest.raises(ConfigError) as caught:
        make()
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("package", "make", "extra"),
    [
        ("zstandard", lambda: SealedCodec(compress="zstd"), "zstd"),
        ("lz4.block", lambda: SealedCodec(compress="lz4"), "lz4"),
        (
            "cryptography.hazmat.primitives.ciphers.aead",
            lambda: SealedCodec(encrypt=KEYS),
            "crypto",
        ),
    ],
    ids=["zstd", "lz4", "crypto"],
)
def test_a_missing_package_is_named(
    monkeypatch: pytest.MonkeyPatch, package: str, make: Any, extra: str
):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=rf"armature-cache\[{extra}\]"):
        make()
