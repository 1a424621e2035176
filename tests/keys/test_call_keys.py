from __future__ import annotations

import datetime
import importlib.util
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from armature_cache.errors import CacheKeyError, ConfigError
from armature_cache.keys import MAX_KEY_CHARS, CacheKeyWarning, CallKeys, Template
from tests.keys import key_shapes as shapes
from tests.keys.test_values import identity, values

ROOT = Path(__file__).parents[2]
HERE = "tests.keys.test_call_keys"


def one(a):
    return a


def mixed(a, /, b=2, *rest, c=3, **more):
    return a, b, rest, c, more


class Service:
    def __init__(self, tenant=None):
        self.tenant = tenant

    def get(self, a, b=2):
        return a, b

    def build(cls, a):  # noqa: N805 - a classmethod's function
        return a


class Keyed(Service):
    def __cache_key__(self):
        return self.tenant


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


# -- what a method is called on ------------------------------------------------------------------


def test_an_instance_without_a_key_stays_out_and_warns_once():
    keys = keys_of(Service.get, receiver="self")
    with pytest.warns(CacheKeyWarning, match="all instances share entries") as caught:
        assert keys.key((Service(), 1), {}) == f"{HERE}:Service.get(a=1,b=2)"
    assert len(caught) == 1
    assert keys.key((Service("x"), 1), {}) == f"{HERE}:Service.get(a=1,b=2)"


def test_a_template_that_names_no_attribute_of_self_warns_once():
    keys = keys_of(Service.get, receiver="self", template="user:{}")
    with pytest.warns(CacheKeyWarning, match="self.tenant"):
        assert keys.key((Service(), 1), {}) == "user:1"
    assert keys.key((Service(), 2), {}) == "user:2"


def test_a_template_that_names_an_attribute_of_self():
    keys = keys_of(Service.get, receiver="self", template="{self.tenant}:{a}")
    assert keys.key((Service("x"), 1), {}) == "x:1"
    assert keys.key((Service("y"), 1), {}) == "y:1"
    assert keys.key((Keyed("z"), 1), {}) == "z:1"


def test_ignore_self_accepts_that_instances_share():
    keys = keys_of(Service.get, receiver="self", ignore=("self",))
    assert keys.key((Service("x"), 1), {}) == keys.key((Keyed("y"), 1), {})


def test_the_cache_key_of_an_instance_goes_in():
    keys = keys_of(Service.get, receiver="self")
    x, y = keys.key((Keyed("x"), 1), {}), keys.key((Keyed("y"), 1), {})
    assert x == f"{HERE}:Service.get[{HERE}:Keyed<'x'>](a=1,b=2)"
    assert x != y != keys.key((Keyed(1), 1), {})
    assert keys.key((), {"self": Keyed("x"), "a": 1}) == x
    template = keys_of(Service.get, receiver="self", template="user:{}")
    assert template.key((Keyed("x|"), 1), {}) == "x%7C|user:1"


def test_a_cache_key_without_a_stable_text():
    with pytest.raises(CacheKeyError, match="'self'"):
        keys_of(Service.get, receiver="self").key((Keyed(shapes.Session()), 1), {})


def test_a_method_needs_something_to_be_called_on():
    with pytest.raises(TypeError, match="self"):
        keys_of(Service.get, receiver="self").key((), {"a": 1})


def test_classes_stay_out_and_the_second_one_warns_once():
    keys = keys_of(Service.build, receiver="cls")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        expected = keys.key((Service, 1), {})
        assert keys.key((Service, 1), {}) == expected
    with pytest.warns(CacheKeyWarning, match="all classes share entries"):
        assert keys.key((Keyed, 1), {}) == expected
    assert keys.key((Keyed, 1), {}) == expected
    silent = keys_of(Service.build, receiver="cls", ignore=("cls",))
    assert silent.key((Service, 1), {}) == silent.key((Keyed, 1), {})


