from __future__ import annotations

import datetime
import decimal
import re
import uuid
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from armature_cache.errors import CacheKeyError, ConfigError
from armature_cache.keys import Template, render
from tests.keys import key_shapes as shapes


def key(source, *names, also=()):
    return Template(source, names, also=also, option="key")


def fill(source, **arguments):
    return key(source, *arguments).fill(arguments)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (123, "123"),
        (-1, "-1"),
        ("ada", "ada"),
        ("José", "José"),
        ("a:b", "a:b"),
        ("", ""),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (decimal.Decimal("1.50"), "1.50"),
        (datetime.date(2024, 3, 1), "2024-03-01"),
        (shapes.NOON, "2024-03-01T12:00:00"),
        (shapes.Color.RED, "red"),
        (shapes.Level.LOW, "1"),
        (shapes.Name.ADA, "ada"),
        (shapes.Tenant("acme"), "acme"),
        (shapes.Account(7), "7"),
        (None, "~None"),
        (True, "~True"),
        (1.5, "~1.5"),
        (b"a", "~b'a'"),
        ((1, "2"), "~(1,'2')"),
        (shapes.Point(1), "~tests.keys.key_shapes:Point(x=1,y=0)"),
        (shapes.Session, "~type(tests.keys.key_shapes:Session)"),
        ("~None", "%7ENone"),
        ("50%", "50%25"),
        ("a\0b", "a%00b"),
        ("\udcff", "%ED%B3%BF"),
    ],
)
def test_a_value_in_a_key(value, text):
    assert fill("user:{x}", x=value) == f"user:{text}"


def test_only_what_follows_the_field_is_escaped():
    assert fill("{x}:{y}", x="a:b-c", y="d:e") == "a%3Ab-c:d:e"
    assert fill("{x}-{y}", x=-1, y="a-b") == "%2D1-a-b"
    assert fill("{x}2{y}", x="%2", y="") == "%25%322"
    assert fill("{x}é{y}", x="é", y="é") == "%C3%A9éé"


TRICKY = "~%:-25AN123eé\0"
plain = st.text(TRICKY, max_size=5) | st.text()
other = st.none() | st.booleans() | st.floats(allow_nan=False) | st.tuples(st.text(TRICKY))


def identity(value):
    return value if isinstance(value, str) else render(value)


@pytest.mark.parametrize("source", ["{a}:{b}", "{a}-{b}:", "x{a}2{b}", "{a}é{b}N", "{a}Aa{b}"])
@given(st.data())
def test_no_two_calls_share_a_key(source, data):
    values = [data.draw(plain | other) for _ in range(4)]
    one = fill(source, a=values[0], b=values[1])
    two = fill(source, a=values[2], b=values[3])
    same = [(type(v), identity(v)) for v in values]
    assert (one == two) == (same[:2] == same[2:])


@given(plain, plain)
def test_texts_that_move_across_the_separator_differ(a, b):
    assert fill("{a}:{b}", a=f"{a}:", b=b) != fill("{a}:{b}", a=a, b=f":{b}")


def test_fields_name_arguments_attributes_or_positions():
    user = SimpleNamespace(id=7, team=SimpleNamespace(name="red"))
    assert key("{user.id}:{user.team.name}", "user").fill({"user": user}) == "7:red"
    assert key("{}:{}", "a", "b").fill({"a": 1, "b": 2}) == "1:2"
    assert key("{b}:{}", "a", "b").fill({"a": 1, "b": 2}) == "2:1"
    assert key("{self.id}:{}", "a", also=["self"]).fill({"self": user, "a": 1}) == "7:1"
    assert key("{{{a}}}", "a").fill({"a": 1}) == "{1}"
    assert key("users", "a").fill({"a": 1}) == "users"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("", "non-empty"),
        (5, "non-empty"),
        ("{c}", "{c} is no parameter; there are: a, b"),
        ("{c.id}", "{c.id} is no parameter"),
        ("{0}", "{0} is no parameter"),
        ("{}:{}:{}", "more {} than arguments (a, b)"),
        ("{a!r}", "no conversion"),
        ("{a:>10}", "no format specification"),
        ("{a[0]}", "no parameter"),
        ("{a._secret}", "no public attribute"),
        ("{a.__class__}", "no public attribute"),
        ("{a.}", "no public attribute"),
        ("{a.b.}", "no public attribute"),
        ("{a", "braces"),
        ("a}", "braces"),
        ("{a}{b}", "separator"),
        ("{a}%{b}", "neither % nor ~"),
        ("{a}~", "neither % nor ~"),
        ("a\0{a}", "NUL"),
        ("\ud800{a}", "surrogates"),
    ],
)
def test_a_template_that_cannot_be_used(source, message):
    with pytest.raises(ConfigError, match=re.escape(message)) as caught:
        key(source, "a", "b")
    assert caught.value.field == "key"


@pytest.mark.parametrize(
    ("source", "value", "message"),
    [
        ("{a}", shapes.Session(), "Session has no stable text"),
        ("{a.id}", None, "'NoneType' object has no attribute 'id'"),
    ],
)
def test_an_argument_that_cannot_fill_its_field(source, value, message):
    with pytest.raises(CacheKeyError, match=message) as caught:
        key(source, "a").fill({"a": value})
    assert caught.value.argument == "a"


@pytest.mark.parametrize(
    ("value", "text"),
    [(1, "1"), ("a:%~b", "a:%~b"), (None, "None"), (True, "True"), (shapes.Color.RED, "red")],
)
def test_a_value_in_a_tag_is_plain(value, text):
    template = Template("t:{x}{x}", ["x"], option="tags")
    assert template.fill({"x": value}) == f"t:{text}{text}"
