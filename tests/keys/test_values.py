from __future__ import annotations

import copy
import datetime
import decimal
import io
import os
import struct
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from armature_cache.keys.values import Unkeyable, render
from tests.keys import key_shapes as shapes

ROOT = Path(__file__).parents[2]

leaves = (
    st.none()
    | st.booleans()
    | st.integers(-2, 2)
    | st.integers()
    | st.floats()
    | st.sampled_from([0.0, -0.0, 1.0, float("nan")])
    | st.text("1',\"\\()é\0 ", max_size=3)
    | st.text()
    | st.binary(max_size=3)
    | st.decimals(allow_nan=False, places=1)
    | st.datetimes(timezones=st.none() | st.timezones())
    | st.uuids()
    | st.timedeltas()
    | st.sampled_from([shapes.Color.RED, shapes.Level.LOW, shapes.Name.ADA])
)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(leaves, inner, max_size=3)
        | st.frozensets(leaves, max_size=3)
        | st.builds(shapes.Point, inner, inner)
        | st.builds(shapes.Pair, inner, inner)
    ),
    max_leaves=6,
)


def identity(value):  # noqa: PLR0911
    """What a value is, told apart by type and contents; made without the library."""
    kind = type(value)
    if kind is float:
        return (kind, "nan" if value != value else struct.pack("d", value))  # noqa: PLR0124
    if kind is decimal.Decimal:
        return (kind, value.as_tuple())
    if kind is datetime.datetime:
        return (kind, value.isoformat(), value.fold, str(value.tzinfo))
    if kind is shapes.Point:
        return (kind, identity(value.x), identity(value.y))
    if isinstance(value, list | tuple):
        return (kind, *map(identity, value))
    if kind is dict:
        return (kind, frozenset((identity(k), identity(v)) for k, v in value.items()))
    if kind is frozenset:
        return (kind, frozenset(map(identity, value)))
    return (kind, value)


@given(values, values)
def test_two_values_share_a_text_iff_they_are_the_same(one, other):
    assert (render(one) == render(other)) == (identity(one) == identity(other))


@given(values)
def test_a_copy_has_the_same_text(value):
    assert render(copy.deepcopy(value)) == render(value)


@given(st.dictionaries(leaves, leaves), st.randoms(use_true_random=False))
def test_the_order_of_dicts_and_sets_does_not_matter(mapping, random):
    items = list(mapping.items())
    random.shuffle(items)
    assert render(dict(items)) == render(mapping)
    assert render(set(dict(items))) == render(set(mapping))


@given(values)
def test_a_text_is_printable_ascii_or_plain(value):
    assert render(value).isascii()
    assert "\0" not in render(value)


def test_values_that_are_easily_confused_differ():
    texts = [render(value) for value in shapes.DIFFERENT]
    for (one, text), (other, same) in combinations(zip(shapes.DIFFERENT, texts, strict=True), 2):
        assert text != same, f"{one!r} and {other!r}"


def test_texts_are_the_same_in_another_process_with_another_hash_seed():
    script = (
        "from tests.keys.key_shapes import DIFFERENT\n"
        "from armature_cache.keys import render\n"
        "print(ascii([render(value) for value in DIFFERENT]))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert outputs == {ascii([render(value) for value in shapes.DIFFERENT]) + "\n"}


def test_all_nan_are_one():
    assert render(float("nan")) == render(-float("nan"))


def test_aliases_are_one_member():
    assert render(shapes.Color.CRIMSON) == render(shapes.Color.RED)


def test_texts_are_readable():
    assert render((1, "a", None, {"k": [True]})) == "(1,'a',None,{'k':[True]})"
    assert render(shapes.Point(1, "2")) == "tests.keys.key_shapes:Point(x=1,y='2')"
    assert render(shapes.Color.RED) == "tests.keys.key_shapes:Color.RED"
    assert render(shapes.Tenant("acme")) == "tests.keys.key_shapes:Tenant<'acme'>"


@pytest.mark.parametrize(
    "value",
    [
        object(),
        shapes.Session(),
        lambda: 0,
        len,
        io.StringIO(),
        iter([]),
        (x for x in "ab"),
        memoryview(b""),
        ValueError("x"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_has_no_stable_text_is_refused(value):
    for holder in (value, [value], {"k": value}, shapes.Point(value)):
        with pytest.raises(Unkeyable) as caught:
            render(holder)
        assert caught.value.value is value


def test_a_subclass_with_attributes_of_its_own_is_refused():
    tagged = shapes.Tagged("a")
    assert render(tagged) == "tests.keys.key_shapes:Tagged('a')"
    tagged.tag = "b"
    with pytest.raises(Unkeyable, match="attributes of its own"):
        render(tagged)


def test_a_value_that_contains_itself_is_refused():
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(Unkeyable, match="contains itself"):
        render(loop)


def test_a_field_that_is_not_set_is_refused():
    half = shapes.Pixel.__new__(shapes.Pixel)
    with pytest.raises(Unkeyable, match="not complete"):
        render(half)


def test_living_classes_of_one_name_differ():
    def make():
        class Local:
            def __cache_key__(self):
                return 1

        return Local

    one, other = make(), make()
    assert render(one()) == render(one())
    assert render(one()) != render(other())
    assert render(one) != render(other)
