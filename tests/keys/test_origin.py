from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from armature_cache.errors import ConfigError
from armature_cache.keys import CallKeys
from tests.keys import key_shapes as shapes

ROOT = Path(__file__).parents[2]
HERE = "tests.keys.test_origin"


def one(a):
    return a


class Service:
    def get(self, a, b=2):
        return a, b


def keys_of(function, **options):
    return CallKeys(function, **options)


def key(function, *args, **kwargs):
    return keys_of(function).key(args, kwargs)


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


@pytest.mark.parametrize("value", [shapes.Session(), [], {}, [].append, factory(1)])
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


@pytest.mark.parametrize("target", [shapes.Session(), min], ids=["an object", "no signature"])
def test_what_has_no_name_or_parameters(target):
    with pytest.raises(ConfigError):
        keys_of(target)
