"""What the items of a namespace are called on Memcached, and which server has them."""

from __future__ import annotations

import hashlib
import re
from typing import Final, NamedTuple

from armature_cache.memcachedio.ring import Ring
from armature_cache.memcachedio.wire import LONGEST_NAME

RUN: Final = b"armature:run"
"""The item by which a run of a server is known; each server has its own."""
_PLAIN: Final = re.compile(rb"[!-~]+")
_LONGEST_NAMESPACE: Final = 100
_DIGEST: Final = 20


class Place(NamedTuple):
    """An item: which server has it, and its name there."""

    node: int
    name: bytes


class Names:
    """The names of one namespace.

    A name that Memcached would refuse (too long, or with blanks, control characters or bytes
    beyond ASCII) is hashed, under a letter of its own so that it is nobody else's. The value then
    says which key it belongs to. Everything that the clock needs is on one server, `home`.
    """

    def __init__(self, namespace: str, ring: Ring) -> None:
        raw = namespace.encode()
        plain = (
            _PLAIN.fullmatch(raw) and not raw.startswith(b"~") and len(raw) <= _LONGEST_NAMESPACE
        )
        self._root = b"{%b}:" % (raw if plain else b"~" + _hashed(raw))
        self._ring = ring
        self.home = ring.owner(self._root)
        self.change = Place(self.home, self._root + b"g")
        self.bound = Place(self.home, self._root + b"b")
        self._values, self._others = self._root + b"v:", self._root + b"h:"

    def value(self, key: str) -> Place:
        """The item of a key's value."""
        name = self._of_key(key, self._values, self._others)
        return Place(self._ring.owner(name), name)

    def claim(self, key: str) -> Place:
        """The item that says who loads a key, on the server of its value."""
        node = self.value(key).node
        return Place(node, self._of_key(key, self._root + b"l:", self._root + b"m:"))

    def tag(self, tag: str) -> Place:
        """The item of a tag's nonces; '' is the root of the namespace."""
        return Place(self.home, self._root + b"t:" + _hashed(tag.encode()))

    def is_value(self, name: bytes, prefix: str) -> bool:
        """Whether an item may be the value of a key that begins like this: its name says so."""
        if name.startswith(self._others):
            return True
        return name.startswith(self._values + prefix.encode())

    def key_of(self, name: bytes) -> str | None:
        """The key in the name of a value's item; None where it is hashed."""
        return name[len(self._values) :].decode() if name.startswith(self._values) else None

    def is_hashed(self, name: bytes) -> bool:
        """Whether the name of a value's item does not say its key."""
        return name.startswith(self._others)

    def _of_key(self, key: str, plain: bytes, hashed: bytes) -> bytes:
        raw = key.encode()
        if len(plain) + len(raw) <= LONGEST_NAME and _PLAIN.fullmatch(raw):
            return plain + raw
        return hashed + _hashed(raw)


def _hashed(raw: bytes) -> bytes:
    return hashlib.blake2b(raw, digest_size=_DIGEST).hexdigest().encode()
