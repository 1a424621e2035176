from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from armature_cache.errors import CacheKeyError, ConfigError
from armature_cache.keys import MAX_KEY_CHARS, CallKeys, Template
from tests.keys import key_shapes as shapes
from tests.keys.test_values import identity, values

HERE = "tests.keys.test_call_keys"


def one(a):
    return a


def mixed(a, /, b=2, *rest, c=3, **more):
    return a, b, rest, c, more


def keys_of(function, **options):
    return CallKeys(function, **options)


def key(function, *args, **kwargs):
    return keys_of(function).key(args, kwargs)


def test_a_key_is_readable():
    assert key(one, 5) == f"{HERE}:one(a=5)"
    assert key(mixed, 1) == f"{HERE}:mixed(a=1,b=2,rest=(),c=3,more={{}})"
    assert key(mixed, 1, 2, 3, c=4, z=5) == f"{HERE}:mixed(a=1,b=2,rest=(3),c=4,more={{'z':5}})"


@given(st.lists(values, max_size=3), st.lists(values, max_size=3))
def test_two_calls_share_a_key_iff_their_arguments_are_the_same(first, second):
    keys = keys_of(lambda *args: args)
    same = identity(tuple(first)) == identity(tuple(second))
    for _ in range(2):  # the second round is answered from memory
        assert (keys.key(tuple(first), {}) == keys.key(tuple(second), {})) == same


plain = st.sampled_from(
    [0, 1, 2, "1", "", b"1", None, True, False, 1.0, 0.0, -0.0, datetime.date(2024, 3, 1)]
)


@given(st.lists(st.tuples(plain, plain), min_size=2, max_size=30))
def test_what_is_remembered_never_mixes_types(calls):
    keys = keys_of(lambda a, b: (a, b))
    made = [
        keys.key((a, b), {}) if number % 2 else keys.key((a,), {"b": b})
        for number, (a, b) in enumerate(calls)
    ]
    identities = [identity(call) for call in calls]
    for made_one, identity_one in zip(made, identities, strict=True):
        for made_two, identity_two in zip(made, identities, strict=True):
            assert (made_one == made_two) == (identity_one == identity_two)


def test_how_a_call_is_spelled_does_not_matter():
    keys = keys_of(mixed)
    expected = keys.key((1, 2), {"c": 3})
    assert keys.key((1,), {}) == expected
    assert keys.key((1,), {"b": 2}) == expected
    assert keys.key((1,), {"c": 3, "b": 2}) == expected
    assert keys.key((1,), {"x": 1, "y": 2}) == keys.key((1,), {"y": 2, "x": 1})
    assert keys.key((1,), {"x": 1}) != keys.key((1,), {"y": 1})
    assert keys.key((1,), {"a": 1}) != expected  # lands in **more


def test_neighbours_do_not_run_together():
    assert key(mixed, "1:b:2", "3") != key(mixed, "1", "2:b:3")
    assert key(mixed, 1, "2", "x',c=4") != key(mixed, 1, "2", "x", c=4)
    assert key(mixed, 1, 2, 3, 4) != key(mixed, 1, 2, (3, 4))
    assert key(mixed, None) != key(mixed, "")
    assert key(mixed, 1) != key(mixed, "1")


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((), {}, "missing a required.*'a'"),
        ((1, 2), {"b": 2}, "multiple values for argument 'b'"),
    ],
)
def test_a_call_that_python_would_refuse(args, kwargs, message):
    with pytest.raises(TypeError, match=rf"mixed\(\): {message}"):
        keys_of(mixed).key(args, kwargs)


def test_too_many_or_unknown_arguments():
    for args, kwargs in (((1, 2), {}), ((1,), {"z": 1})):
        with pytest.raises(TypeError, match=r"one\(\)"):
            keys_of(one).key(args, kwargs)


def test_an_argument_without_a_stable_key_is_refused_with_cures():
    for value in (shapes.Session(), [shapes.Session()]):
        with pytest.raises(CacheKeyError) as caught:
            key(one, value)
        assert caught.value.argument == "a"
        message = str(caught.value)
        assert "tests.keys.key_shapes.Session" in message
        for cure in ('ignore=("a",)', "__cache_key__", 'key="...:{a.id}"'):
            assert cure in message


def test_ignored_arguments_stay_out():
    keys = keys_of(mixed, ignore=("a", "more"))
    assert keys.key((shapes.Session(),), {"z": len}) == f"{HERE}:mixed(b=2,rest=(),c=3)"
    keys = keys_of(mixed, ignore=("a",), template="{}-{c}")
    assert keys.key((shapes.Session(), "x"), {}) == "x-3"


@given(st.lists(st.tuples(plain, plain), min_size=2, max_size=20), st.booleans())
def test_calls_with_ignored_arguments_never_mix(calls, templated):
    def function(session, a, b=0, unused=None):
        return session, a, b, unused

    options = {"template": "{a}:{b}"} if templated else {"ignore": ("session", "unused")}
    keys, fresh = keys_of(function, **options), keys_of(function, **options)
    for number, (a, b) in enumerate(calls):
        spellings = [((len, a, b), {}), ((len, a, b, len), {}), ((a, a), {"b": b})]
        args, kwargs = spellings[number % 3]
        expected = fresh.key((), {"session": 0, "a": a, "b": b, "unused": [number]})
        assert keys.key(args, kwargs) == expected
    for args in ((len,), (len, 1, 2, 3, 4)):
        with pytest.raises(TypeError, match="function"):
            keys.key(args, {})


def test_an_ignored_name_that_does_not_exist():
    with pytest.raises(
        ConfigError, match="'session', which is no parameter; there are: a"
    ) as error:
        keys_of(one, ignore=("session",))
    assert error.value.field == "ignore"
    with pytest.raises(ConfigError, match="no parameter"):
        keys_of(one, ignore=("a",), template="{a}")


def test_long_keys_end_in_a_digest():
    keys = keys_of(one)
    long = keys.key(("x" * 600,), {})
    assert len(long) <= MAX_KEY_CHARS
    assert long.startswith(f"{HERE}:one(a='xxx")
    assert long == keys.key(("x" * 600,), {})
    assert long != keys.key(("x" * 601,), {})
    template = keys_of(one, template="{a}")
    hashed = template.key(("x" * 600,), {})
    assert template.key((hashed,), {}) != hashed  # nobody can ask for it by its name
    room = MAX_KEY_CHARS - len(keys.key(("",), {}))
    assert "#" not in keys.key(("x" * room,), {})
    assert "#" in keys.key(("x" * (room + 1),), {})


def test_keys_that_are_remembered_are_bounded():
    keys = keys_of(one)
    expected = {number: keys.key((number,), {}) for number in range(10_000)}
    for number, made in expected.items():
        assert keys.key((number,), {}) == made


def test_a_default_that_changes_is_not_remembered():
    changing: list[int] = []

    def function(a, b=changing):
        return a, b

    keys = keys_of(function)
    before = keys.key((1,), {})
    changing.append(1)
    assert keys.key((1,), {}) != before


def test_an_attribute_in_a_template_is_read_each_time():
    tenant = shapes.Tenant("a")
    keys = keys_of(one, template="{a.name}")
    assert keys.key((tenant,), {}) == "a"
    tenant.name = "b"
    assert keys.key((tenant,), {}) == "b"


def test_tag_templates_may_name_what_the_key_ignores():
    keys = keys_of(mixed, ignore=("a",))
    template = keys.template("{a}:{}", option="tags")
    assert isinstance(template, Template)
    assert template.fill(keys.parameters.bind((1, 2), {})) == "1:2"
