"""Pickle: signed, explicit, and never from anyone else."""

from __future__ import annotations

import dataclasses
import pickle
import threading
from typing import Any

import pydantic
import pytest

from armature_cache import (
    ConfigError,
    JsonCodec,
    KeyRing,
    MessagePackCodec,
    PickleCodec,
    SealedCodec,
    UndecodablePayload,
    UnsupportedValue,
    envelope,
)
from armature_cache.envelope import Flag
from tests.sealing.vault import FOREIGN, GONE, KEYS, TEXT, Vault, undecodable

pytestmark = pytest.mark.broad


class Trap:
    sprung: list[str] = []  # noqa: RUF012 - a class attribute is what survives pickling

    def __reduce__(self) -> tuple[Any, ...]:
        return (Trap.sprung.append, ("unpickled",))


class Odd:
    """A class that no other codec carries: it has a cycle and state of its own."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.itself = self

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Odd) and other.name == self.name and other.itself is other

    __hash__ = None  # type: ignore[assignment]


@dataclasses.dataclass
class Point:
    x: int
    y: int


class Model(pydantic.BaseModel):
    a: int
    b: int = 0


async def test_objects_come_back(vault: Vault):
    cache = vault.open(PickleCodec(KEYS))
    for value in (Odd("a"), [Odd("b")], Point(1, 2), {(1, 2): {3}}, None, 5, Model(a=1)):
        await cache.set("k", value)
        assert await vault.open(PickleCodec(KEYS)).get("k", GONE) == value
    stored = vault.stored("k")
    assert stored.flags & Flag.SIGNED
    assert stored.codec == PickleCodec.code == 3
    await cache.set("p", Point(1, 2), type=Point)
    assert await cache.get("p", type=Point) == Point(1, 2)
    assert await cache.get("p", GONE, type=str) == GONE
    await cache.set("f", 1, type=float)
    assert await cache.get("f", type=float) == 1


async def test_compressed_and_encrypted(vault: Vault):
    codec = SealedCodec(PickleCodec(KEYS), encrypt=KEYS, compress="zstd")
    await vault.open(codec).set("k", Odd(TEXT))
    assert await vault.open(codec).get("k") == Odd(TEXT)
    assert vault.stored("k").flags & (Flag.ENCRYPTED | Flag.SIGNED) == Flag.ENCRYPTED
    assert len(vault.raw("k")) < len(TEXT) / 10
    signed = SealedCodec(PickleCodec(KEYS), compress="lz4")
    await vault.open(signed).set("k", Odd(TEXT))
    assert vault.stored("k").flags & Flag.SIGNED
    assert await vault.open(signed).get("k") == Odd(TEXT)


FORGED: dict[str, dict[str, Any]] = {
    "unsigned": {"flags": 0, "key_id": 0, "seal": b""},
    "signed with zeros": {"flags": Flag.SIGNED, "key_id": 1, "seal": bytes(32)},
    "called encrypted": {"flags": Flag.ENCRYPTED, "key_id": 1, "seal": bytes(28)},
    "a counter": {"flags": Flag.COUNTER, "key_id": 0, "seal": b"", "codec": 255},
    "compressed": {"flags": Flag.SIGNED | Flag.COMPRESSED, "compression": 1},
}


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
@pytest.mark.parametrize(
    "codec",
    [
        PickleCodec(KEYS),
        SealedCodec(PickleCodec(KEYS), compress="zstd"),
        SealedCodec(PickleCodec(KEYS), encrypt=KEYS),
        MessagePackCodec(),
        JsonCodec(),
        SealedCodec(sign=KEYS),
    ],
    ids=["pickle", "packed", "encrypted", "msgpack", "json", "signed"],
)
async def test_a_forged_pickle_never_runs(vault: Vault, forged: dict[str, Any], codec: Any):
    cache = vault.open(codec)
    await cache.set("k", "mine")
    mine = vault.stored("k")
    for wanted in (None, Trap, str, object):
        changes: dict[str, Any] = {"codec": 3, "payload": pickle.dumps(Trap()), **forged}
        vault.plant("k", envelope.build("k", dataclasses.replace(mine, **changes)))
        assert await cache.get("k", GONE, type=wanted) == GONE
    assert Trap.sprung == []


async def test_a_pickle_of_other_keys_or_another_place_never_runs(vault: Vault):
    cache = vault.open(PickleCodec(KEYS))
    await vault.open(PickleCodec(KeyRing({1: FOREIGN}))).set("k", [1])
    assert await cache.get("k", GONE) == GONE
    await cache.set_many({"a": Odd("a"), "b": Odd("b")})
    moved = dataclasses.replace(vault.stored("a"), asof=vault.stored("b").asof)
    vault.plant("b", envelope.build("b", moved))
    assert await cache.get("b", GONE) == GONE
    assert undecodable(cache) == 2


async def test_no_signature_no_pickle():
    codec = PickleCodec(KEYS)
    payload = pickle.dumps(Trap())
    for given in (payload, memoryview(payload), bytearray(payload)):
        with pytest.raises(UndecodablePayload, match="signature"):
            codec.decode(given, 0)  # type: ignore[arg-type]
    assert Trap.sprung == []
    encoded = codec.encode([1])
    assert codec.decode(encoded.payload, 0) == [1]
    with pytest.raises(UndecodablePayload):
        codec.decode(bytes(encoded.payload), 0)


@pytest.mark.parametrize("keys", [None, b"k" * 32, {1: b"k" * 32}, "secret"])
def test_no_keys_no_codec(keys: Any):
    with pytest.raises(ConfigError, match="KeyRing"):
        PickleCodec(keys)
    with pytest.raises(TypeError):
        PickleCodec()  # type: ignore[call-arg]


@pytest.mark.parametrize("value", [threading.Lock(), lambda: 1, [iter([1]), open]], ids=range(3))
def test_what_pickle_does_not_carry_is_refused(value: Any):
    if isinstance(value, list):
        value = (one for one in value)
    with pytest.raises(UnsupportedValue, match="cannot be pickled") as caught:
        PickleCodec(KEYS).encode(value)
    assert caught.value.value_type is type(value)


def test_a_value_that_is_not_what_it_is_called_is_refused():
    codec = PickleCodec(KEYS)
    with pytest.raises(UnsupportedValue, match="not a str as annotated"):
        codec.encode(5, str)
    assert codec.encode(5, Any).type_id == 0


def test_a_field_that_the_class_has_got_since_is_noticed():
    codec = PickleCodec(KEYS)
    point, model = Point(1, 2), Model(a=1)
    del point.y
    del model.__dict__["b"]
    for value in (point, model):
        encoded = codec.encode(value, type(value))
        with pytest.raises(UndecodablePayload, match="of today"):
            codec.decode(encoded.payload, encoded.type_id, type(value))
