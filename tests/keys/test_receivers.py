"""What a method is called on, in its keys."""

from __future__ import annotations

import warnings

import pytest

from armature_cache.errors import CacheKeyError
from armature_cache.keys import CacheKeyWarning, CallKeys
from tests.keys import key_shapes as shapes

HERE = "tests.keys.test_receivers"


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


def test_an_instance_without_a_key_stays_out():
    keys = keys_of(Service.get, receiver="self")
    assert keys.key((Service(), 1), {}) == f"{HERE}:Service.get(a=1,b=2)"
    assert keys.key((Service("x"), 1), {}) == f"{HERE}:Service.get(a=1,b=2)"


def test_a_template_that_names_no_attribute_of_self_warns_once():
    keys = keys_of(Service.get, receiver="self", template="user:{}")
    with pytest.warns(CacheKeyWarning, match="all instances share entries") as caught:
        assert keys.key((Service(), 1), {}) == "user:1"
    assert len(caught) == 1
    assert "self.tenant" in str(caught[0].message)
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
