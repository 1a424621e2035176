"""Which values are shared, how the others are copied, and where a change is seen."""

from __future__ import annotations

import array
import collections
import copy
import dataclasses
import datetime as dt
import enum
import functools
import io
import threading
import uuid
from decimal import Decimal
from typing import Any, NamedTuple

import attrs
import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armature_cache.stores.copying import copied, copier_of, is_immutable
from armature_cache.stores.watching import first_change, snapshot_of


class Colour(enum.Enum):
    RED = "r"


class Pair(NamedTuple):
    left: Any
    right: Any = 0


@dataclasses.dataclass
class Point:
    x: Any
    y: Any = 0


@dataclasses.dataclass(frozen=True)
class Frozen:
    x: Any
    y: Any = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Slotted:
    x: Any


class Struct(msgspec.Struct):
    x: Any


class FrozenStruct(msgspec.Struct, frozen=True):
    x: Any


@attrs.define
class Attrs:
    x: Any


class Model(pydantic.BaseModel):
    x: Any
    _secret: list[int] = pydantic.PrivateAttr(default_factory=list)


class Plain:
    def __init__(self, x: Any) -> None:
        self.x = x

    @functools.cached_property
    def twice(self) -> Any:
        return [self.x, self.x]


class OwnWay(Plain):
    def __deepcopy__(self, memo: Any) -> OwnWay:
        return OwnWay(("copied", self.x))


class Bag(dict[str, Any]):
    pass


class Tagged(tuple[Any, ...]):  # noqa: SLOT001 - it has attributes
    pass


IMMUTABLE: list[Any] = [
    None, 1, 1.5, True, "x", b"x", 2 + 3j, range(3), Colour.RED, int, len, ..., Decimal(1),
    uuid.UUID(int=1), dt.datetime(2024, 1, 1, tzinfo=dt.timezone.utc), dt.timedelta(1),  # noqa: UP017
    (1, ("a", None)), frozenset({1, (2,)}), Pair(1, "x"), Frozen(1), Slotted((1,)),
    FrozenStruct(1), (),
]  # fmt: skip
MUTABLE: list[Any] = [
    [], {}, set(), bytearray(b"x"), [1, [2, {"a": {3}}]], {"a": [1], (1, 2): {"b": (1, [2])}},
    (1, []), Pair([1]), Frozen([1]), FrozenStruct([1]), Slotted({}), Point(1, [2]), Struct([1]),
    Attrs({"a": 1}), Model(x=[1]), Plain([1]), OwnWay(1), Bag(a=[1]), collections.deque([[1]]),
    collections.OrderedDict(a=[1]), collections.Counter("aab"), [Point(Point(1)), Model(x={1})],
    (Point([1]), [Frozen({"a": [1]})]), Tagged((1, 2)),
]  # fmt: skip


@pytest.mark.parametrize("value", IMMUTABLE, ids=lambda value: type(value).__name__)
def test_what_nobody_can_change_is_shared(value: Any):
    assert is_immutable(value)
    assert copier_of(value) is None
    assert copied(value) is value


@pytest.mark.parametrize("value", MUTABLE, ids=lambda value: type(value).__name__)
def test_what_can_be_changed_is_copied(value: Any):
    assert not is_immutable(value)
    twin = copied(value)
    assert twin is not value
    assert type(twin) is type(value)
    expected = copy.deepcopy(value)
    assert vars(twin) == vars(expected) if isinstance(value, Plain) else twin == expected
    assert not shared(value, twin)


def shared(one: Any, other: Any) -> bool:
    """Whether two values have a changeable part in common."""
    return bool(parts(one).keys() & parts(other).keys())


def parts(value: Any) -> dict[int, Any]:
    found: dict[int, Any] = {}

    def walk(one: Any) -> None:
        if is_immutable(one) or id(one) in found:
            return
        if not isinstance(one, tuple):
            found[id(one)] = one
        below: list[Any] = list(getattr(one, "__dict__", {}).values())
        below += [getattr(one, name) for name in getattr(type(one), "__slots__", ())
                  if isinstance(name, str) and hasattr(one, name)]  # fmt: skip
        if isinstance(one, dict):
            below += one.values()
        elif isinstance(one, list | tuple | set | collections.deque):
            below += one
        for each in below:
            walk(each)

    walk(value)
    return found


def test_shared_parts_and_cycles_stay_what_they_are():
    part = [1]
    twin = copied({"a": part, "b": part})
    assert twin["a"] is twin["b"] is not part
    cycle: list[Any] = []
    cycle.append(cycle)
    twin = copied(cycle)
    assert twin is not cycle
    assert twin[0] is twin


