"""Every kind of callable, and what others see of it."""

from __future__ import annotations

import copy
import functools
import inspect
import pickle
import weakref
from typing import Any

import pytest

from armature_cache.decorator import AsyncCachedFunction, CachedFunction, cache
from armature_cache.keys import CacheKeyWarning

HERE = "tests.decorator.test_kinds"


@cache
def plain(a: int, b: str = "x") -> str:
    """Plain docs."""
    return f"{a}{b}"


@cache(ttl=60)
async def awaited(a: int) -> int:
    """Async docs."""
    return a


class Service:
    def __init__(self, tenant="t"):
        self.tenant = tenant

    def __cache_key__(self):
        return self.tenant

    @cache
    def method(self, a: int) -> tuple[str, int]:
        """Method docs."""
        return self.tenant, a

    @cache
    async def awaited(self, a: int) -> tuple[str, int]:
        return self.tenant, a

    @cache
    @classmethod
    def above_class(cls, a):
        return cls.__name__, a

    @classmethod
    @cache
    def below_class(cls, a):
        return cls.__name__, a

    @cache
    @staticmethod
    def above_static(a):
        return a

    @staticmethod
    @cache
    def below_static(a):
        return a

    @cache(key="{this.tenant}:{}")
    def odd(this, a):  # noqa: N805
        return this.tenant, a

    @cache(key="table:{cls.table}:{}")
    @classmethod
    def of_table(cls, a):
        return cls.table, a

    table = "base"


class Child(Service):
    table = "child"


@pytest.mark.parametrize("name", ["above_static", "below_static"])
def test_staticmethods(name):
    for target in (Service, Service()):
        function = getattr(target, name)
        assert function(1) == function(1) == 1
        assert function.key_for(1) == f"{HERE}:Service.{name}(a=1)"
        assert function.invalidate(1) is True


@pytest.mark.parametrize("name", ["above_class", "below_class"])
def test_classmethods(name):
    for target in (Service, Service()):
        function = getattr(target, name)
        assert function(1) == function(1) == ("Service", 1)
        assert function.key_for(1) == f"{HERE}:Service.{name}(a=1)"
        assert function.tags_for(1) == ()
        assert function.refresh(a=1) == ("Service", 1)
        assert function.invalidate(1) is True
        assert function.invalidate(1) is False


def test_a_classmethod_whose_template_names_the_class():
    assert (Service.of_table(1), Child.of_table(1)) == (("base", 1), ("child", 1))
    assert Child.of_table.key_for(1) == "table:child:1"


def test_methods_are_bound_and_unbound():
    red, blue = Service("red"), Service("blue")
    assert (red.method(1), blue.method(1)) == (("red", 1), ("blue", 1))
    assert Service.method(red, 1) == ("red", 1)
    assert Service.method(self=red, a=1) == ("red", 1)
    assert red.method.key_for(1) == f"{HERE}:Service.method[{HERE}:Service<'red'>](a=1)"
    assert Service.method.key_for(red, 1) == red.method.key_for(a=1)
    assert red.method.invalidate(1) is True
    assert Service.method.invalidate(blue, 1) is True
    assert red.method.refresh(1) == ("red", 1)
    assert isinstance(red.method, CachedFunction)
    assert red.method.stats() is not None
    assert red.method == red.method != blue.method
    assert hash(red.method) == hash(red.method)
    assert red.method != Service.method != 1


async def test_coroutine_methods():
    red = Service("red")
    assert await red.awaited(1) == await Service.awaited(red, 1) == ("red", 1)
    assert await red.awaited.refresh(1) == ("red", 1)
    assert await red.awaited.invalidate(1) is True
    assert await Service.awaited.invalidate(red, 1) is False
    assert isinstance(red.awaited, AsyncCachedFunction)


def test_a_receiver_of_another_name():
    assert Service("red").odd(1) == ("red", 1)
    assert Service("red").odd.key_for(1) == "red:1"


