"""A set after a miss under a seal: those who missed at once agree, as they do without one."""

from __future__ import annotations

import asyncio
import functools
import threading
from typing import Any

import pytest

from armature_cache import SealedCodec
from tests.contract.faces import DEADLINE, Face
from tests.sealing.vault import GONE, KEYS, TEXT, Vault

CODECS: dict[str, Any] = {
    "plain": None,
    "compressed": SealedCodec(compress="zstd"),
    "signed": SealedCodec(sign=KEYS, compress="lz4"),
    "encrypted": SealedCodec(encrypt=KEYS),
}
each_codec = pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)


class Meeting:
    """Lets two who have both missed go on together."""

    def __init__(self, face: Face) -> None:
        self._face = face
        self._threads = threading.Barrier(2)
        self._tasks = asyncio.Barrier(2)

    async def wait(self) -> None:
        if self._face.awaited:
            await self._tasks.wait()
        else:
            self._threads.wait(DEADLINE)


async def miss_and_set(caches: list[Face], *sets: tuple[str, list[str]]) -> None:
    meeting = Meeting(caches[0])

    async def one(cache: Face, value: str, tags: list[str]) -> None:
        assert await cache.get("k", GONE) == GONE
        await meeting.wait()
        await cache.set("k", value, tags=tags)

    pairs = zip(caches, sets, strict=True)
    await caches[0].together([functools.partial(one, cache, *pair) for cache, pair in pairs])


@each_codec
@pytest.mark.parametrize("tags", [[], ["a", "b" * 300]], ids=["untagged", "tagged"])
async def test_the_same_value_stays_and_another_leaves_nothing(
    vault: Vault, codec: Any, tags: list[str]
):
    caches = [vault.open(codec, tagged=True) for _ in range(2)]
    await miss_and_set(caches, (TEXT, tags), (TEXT, tags))
    for cache in caches:
        assert await cache.get("k", GONE, consistency="strong") == TEXT
    assert sum(cache.stats().refused for cache in caches) == 0
    await caches[0].delete("k")
    await miss_and_set(caches, (TEXT, tags), (TEXT[:-1] + "!", tags))
    assert await caches[0].get("k", GONE, consistency="strong") == GONE
    assert sum(cache.stats().refused for cache in caches) == 1


@each_codec
async def test_the_same_value_under_other_tags_leaves_nothing(vault: Vault, codec: Any):
    caches = [vault.open(codec, tagged=True) for _ in range(2)]
    await miss_and_set(caches, (TEXT, ["a"]), (TEXT, ["b"]))
    assert await caches[0].get("k", GONE, consistency="strong") == GONE
