"""Stores whose payloads are sealed, beside an eye and a hand on the server."""

from __future__ import annotations

import dataclasses
from typing import Any

import redis

import armature_cache
import armature_cache.sync
from armature_cache import CacheConfig, KeyRing, envelope
from armature_cache._time import TimeSource, boottime
from armature_cache.envelope import Envelope
from tests.contract.faces import Face

OLD, NEW, FOREIGN = b"o" * 32, b"n" * 32, b"f" * 32
KEYS = KeyRing({1: OLD})
GONE = "gone"
TEXT = "a text that nobody is to read " * 200


class Vault:
    """Opens stores of one namespace on one server, in one face."""

    def __init__(self, url: str, namespace: str, face: str) -> None:
        self.url = url
        self.namespace = namespace
        self.face = face
        self.client = redis.Redis.from_url(url)
        self._stores: list[Face] = []

    def open(
        self,
        codec: Any = None,
        *,
        namespace: str | None = None,
        tagged: bool = False,
        time: TimeSource = boottime,
        **settings: Any,
    ) -> Face:
        """A store that knows of the others only through the server."""
        module = armature_cache.sync if self.face == "sync" else armature_cache
        settings = {"hints": False, "staleness_bound": 0.05, **settings}
        config = CacheConfig.redis(self.url, namespace=namespace or self.namespace, **settings)
        store: Any = module.RedisCache(config, codec=codec, time=time)
        made = Face(module.TaggedCache(store) if tagged else store)
        self._stores.append(made)
        return made

    def name(self, key: str, namespace: str | None = None) -> str:
        return f"{{{namespace or self.namespace}:0}}:v:{key}"

    def raw(self, key: str, namespace: str | None = None) -> bytes:
        raw = self.client.get(self.name(key, namespace))
        assert isinstance(raw, bytes)
        return raw

    def stored(self, key: str) -> Envelope:
        parsed = envelope.parse(key, self.raw(key))
        assert parsed is not None
        return parsed

    def plant(self, key: str, raw: bytes, namespace: str | None = None) -> None:
        self.client.set(self.name(key, namespace), raw, px=600_000)

    def forge(self, key: str, **changes: Any) -> None:
        """Change an entry as someone would who knows all but the secrets."""
        forged = dataclasses.replace(self.stored(key), **changes)
        self.plant(key, envelope.build(key, forged))

    async def close(self) -> None:
        for store in self._stores:
            await store.close()
        for name in self.client.scan_iter(f"{{{self.namespace}*"):
            self.client.unlink(name)
        self.client.close()


def undecodable(store: Face) -> int:
    count: int = store.stats().undecodable
    return count
