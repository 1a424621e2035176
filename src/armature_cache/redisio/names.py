"""The names of a namespace's keys on the server."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from armature_cache.redisio.slots import BUCKETS, bucket_of

if TYPE_CHECKING:
    from armature_cache.config import CacheConfig


class Names:
    """What the keys of one namespace are called.

    The clock and its channel share a slot of a cluster, and so do a value, its indexes and their
    registry: they are in the bucket of the value's key. A single server has one bucket.
    """

    __slots__ = ("_namespace", "buckets", "channel", "clock", "clustered", "keys", "writers")

    def __init__(self, namespace: str, *, clustered: bool = False) -> None:
        self._namespace = namespace
        self.clustered = clustered
        self.buckets = BUCKETS if clustered else 1
        self.clock = f"{{{namespace}}}:c"
        self.keys = f"{{{namespace}}}:k"
        self.channel = f"{{{namespace}}}:p"
        self.writers = f"{{{namespace}}}:w"

    @classmethod
    def of(cls, config: CacheConfig) -> Names:
        """The names under a configuration."""
        return cls(config.namespace, clustered=config.address.topology == "cluster")

    def _bucket(self, key: str) -> str:
        number = bucket_of(key) if self.clustered else 0
        return f"{{{self._namespace}:{number}}}:"

    def value(self, key: str) -> str:
        """Where the value of a key is."""
        return f"{self._bucket(key)}v:{key}"

    def claim(self, key: str) -> str:
        """Where the claim of a key's load is."""
        return f"{self._bucket(key)}l:{key}"

    def of_value(self, key: str, tags: Sequence[str]) -> list[str | bytes | int]:
        """Where the value of a key, the registry and the indexes of its tags are."""
        bucket = self._bucket(key)
        return [f"{bucket}v:{key}", f"{bucket}T", *(f"{bucket}i:{tag}" for tag in tags)]

    def indexes(self, tag: str) -> list[str]:
        """Where the listing indexes of a tag are, one in each bucket."""
        return [f"{{{self._namespace}:{number}}}:i:{tag}" for number in range(self.buckets)]

    def registries(self) -> list[str]:
        """Where the registries of tags are, one in each bucket."""
        return [f"{{{self._namespace}:{number}}}:T" for number in range(self.buckets)]

    def pattern(self, prefix: str) -> str:
        """The glob pattern of the values whose keys begin with `prefix`."""
        bucket = "*" if self.clustered else "0"
        return f"{{{_escape(self._namespace)}:{bucket}}}:v:{_escape(prefix)}*"

    def key_of(self, name: bytes) -> bytes:
        """The key whose value has this name."""
        return name[name.index(b"}:v:") + 4 :]


def _escape(text: str) -> str:
    return re.sub(r"([*?\[\]\\^-])", r"\\\1", text)