def test_a_value_nested_deeply_is_copied():
    deep: Any = []
    for _ in range(200):
        deep = [deep]
    assert copied(deep) == deep


def test_what_cannot_be_copied_raises():
    with pytest.raises(TypeError):
        copied([threading.Lock()])


TREES = st.recursive(
    st.none() | st.integers() | st.text(max_size=5) | st.binary(max_size=5) | st.booleans(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=4) | st.integers(), inner, max_size=4)
        | st.tuples(inner, inner)
        | st.sets(st.integers(), max_size=4)
        | st.builds(Point, inner, inner)
        | st.builds(Frozen, inner)
        | st.builds(Struct, inner)
        | st.builds(Plain, inner)
    ),
    max_leaves=12,
)


@given(TREES)
def test_any_copy_is_like_deepcopy_and_shares_nothing(value: Any):
    twin = copied(value)
    before = snapshot_of(value)
    assert first_change(before, twin) is None
    assert first_change(snapshot_of(copy.deepcopy(value)), twin) is None
    assert not shared(value, twin)


# -- changes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [*IMMUTABLE, *MUTABLE], ids=lambda value: type(value).__name__)
def test_nothing_changed(value: Any):
    before = snapshot_of(value)
    assert first_change(before, value) is None
    if not isinstance(value, OwnWay):
        assert first_change(before, copy.deepcopy(value)) is None


def changes() -> list[tuple[Any, Any, str]]:
    return [
        ([1, 2], lambda value: value.append(3), ""),
        ([1, 2], lambda value: value.pop(), "[1]"),
        ([1, [2]], lambda value: value[1].__setitem__(0, 3), "[1][0]"),
        ({"a": {"b": 1}}, lambda value: value["a"].update(b=2), "['a']['b']"),
        ({"a": {"b": 1}}, lambda value: value["a"].update(c=2), "['a']"),
        ({"a": 1}, lambda value: value.clear(), "['a']"),
        ({1}, lambda value: value.add(2), ""),
        (bytearray(b"x"), lambda value: value.extend(b"y"), ""),
        ((1, [2]), lambda value: value[1].append(1), "[1]"),
        ([1], lambda value: value.__setitem__(0, True), "[0]"),
        ([1], lambda value: value.__setitem__(0, 1.0), "[0]"),
        (Point(1), lambda value: setattr(value, "y", 5), ".y"),
        (Point([1]), lambda value: value.x.append(5), ".x"),
        (Point(1), lambda value: setattr(value, "z", 5), ""),
        (Frozen([1]), lambda value: value.x.append(5), ".x"),
        (Slotted([1]), lambda value: value.x.append(5), ".x"),
        (Struct(1), lambda value: setattr(value, "x", 2), ".x"),
        (Attrs(1), lambda value: setattr(value, "x", 2), ".x"),
        (Model(x=[1]), lambda value: value.x.append(2), ".x"),
        (Model(x=1), lambda value: value._secret.append(2), ".__pydantic_private__['_secret']"),
        (Plain({"a": [1]}), lambda value: value.x["a"].append(2), ".x['a']"),
        (Bag(a=1), lambda value: value.update(a=2), "['a']"),
        (Bag(a=1), lambda value: setattr(value, "extra", 2), ""),
        (collections.deque([1, [2]]), lambda value: value[1].append(3), "[1]"),
        (collections.deque([1]), lambda value: value.append(3), ""),
        (array.array("i", [1, 2]), lambda value: value.append(3), ""),
        ({"a": array.array("i", [1, 2])}, lambda value: value["a"].append(3), "['a']"),
        (io.BytesIO(b"x"), lambda value: value.write(b"yy"), ""),
        (collections.OrderedDict(a=1), lambda value: value.update(a=2), "['a']"),
    ]  # fmt: skip


@pytest.mark.parametrize("number", range(len(changes())))
def test_a_change_is_seen_where_it_is(number: int):
    value, change, place = changes()[number]
    before = snapshot_of(value)
    change(value)
    assert first_change(before, value) == place


def test_what_is_only_computed_once_is_no_change():
    value = Plain(1)
    before = snapshot_of(value)
    assert value.twice == [1, 1]
    assert first_change(before, value) is None


def test_a_cycle_is_looked_at_once():
    cycle: list[Any] = [1]
    cycle.append(cycle)
    before = snapshot_of(cycle)
    assert first_change(before, cycle) is None
    cycle[0] = 2
    assert first_change(before, cycle) == "[0]"


def test_what_tells_nothing_of_itself_is_told_by_its_identity():
    lock = threading.Lock()
    before = snapshot_of([lock])
    assert first_change(before, [lock]) is None
    assert first_change(before, [threading.Lock()]) == "[0]"
