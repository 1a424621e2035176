"""What protects a payload at a server that others can write to: encryption, or a signature.

Both are bound to the place (namespace and key) and to all facts of the entry that stay as they
are while it is stored. What they add to an entry is its seal.
"""

from __future__ import annotations

import hmac
import os
from typing import TYPE_CHECKING, Final, Protocol

from armature_cache.codecs.keyring import KeyRing
from armature_cache.errors import ConfigError, UndecodablePayload

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_PRINT: Final = 16
_NONCE: Final = 12
_TAG: Final = 16
_LENGTH: Final = 4


class Protection(Protocol):
    """Protects payloads with the keys of a ring; safe to share between threads."""

    keys: KeyRing

    def close(
        self, place: bytes, facts: bytes, payload: bytes | memoryview, *, comparable: bool
    ) -> tuple[bytes, bytes | memoryview]:
        """The seal, and what is stored for the payload.

        With `comparable`, two seals of the same payload at one place can be seen to be alike.
        """
        ...

    def open(
        self,
        number: int,
        place: bytes,
        facts: bytes,
        seal: bytes | memoryview,
        stored: bytes | memoryview,
    ) -> bytes | memoryview:
        """The payload, if nothing was changed since it was closed with the secret `number`.

        Raises `UndecodablePayload` otherwise.
        """
        ...


class Encryption:
    """AES-256-GCM, which authenticates, too.

    The key of an entry is derived from the secret and the entry's place, so that the limit of
    2^32 random nonces (NIST SP 800-38D, 8.3) is one for each key of the cache. The seal is a print
    of 16 bytes and the nonce. The print is random, or, of a comparable payload, a keyed digest
    that tells who sees the server when a key gets the same value again.
    """

    size: Final = _PRINT + _NONCE

    def __init__(self, keys: KeyRing) -> None:
        self.keys = _checked(keys, "encrypt")
        self._cipher, self._invalid = _imported()

    def close(
        self, place: bytes, facts: bytes, payload: bytes | memoryview, *, comparable: bool
    ) -> tuple[bytes, bytes]:
        keys, number = self.keys, self.keys.active
        seal = os.urandom(self.size)
        if comparable:
            seal = self._print(place, payload) + seal[_PRINT:]
        cipher = self._cipher(keys.derived(number, b"aes-256-gcm", place))
        return seal, cipher.encrypt(seal[_PRINT:], payload, _bound(place, facts) + seal[:_PRINT])

    def _print(self, place: bytes, payload: bytes | memoryview) -> bytes:
        key = self.keys.derived(self.keys.active, b"print")
        print_ = hmac.new(key, _bound(place, b""), "sha256")
        print_.update(payload)
        return print_.digest()[:_PRINT]

    def open(
        self,
        number: int,
        place: bytes,
        facts: bytes,
        seal: bytes | memoryview,
        stored: bytes | memoryview,
    ) -> bytes:
        if number not in self.keys or len(seal) != self.size or len(stored) < _TAG:
            raise UndecodablePayload("not encrypted with a key of this process")
        cipher = self._cipher(self.keys.derived(number, b"aes-256-gcm", place))
        told = bytes(seal)
        try:
            return cipher.decrypt(told[_PRINT:], stored, _bound(place, facts) + told[:_PRINT])
        except (self._invalid, OverflowError):
            raise UndecodablePayload("its authentication failed") from None


class Signature:
    """HMAC-SHA-256 over place, facts and payload; compared in constant time. It hides nothing."""

    size: Final = 32

    def __init__(self, keys: KeyRing) -> None:
        self.keys = _checked(keys, "sign")
        self._begun = {
            number: hmac.new(keys.derived(number, b"hmac-sha-256"), digestmod="sha256")
            for number in keys
        }

    def close(
        self, place: bytes, facts: bytes, payload: bytes | memoryview, *, comparable: bool
    ) -> tuple[bytes, bytes | memoryview]:
        return self._digest(self.keys.active, _bound(place, facts), payload), payload

    def _digest(self, number: int, start: bytes, payload: bytes | memoryview) -> bytes:
        digest = self._begun[number].copy()
        digest.update(start)
        digest.update(payload)
        return digest.digest()

    def open(
        self,
        number: int,
        place: bytes,
        facts: bytes,
        seal: bytes | memoryview,
        stored: bytes | memoryview,
    ) -> bytes | memoryview:
        if number not in self.keys:
            raise UndecodablePayload("not signed with a key of this process")
        expected = self._digest(number, _bound(place, facts), stored)
        if not hmac.compare_digest(expected, bytes(seal)):
            raise UndecodablePayload("its signature is wrong")
        return stored


def _checked(keys: KeyRing, field: str) -> KeyRing:
    if not isinstance(keys, KeyRing):
        raise ConfigError(f"{field} takes a KeyRing, not {type(keys).__name__}", field=field)
    return keys


def _bound(place: bytes, facts: bytes) -> bytes:
    return len(place).to_bytes(_LENGTH, "big") + place + facts


def _imported() -> tuple[Callable[[bytes], AESGCM], type[Exception]]:
    try:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError:
        raise ConfigError(
            "encryption needs the package cryptography: pip install 'armature-cache[crypto]'",
            field="encrypt",
        ) from None
    return AESGCM, InvalidTag
