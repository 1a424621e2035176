"""Key rings: what they take, what they give, and what they never show."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from armature_cache import ConfigError, KeyRing, SealedCodec
from armature_cache.codecs.protection import Encryption, Signature

SECRET = bytes(range(32))


def test_the_active_secret_writes():
    assert KeyRing({5: SECRET}).active == 5
    ring = KeyRing({1: SECRET, 2: SECRET[::-1]}, active=2)
    assert (ring.active, 1 in ring, 2 in ring, 3 in ring) == (2, True, True, False)


@pytest.mark.parametrize(
    ("secrets", "active"),
    [
        ({}, None),
        ({1: SECRET, 2: SECRET}, None),
        ({1: SECRET}, 2),
        ({1: SECRET}, True),
        ({0: SECRET}, None),
        ({65_536: SECRET}, None),
        ({True: SECRET}, None),
        ({"1": SECRET}, None),
        ({1: SECRET[1:]}, None),
        ({1: "k" * 32}, None),
        ({1: None}, None),
        ([SECRET], None),
    ],
    ids=range(12),
)
def test_what_is_no_ring_is_refused(secrets: Any, active: Any):
    with pytest.raises(ConfigError) as caught:
        KeyRing(secrets, active=active)
    assert caught.value.field == "keys"
    assert repr(SECRET)[2:-1] not in str(caught.value)


def test_a_ring_from_the_environment():
    encoded = base64.b64encode(SECRET).decode()
    safe = base64.urlsafe_b64encode(b"\xff\xfe" * 16).decode()
    ring = KeyRing.parse(f" 12:{safe} , 3:{encoded}")
    assert (ring.active, 3 in ring, 12 in ring) == (12, True, True)
    assert ring.derived(3, b"p") == KeyRing({3: SECRET}).derived(3, b"p")
    assert ring.derived(12, b"p") == KeyRing({3: b"\xff\xfe" * 16}).derived(3, b"p")


@pytest.mark.parametrize(
    "text", ["", "1", "1:", "1:c2hvcnQ=", "x:{}", "1:{},1:{}", "1:{}!", "1:{},", "-1:{}", "²:{}"]
)
def test_a_text_that_is_no_ring_is_refused_without_showing_it(text: str):
    encoded = base64.b64encode(SECRET).decode()
    with pytest.raises(ConfigError) as caught:
        KeyRing.parse(text.format(encoded, encoded))
    assert encoded not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_secrets_are_not_shown():
    ring = KeyRing({1: SECRET, 2: b"another secret, another secret!!"}, active=2)
    codec = SealedCodec(encrypt=ring)
    for thing in (ring, codec, codec.seal, codec.seal.protection):
        assert "secret" not in repr(thing)
        assert str(SECRET)[2:20] not in repr(thing)
    assert repr(ring) == "<KeyRing of [1, 2], 2 is active>"


def hkdf(secret: bytes, info: bytes) -> bytes:
    root = hmac.new(b"armature-cache", secret, hashlib.sha256).digest()
    return hmac.new(root, info + b"\x01", hashlib.sha256).digest()


def test_keys_are_derived_by_purpose_and_context():
    ring = KeyRing({1: SECRET})
    assert ring.derived(1, b"hmac-sha-256") == hkdf(SECRET, b"hmac-sha-256\0")
    assert ring.derived(1, b"aes-256-gcm", b"ns\0k") == hkdf(SECRET, b"aes-256-gcm\0ns\0k")


def test_a_signature_is_plain_hmac():
    protection = Signature(KeyRing({1: SECRET}))
    seal, stored = protection.close(b"ns\0k", b"facts", b"payload", comparable=False)
    key = hkdf(SECRET, b"hmac-sha-256\0")
    expected = hmac.new(key, b"\0\0\0\x04ns\0kfactspayload", hashlib.sha256).digest()
    assert (seal, stored) == (expected, b"payload")
    assert protection.open(1, b"ns\0k", b"facts", seal, stored) == b"payload"


def test_an_encryption_is_plain_aes_gcm():
    protection = Encryption(KeyRing({1: SECRET}))
    seal, stored = protection.close(b"ns\0k", b"facts", b"payload", comparable=False)
    cipher = AESGCM(hkdf(SECRET, b"aes-256-gcm\0ns\0k"))
    bound = b"\0\0\0\x04ns\0kfacts" + seal[:16]
    assert cipher.decrypt(seal[16:], bytes(stored), bound) == b"payload"
    assert protection.open(1, b"ns\0k", b"facts", seal, stored) == b"payload"


def test_nothing_repeats_but_the_print_of_what_is_to_be_compared():
    protection = Encryption(KeyRing({1: SECRET}))

    def seals(payload: bytes, place: bytes, *, comparable: bool) -> list[bytes]:
        return [
            protection.close(place, b"facts", payload, comparable=comparable)[0] for _ in range(50)
        ]

    once = seals(b"a", b"p", comparable=False)
    assert len({seal[:16] for seal in once}) == len({seal[16:] for seal in once}) == 50
    alike = seals(b"a", b"p", comparable=True)
    assert len({seal[:16] for seal in alike}) == 1
    assert len({seal[16:] for seal in alike}) == 50
    others = [seals(b"b", b"p", comparable=True)[0], seals(b"a", b"q", comparable=True)[0]]
    assert len({seal[:16] for seal in (*alike, *others)}) == 3
