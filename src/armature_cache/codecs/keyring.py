"""Secrets for encryption and signatures: one that writes, and older ones that still read."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Iterator, Mapping
from typing import Final, Self

from armature_cache.errors import ConfigError

MIN_SECRET: Final = 32
_MOST_KEYS: Final = 65_535
_SALT: Final = b"armature-cache"


class KeyRing:
    """Secrets by number: the active one writes, each of them reads.

    A number, from 1 to 65535, stands in the entries that were written with its secret, and is not
    secret itself. A secret has at least 32 random bytes, as `secrets.token_bytes(32)` makes them.
    `active` may be left out where there is one secret only.

    To rotate, add the new secret in every process, then make it active, then remove the old one
    when the longest lifetime is over. What was written with a secret that is not here is a miss.

    The keys that are used are derived from the secrets by HKDF-SHA-256 (RFC 5869), one for each
    purpose, so that one ring may serve for encryption and signatures. Raises `ConfigError`.
    """

    __slots__ = ("_roots", "active")

    def __init__(self, secrets: Mapping[int, bytes], *, active: int | None = None) -> None:
        if not isinstance(secrets, Mapping) or not secrets:
            raise _wrong("takes a mapping of numbers to secrets: KeyRing({1: secret})")
        for number, secret in secrets.items():
            _check(number, secret)
        if active is None:
            if len(secrets) > 1:
                raise _wrong("has several secrets; say which one writes: active=number")
            active = next(iter(secrets))
        if active not in secrets or isinstance(active, bool):
            raise _wrong(f"has no secret with the active number {active!r}")
        self.active: Final = active
        self._roots = {
            number: hmac.digest(_SALT, bytes(secret), "sha256")
            for number, secret in secrets.items()
        }

    @classmethod
    def parse(cls, text: str) -> Self:
        """The ring in a text such as an environment variable: `2:<base64>,1:<base64>`.

        The first one is active. Raises `ConfigError`, which never shows a secret.
        """
        secrets: dict[int, bytes] = {}
        for part in text.split(","):
            number, _, encoded = part.strip().partition(":")
            if not number.isascii() or not number.isdigit() or int(number) in secrets:
                raise _wrong("is read from a text of different numbers: 2:<base64>,1:<base64>")
            try:
                secrets[int(number)] = base64.b64decode(
                    encoded.translate({45: "+", 95: "/"}), validate=True
                )
            except (binascii.Error, ValueError):
                raise _wrong(f"cannot read secret {int(number)}: it is not base64") from None
        return cls(secrets, active=next(iter(secrets)))

    def __iter__(self) -> Iterator[int]:
        return iter(self._roots)

    def __contains__(self, number: int) -> bool:
        return number in self._roots

    def derived(self, number: int, purpose: bytes, context: bytes = b"") -> bytes:
        """The 32 bytes that belong to a secret, a purpose and a context."""
        return hmac.digest(self._roots[number], purpose + b"\0" + context + b"\x01", "sha256")

    def __repr__(self) -> str:
        return f"<KeyRing of {sorted(self._roots)}, {self.active} is active>"


def _check(number: object, secret: object) -> None:
    whole = isinstance(number, int) and not isinstance(number, bool)
    if not isinstance(number, int) or not whole or not 0 < number <= _MOST_KEYS:
        raise _wrong(f"numbers its secrets from 1 to {_MOST_KEYS}, not {number!r:.40}")
    if not isinstance(secret, bytes | bytearray | memoryview) or len(secret) < MIN_SECRET:
        raise _wrong(
            f"needs at least {MIN_SECRET} random bytes as secret {number}: secrets.token_bytes(32)"
        )


def _wrong(what: str) -> ConfigError:
    return ConfigError(f"a KeyRing {what}", field="keys")
