"""The table of types: names, ids, and what may not be registered."""

from __future__ import annotations

import threading
from typing import Annotated, Any, Literal, Optional, Union

import pytest
from codec_shapes import Box, Page, Point, UserId

from armature_cache.codecs import types
from armature_cache.codecs._describe import describe, id_of
from armature_cache.errors import ConfigError


@pytest.fixture(autouse=True)
def own_table(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_class_of", "_name_of", "_registered_id", "_used"):
        monkeypatch.setattr(types, name, dict(getattr(types, name)))


DESCRIPTIONS = [
    (Point, "codec_shapes.Point"),
    (list[Point], "builtins.list[codec_shapes.Point]"),
    (Optional[Point], "Union[builtins.NoneType,codec_shapes.Point]"),  # noqa: UP045
    (Point | None, "Union[builtins.NoneType,codec_shapes.Point]"),
    (Union[str, int], "Union[builtins.int,builtins.str]"),  # noqa: UP007
    (int | str, "Union[builtins.int,builtins.str]"),
    (Annotated[Point, "x"], "codec_shapes.Point"),
    (Literal[1, "a"], "Literal[builtins.int:1,builtins.str:'a']"),
    (UserId, "builtins.int"),
    (Page[Point], "codec_shapes.Page[codec_shapes.Point]"),
    (Box[int], "codec_shapes.Box[builtins.int]"),
    (tuple[int, ...], "builtins.tuple[builtins.int,...]"),
    (dict[str, Any], "builtins.dict[builtins.str,typing.Any]"),
]


@pytest.mark.parametrize(("as_type", "text"), DESCRIPTIONS)
def test_descriptions_are_fixed(as_type: Any, text: str) -> None:
    assert describe(as_type) == text


def test_ids_are_fixed() -> None:
    assert id_of("codec_shapes.Point") == 3974549819889516706
    assert types.type_of_id(types.remember(list[Point])) == list[Point]
    assert types.type_of_id(12345) is None


def test_register_as_function_and_decorators() -> None:
    class A: ...

    class B: ...

    class C: ...

    assert types.register_type(A) is A
    assert types.register_type(name="bee")(B) is B
    assert types.register_type(C, name="sea") is C
    assert types.registered_name(A) == f"{A.__module__}.{A.__qualname__}"
    assert types.registered_class("bee") is B
    assert types.type_of_id(id_of(describe(C))) is C
    assert types.register_type(C, name="sea") is C


def test_registered_twice_differently() -> None:
    class A: ...

    class B: ...

    types.register_type(A, name="ay")
    with pytest.raises(ConfigError, match=r"'ay' is already registered.*name="):
        types.register_type(B, name="ay")
    with pytest.raises(ConfigError, match="already registered as 'ay'"):
        types.register_type(A, name="other")


@pytest.mark.parametrize("what", [int, dict, list[int], "x", None.__class__])
def test_only_classes_of_ones_own(what: Any) -> None:
    with pytest.raises(ConfigError, match="class of your own"):
        types.register_type(what)


def test_empty_name() -> None:
    with pytest.raises(ConfigError, match="non-empty"):
        types.register_type(Point, name="")


def _tuple_of(size: int) -> Any:
    return tuple.__class_getitem__((int,) * size)


def test_the_table_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(types, "_MAX_USED", 3)
    monkeypatch.setattr(types, "_used", {})
    for size in range(10):
        types.remember(_tuple_of(size + 1))
    assert len(types._used) == 3


def test_threads() -> None:
    kinds = [_tuple_of(size) for size in range(1, 50)]
    threads = [threading.Thread(target=lambda: list(map(types.remember, kinds))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(types.type_of_id(id_of(describe(kind))) == kind for kind in kinds)
