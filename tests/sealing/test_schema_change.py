"""A class that has changed since an entry was stored: the entry fits still, or is a miss."""

from __future__ import annotations

import dataclasses
import enum
import types
from collections.abc import Callable
from typing import Any

import attrs
import msgspec
import pydantic
import pytest

from armature_cache import JsonCodec, MessagePackCodec, SealedCodec, cache, register_type
from armature_cache.codecs import types as table
from armature_cache.testing import RedisServer
from tests.sealing.vault import GONE, KEYS, Vault, undecodable

pytestmark = pytest.mark.broad


@pytest.fixture
def server_url(valkey: RedisServer) -> str:
    """One kind of server will do: it sees nothing of this."""
    return valkey.url


Make = Callable[[dict[str, Any], dict[str, Any]], Any]


def named(cls: Any) -> Any:
    """A class under the name that all versions of it have."""
    cls.__module__, cls.__qualname__ = "shop", "User"
    return cls


def dataclass_of(fields: dict[str, Any], defaults: dict[str, Any]) -> Any:
    body: list[Any] = [
        (name, kind, *([dataclasses.field(default=defaults[name])] if name in defaults else []))
        for name, kind in fields.items()
    ]
    return named(dataclasses.make_dataclass("User", body))


def struct_of(fields: dict[str, Any], defaults: dict[str, Any]) -> Any:
    body = [
        (name, kind, defaults[name]) if name in defaults else (name, kind)
        for name, kind in fields.items()
    ]
    return named(msgspec.defstruct("User", body))


def attrs_of(fields: dict[str, Any], defaults: dict[str, Any]) -> Any:
    body = {
        name: attrs.field(type=kind, **({"default": defaults[name]} if name in defaults else {}))
        for name, kind in fields.items()
    }
    return named(attrs.make_class("User", body))


def pydantic_of(fields: dict[str, Any], defaults: dict[str, Any]) -> Any:
    body: dict[str, Any] = {name: (kind, defaults.get(name, ...)) for name, kind in fields.items()}
    return named(pydantic.create_model("User", **body))


KINDS: dict[str, Make] = {
    "dataclass": dataclass_of,
    "struct": struct_of,
    "attrs": attrs_of,
    "pydantic": pydantic_of,
}
each_kind = pytest.mark.parametrize("kind", KINDS)
CODECS: dict[str, Any] = {
    "msgpack": MessagePackCodec(),
    "json": JsonCodec(),
    "sealed": SealedCodec(encrypt=KEYS),
}
each_codec = pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)

FIRST: tuple[dict[str, Any], dict[str, Any]] = ({"id": int, "name": str}, {})
FITTING: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "the same": ({"id": int, "name": str}, {}, {"id": 1, "name": "Ada"}),
    "a field with a default": (
        {"id": int, "name": str, "mail": str}, {"mail": "-"}, {"id": 1, "name": "Ada", "mail": "-"},
    ),
    "a field less": ({"id": int}, {}, {"id": 1}),
    "a wider field": ({"id": int, "name": str | None}, {}, {"id": 1, "name": "Ada"}),
}  # fmt: skip
UNFITTING: dict[str, dict[str, Any]] = {
    "a field more": {"id": int, "name": str, "mail": str},
    "a field renamed": {"id": int, "full_name": str},
    "another type": {"id": int, "name": int},
    "a narrower one": {"id": int, "name": list[str]},
}

VALUES: dict[str, Callable[[Any], Any]] = {
    "a field more": lambda cls: cls(id=7, name="x", mail="y"),
    "a field renamed": lambda cls: cls(id=7, full_name="x"),
    "another type": lambda cls: cls(id=7, name=8),
    "a narrower one": lambda cls: cls(id=7, name=["x"]),
}