def test_an_inherited_method_keeps_its_name():
    child = Child("red")
    assert child.method.key_for(1) == f"{HERE}:Service.method[{HERE}:Child<'red'>](a=1)"


def test_an_instance_without_a_key_warns_at_the_callers_line():
    class Bare:
        @cache(key="bare:{a}")
        def get(self, a):
            return a

    bare = Bare()
    with pytest.warns(CacheKeyWarning, match=r'ignore=\("self",\)') as caught:
        bare.get(1)
    assert caught[0].filename == __file__
    assert bare.get(1) == Bare().get(1) == 1


def test_a_function_that_is_put_into_a_class_is_no_method_of_it():
    class Holder:
        helper = plain

    assert Holder.helper(1) == "1x"
    assert plain.key_for(1) != plain.key_for(2)


def test_others_see_the_original():
    for function, original in (
        (plain, "plain"),
        (awaited, "awaited"),
        (Service.method, "Service.method"),
    ):
        assert function.__qualname__ == original
        assert function.__module__ == HERE
        assert function.__wrapped__.__qualname__ == original
        assert inspect.signature(function) == inspect.signature(function.__wrapped__)
        assert original.rpartition(".")[2] in repr(function)
    assert plain.__doc__ == inspect.getdoc(plain) == "Plain docs."
    assert plain.__name__ == "plain"
    assert plain.__wrapped__(1) == "1x"
    assert CachedFunction.__doc__ == "A plain function whose results are cached."


def test_others_see_the_bound_original():
    bound: Any = Service("red").method
    unbound: Any = plain
    assert str(inspect.signature(bound)) == "(a: 'int') -> 'tuple[str, int]'"
    assert bound.__name__ == "method"
    assert bound.__doc__ == "Method docs."
    assert bound.__wrapped__(1) == ("red", 1)
    assert bound.__self__.tenant == "red"
    assert bound.__func__ is Service.method
    assert "Service.method of <" in repr(bound)
    with pytest.raises(AttributeError, match="nothing"):
        _ = bound.nothing
    with pytest.raises(AttributeError, match="nothing"):
        _ = unbound.nothing


def test_coroutine_functions_are_known_as_such():
    function: Any
    for function in (awaited, Service().awaited, Service.awaited):
        assert inspect.iscoroutinefunction(function)
    for function in (plain, Service().method, Service.above_class, Service.below_static):
        assert not inspect.iscoroutinefunction(function)
        assert callable(function)


def test_frameworks_that_look_into_partials_find_a_function():
    function: Any = awaited
    while isinstance(function, functools.partial):
        function = function.func
    assert inspect.isfunction(function)


def test_functions_are_pickled_and_copied_by_reference():
    for function in (plain, awaited, Service.method, Service.below_static):
        assert pickle.loads(pickle.dumps(function)) is function  # noqa: S301
        assert copy.copy(function) is copy.deepcopy(function) is function
    assert weakref.ref(plain)() is plain
    bound = pickle.loads(pickle.dumps(Service("red").method))  # noqa: S301
    assert bound(1) == ("red", 1)


def test_a_partial_of_a_cached_function():
    assert functools.partial(plain, 1)("y") == "1y"
    assert functools.partial(Service("red").method, 1)() == ("red", 1)


def test_attributes_of_the_original_are_kept():
    def function():
        return 1

    vars(function)["mark"] = "mark"
    decorated: Any = cache(function)
    assert decorated.mark == "mark"


def test_a_function_behind_another_decorator():
    def twice(function):
        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            return function(*args, **kwargs) * 2

        return wrapper

    @cache
    @twice
    def text(a):
        return a

    @twice
    @cache
    def other(a):
        return a

    assert text("a") == text("a") == other("a") == "aa"
    assert ".text@" in text.key_for("a")


class Meta(type):
    @cache
    def of_class(cls, a):
        return cls.__name__, a


class WithMeta(metaclass=Meta): ...


def test_a_method_of_a_metaclass():
    assert WithMeta.of_class(1) == WithMeta.of_class(1) == ("WithMeta", 1)