def test_a_template_may_name_the_class():
    keys = keys_of(Service.build, receiver="cls", template="{cls}:{}")
    assert keys.key((Service, 1), {}) == f"~type({HERE}%3AService):1"
    assert keys.key((Keyed, 1), {}) != keys.key((Service, 1), {})


def test_tag_templates_may_name_what_the_key_ignores():
    keys = keys_of(mixed, ignore=("a",))
    template = keys.template("{a}:{}", option="tags")
    assert isinstance(template, Template)
    assert template.fill(keys.parameters.bind((1, 2), {})) == "1:2"


# -- names of functions --------------------------------------------------------------------------


def test_functions_of_one_name_in_different_places_differ():
    class Other:
        def get(self, a, b=2):
            return a, b

    assert key(Other.get, 0, 1) != key(Service.get, 0, 1)


def test_redefined_functions_and_lambdas_differ():
    def define(body):
        scope = {"__name__": "a_module_of_this_test"}
        exec(body, scope)  # noqa: S102
        return scope["f"]

    first, second = define("def f(a): return a"), define("\ndef f(a): return -a")
    assert key(first, 1) == "a_module_of_this_test:f(a=1)"
    assert key(second, 1) == "a_module_of_this_test:f@2(a=1)"
    assert key(define("\ndef f(a): return a + 1"), 1) == "a_module_of_this_test:f@2~2(a=1)"
    assert key(define("def f(a): return a"), 1) == key(first, 1)  # a reload
    pair = (lambda a: a, lambda a: -a)
    assert key(pair[0], 1) != key(pair[1], 1)


def factory(n, **more):
    def inner(a):
        return a, n, more and None

    return inner


def test_closures_are_told_apart_by_what_they_close_over():
    def make(n):
        def inner(a):
            return a, n

        return inner

    assert key(make(1), 0) == key(make(1), 0)
    assert key(make(1), 0) != key(make("1"), 0)
    assert re.fullmatch(rf"{HERE}:.*make\.<locals>\.inner@\d+\[n=1\]\(a=0\)", key(make(1), 0))
    for stable in (os, len, one, shapes.Session, shapes.Point(1)):
        keys = keys_of(make(stable))
        assert keys.key((0,), {}) == key(make(stable), 0)
        assert keys.private_because_of is None


@pytest.mark.parametrize("value", [shapes.Session(), [], {}, [].append, factory(1)], ids=repr)
def test_closures_around_what_has_no_stable_text_share_with_none(value):
    def make(around):
        def inner(a):
            return a, around

        return inner

    keys, twin = keys_of(make(value)), keys_of(make(value))
    assert keys.key((0,), {}) == keys.key((0,), {})
    assert keys.key((0,), {}) != twin.key((0,), {})
    assert keys.private_because_of == "around"
    ignoring = keys_of(make(value), ignore=("around",))
    assert ignoring.key((0,), {}) == key(make(1), 0).replace("[around=1]", "")
    assert ignoring.private_because_of is None
    named = keys_of(make(value), template="{a}")
    named.key((0,), {})
    assert named.private_because_of is None


def test_a_closure_around_itself_is_stable():
    def make():
        def loop(a):
            return loop(a)

        return loop

    assert key(make(), 1) == key(make(), 1)


SCRIPT = """
from armature_cache.keys import CallKeys
def f(a): return a
print(CallKeys(f).key((1,), {}))
"""


def run(*command, cwd):
    return subprocess.run(
        [sys.executable, *command],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


def test_scripts_are_told_apart_by_their_path(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    assert run("script.py", cwd=tmp_path) == f"{script.resolve()}:f(a=1)"
    assert run("-m", "script", cwd=tmp_path) == "script:f(a=1)"
    assert run("-c", SCRIPT, cwd=tmp_path) == "__main__:f@3(a=1)"
    spec = importlib.util.spec_from_file_location("script", script)
    assert spec is not None


@pytest.mark.parametrize("target", [shapes.Session(), min], ids=["an object", "no signature"])
def test_what_has_no_name_or_parameters(target):
    with pytest.raises(ConfigError):
        keys_of(target)