@each_codec
@each_kind
@pytest.mark.parametrize("change", FITTING)
async def test_what_still_fits_is_read(vault: Vault, codec: Any, kind: str, change: str):
    fields, defaults, expected = FITTING[change]
    old, new = KINDS[kind](*FIRST), KINDS[kind](fields, defaults)
    await vault.open(codec).set("k", old(id=1, name="Ada"), type=old)
    cache = vault.open(codec)
    got: Any = await cache.get("k", GONE, type=new)
    assert type(got) is new
    assert {name: getattr(got, name) for name in fields} == expected
    assert undecodable(cache) == 0


@each_codec
@each_kind
@pytest.mark.parametrize("change", UNFITTING)
async def test_what_does_not_is_a_miss_and_is_counted(
    vault: Vault, codec: Any, kind: str, change: str
):
    old: Any = KINDS[kind](*FIRST)
    new: Any = KINDS[kind](UNFITTING[change], {})
    olds, news = types.GenericAlias(list, (old,)), types.GenericAlias(list, (new,))
    await vault.open(codec).set_many(
        {"one": old(id=1, name="Ada"), "two": old(id=2, name="Bob")}, type=old
    )
    await vault.open(codec).set("list", [old(id=1, name="Ada")], type=olds)
    cache = vault.open(codec)
    assert await cache.get("one", GONE, type=new) == GONE
    assert await cache.get_many(["one", "two"], type=new) == {}
    assert await cache.get("list", GONE, type=news) == GONE
    assert undecodable(cache) == 4
    value = VALUES[change](new)
    assert await cache.get_or_set("one", lambda: value, type=new) == value
    assert await vault.open(codec).get("one", GONE, type=new) == value


@each_codec
async def test_an_enum_without_that_member_any_more(vault: Vault, codec: Any):
    old = named(enum.Enum("User", {"RED": "r", "BLUE": "b"}))
    new = named(enum.Enum("User", {"RED": "r"}))
    await vault.open(codec).set_many({"red": old.RED, "blue": old.BLUE}, type=old)
    cache = vault.open(codec)
    assert await cache.get_many(["red", "blue"], type=new) == {"red": new.RED}
    assert undecodable(cache) == 1


async def test_a_registered_class_by_its_name(vault: Vault, monkeypatch: pytest.MonkeyPatch):
    for name in ("_class_of", "_name_of", "_registered_id", "_used"):
        monkeypatch.setattr(table, name, dict(getattr(table, name)))
    old = register_type(dataclass_of(*FIRST), name="shop.User")
    await vault.open().set("k", [old(id=1, name="Ada")])
    table._class_of.pop("shop.User")
    cache = vault.open()
    assert await cache.get("k", GONE) == GONE
    new = register_type(dataclass_of(UNFITTING["a field more"], {}), name="shop.User")
    assert await cache.get("k", GONE) == GONE
    assert undecodable(cache) == 2
    await cache.set("k", [new(id=1, name="Ada", mail="x")])
    assert await vault.open().get("k") == [new(id=1, name="Ada", mail="x")]


async def test_a_decorated_function_loads_again(vault: Vault):
    old, new = dataclass_of(*FIRST), dataclass_of(UNFITTING["a field more"], {})
    loads = []

    def decorated(store: Any, cls: Any, **fields: Any) -> Any:
        if vault.face == "sync":

            def load(user_id: int) -> Any:
                loads.append(cls)
                return cls(id=user_id, **fields)
        else:

            async def load(user_id: int) -> Any:  # type: ignore[misc]
                loads.append(cls)
                return cls(id=user_id, **fields)

        return cache(using=store.store, key="user:{user_id}", type=cls)(load)

    async def call(function: Any) -> Any:
        result = function(1)
        return result if vault.face == "sync" else await result

    first = decorated(vault.open(), old, name="Ada")
    second = decorated(vault.open(), new, name="Ada", mail="x")
    assert await call(first) == await call(first) == old(id=1, name="Ada")
    assert await call(second) == await call(second) == new(id=1, name="Ada", mail="x")
    assert loads == [old, new]
