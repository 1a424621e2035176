"""Envelopes of every released kind, in golden.json: they stay readable for ever.

Never change an entry of that file; add new ones. All belong to the key `user:1` of the namespace
`ns`, and to the secret below.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from armature_cache import (
    JsonCodec,
    KeyRing,
    Lz4,
    MessagePackCodec,
    PickleCodec,
    SealedCodec,
    Zstd,
    envelope,
)
from armature_cache._runtime.blocking import BLOCKING
from armature_cache._runtime.ready import run_ready
from armature_cache.codecs.counter import decode_counter
from armature_cache.envelope import Envelope, Flag
from armature_cache.stores.sealing import Addressed, Sealing

GOLDEN: dict[str, bytes] = {
    name: bytes.fromhex(text)
    for name, text in json.loads(Path(__file__).with_name("golden.json").read_text("utf-8")).items()
}
KEYS = KeyRing({7: bytes(range(32))})
VALUE = {"text": "a text " * 9}
FACTS: dict[str, Any] = {
    "asof": 1234567, "epoch": 89, "created": 1000, "fresh_until": 2000, "dead_at": 3000, "cost": 42,
}  # fmt: skip
PLAIN: dict[str, tuple[Any, dict[str, Any]]] = {
    "first: value": ("hello", {**FACTS, "flags": 0, "codec": 1, "tags": ("users", "é")}),
    "first: without expiry": ("hello", {"flags": Flag.NO_EXPIRY, "codec": 2, "type_id": 2**64 - 1}),
    "first: counter": (-12, {"flags": Flag.COUNTER, "codec": 255}),
    "first: tombstone": (None, {"flags": Flag.TOMBSTONE}),
    "second: sliding, with an etag": ("hello", {**FACTS, "flags": Flag.SLIDING, "etag": "W/1"}),
}
SEALED: dict[str, Any] = {
    "sealed: plain": MessagePackCodec(),
    "sealed: zstd": SealedCodec(compress=Zstd(threshold=1)),
    "sealed: lz4": SealedCodec(compress=Lz4(threshold=1)),
    "sealed: signed": SealedCodec(sign=KEYS),
    "sealed: encrypted": SealedCodec(encrypt=KEYS),
    "sealed: encrypted and zstd": SealedCodec(encrypt=KEYS, compress=Zstd(threshold=1)),
    "sealed: pickle": PickleCodec(KEYS),
    "sealed: json signed": SealedCodec(JsonCodec(), sign=KEYS, compress=Lz4(threshold=1)),
}


def sealing(codec: Any) -> Sealing:
    return Sealing(codec, namespace="ns", limit=10_000, runtime=BLOCKING)


def test_each_kind_is_tested():
    assert {*PLAIN, *SEALED} == set(GOLDEN)


@pytest.mark.parametrize("name", PLAIN)
def test_plain_ones(name: str):
    raw, (value, expected) = GOLDEN[name], PLAIN[name]
    parsed = envelope.parse("user:1", raw)
    assert parsed is not None
    assert {field: getattr(parsed, field) for field in expected} == expected
    assert envelope.build("user:1", parsed) == raw
    assert envelope.parse("user:2", raw) is None
    if parsed.counter:
        assert decode_counter(parsed.payload) == value
    elif not parsed.tombstone:
        codec: Any = JsonCodec() if parsed.codec == 2 else MessagePackCodec()
        assert codec.decode(parsed.payload, 0) == value


@pytest.mark.parametrize("name", SEALED)
def test_sealed_ones(name: str):
    raw, store = GOLDEN[name], sealing(SEALED[name])
    (parsed,) = run_ready(store.parse(["user:1"], [raw]))
    assert parsed is not None
    assert parsed.tags == ("users", "user:1")
    assert parsed.etag == "v1"
    (payload,) = run_ready(store.open([Addressed("user:1", parsed)]))
    assert payload is not None
    assert store.codec.decode(payload, parsed.type_id) == VALUE


@pytest.mark.parametrize("name", ["sealed: plain", "sealed: signed"])
def test_sealed_ones_are_written_alike(name: str):
    store = sealing(SEALED[name])
    payload, type_id = store.codec.encode(VALUE)
    made = Envelope(
        **FACTS, flags=Flag.NO_EXPIRY, codec=store.codec.code, type_id=type_id,
        tags=("users", "user:1"), etag="v1", payload=payload,
    )  # fmt: skip
    (closed,) = run_ready(store.close([Addressed("user:1", made)]))
    assert closed.stamped(1234567, 89) == GOLDEN[name]


def test_heads_alone_tell_all_but_the_payload():
    for raw in GOLDEN.values():
        whole = envelope.parse("user:1", raw)
        head = envelope.parse_head(raw[: envelope.head_size(raw)])
        assert whole is not None
        assert head is not None
        for field in ("stamp", "flags", "created", "dead_at", "codec", "type_id", "tags",
                      "compression", "key_id"):  # fmt: skip
            assert getattr(head, field) == getattr(whole, field)


CONTRADICTIONS = [
    {"key_id": 1},
    {"compression": 1},
    {"flags": Flag.COMPRESSED},
    {"flags": Flag.SIGNED, "seal": bytes(32)},
    {"flags": Flag.ENCRYPTED, "seal": bytes(28)},
    {"flags": Flag.SIGNED | Flag.ENCRYPTED, "key_id": 1, "seal": bytes(60)},
    {"flags": Flag.SIGNED | Flag.COUNTER, "key_id": 1, "seal": bytes(32)},
    {"flags": Flag.COMPRESSED | Flag.TOMBSTONE, "compression": 1},
    {"flags": Flag.SIGNED, "key_id": 1, "seal": bytes(31)},
]


@pytest.mark.parametrize("parts", CONTRADICTIONS, ids=range(len(CONTRADICTIONS)))
def test_what_contradicts_itself_is_a_miss(parts: dict[str, Any]):
    raw = envelope.build("k", Envelope(1, 2, **parts))
    assert envelope.parse("k", raw) is None
    assert envelope.parse_head(raw) is None or len(parts.get("seal", b"")) == 31


# -- laws ------------------------------------------------------------------------------------

NUMBERS = st.integers(0, 2**64 - 1)
ENVELOPES = st.builds(
    Envelope,
    asof=NUMBERS, epoch=NUMBERS, created=NUMBERS, fresh_until=NUMBERS, dead_at=NUMBERS,
    flags=st.sampled_from([0, 1, 2, 4, 6, 64, 68]),
    cost=st.integers(0, 2**32 - 1), codec=st.integers(0, 255), type_id=NUMBERS,
    tags=st.lists(st.text(max_size=20), max_size=5).map(tuple),
    etag=st.text(max_size=20), payload=st.binary(max_size=200),
)  # fmt: skip
KEYS_OF = st.text(min_size=1, max_size=30)


@given(KEYS_OF, ENVELOPES)
def test_what_is_built_is_parsed(key: str, made: Envelope):
    parsed = envelope.parse(key, envelope.build(key, made))
    assert parsed is not None
    assert parsed == made


@given(
    KEYS_OF,
    ENVELOPES.filter(lambda made: made.flags & 3 == 0),
    st.sampled_from(sorted(SEALED)),
    st.data(),
)
def test_what_is_closed_is_opened_and_by_nobody_else(
    key: str, made: Envelope, name: str, data: st.DataObject
):
    store = sealing(SEALED[name])
    payload = bytes(made.payload)
    (closed,) = run_ready(store.close([Addressed(key, made, data.draw(st.booleans()))]))
    raw = closed.stamped(made.asof, made.epoch)
    (parsed,) = run_ready(store.parse([key], [raw]))
    assert parsed is not None
    assert run_ready(store.open([Addressed(key, parsed)])) == [payload]
    other = sealing(SEALED[data.draw(st.sampled_from(sorted(SEALED)))])
    (seen,) = run_ready(other.parse([key], [raw]))
    if seen is not None:
        assert run_ready(other.open([Addressed(key, seen)])) == [payload]
    if store.protected:
        assert run_ready(store.open([Addressed(key + "x", parsed)])) == [None]


@given(st.sampled_from(sorted(GOLDEN)), st.data())
def test_any_damage_is_a_miss(name: str, data: st.DataObject):
    raw = bytearray(GOLDEN[name])
    if data.draw(st.booleans()):
        del raw[data.draw(st.integers(0, len(raw) - 1)) :]
    else:
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at] ^= data.draw(st.integers(1, 255))
    damaged = bytes(raw)
    for codec in SEALED.values():
        store = sealing(codec)
        (parsed,) = run_ready(store.parse(["user:1"], [damaged]))
        if name == "first: counter" and parsed is not None:
            sealed = len(damaged) - len(parsed.payload)
            assert damaged[:sealed] == GOLDEN[name][:sealed]
            continue
        assert parsed is None
        envelope.parse_head(damaged)
        envelope.read_stamp(damaged)


@given(st.binary(max_size=200) | st.binary(max_size=120).map(lambda tail: b"AC\x01" + tail))
def test_any_bytes_are_parsed_or_a_miss(raw: bytes):
    for parse in (envelope.parse_head, envelope.read_stamp):
        parse(raw)
    assert envelope.parse("k", raw) is None
