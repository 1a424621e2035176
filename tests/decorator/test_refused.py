"""What is refused when a function is decorated."""

from __future__ import annotations

import functools
import inspect
from typing import Any

import pytest

from armature_cache.decorator import cache
from armature_cache.errors import ConfigError
from armature_cache.stores.memory import InMemoryCache


@cache
def plain(a):
    return a


class Service:
    def method(self):
        return 1


@pytest.mark.parametrize(
    ("target", "advice"),
    [
        (Service, "decorate a function"),
        (5, "options are given by name"),
        ("user:{id}", "options are given by name"),
        (Service().method, "in the body of its class"),
        (InMemoryCache(), r"@cache\(using=store\)"),
        ([].append, "in the body of its class"),
        (functools.partial(print), "no name to make keys of"),
        (plain, "cached already"),
    ],
    ids=["class", "number", "text", "bound method", "bound builtin", "store", "partial", "twice"],
)
def test_what_cannot_be_cached(target, advice):
    with pytest.raises(ConfigError, match=advice):
        cache(target)


def test_generators_cannot_be_cached():
    def generator():
        yield 1

    async def async_generator():
        yield 1

    for function in (generator, async_generator, staticmethod(generator)):
        with pytest.raises(ConfigError, match="return a list"):
            cache(function)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"key": "{c}"}, "key"),
        ({"key": ""}, "key"),
        ({"key": 5}, "key"),
        ({"tags": "{c}"}, "tags"),
        ({"tags": 5}, "tags"),
        ({"tags": [5]}, "tags"),
        ({"tag": 5}, "tag"),
        ({"ignore": "c"}, "ignore"),
        ({"ignore": 5}, "ignore"),
        ({"using": 5}, "using"),
        ({"using": InMemoryCache}, "using"),
        ({"using": InMemoryCache()}, "using"),
    ],
)
def test_options_are_checked_when_decorating(options, field):
    with pytest.raises(ConfigError) as caught:
        cache(**options)(lambda a: a)
    assert caught.value.field == field


def test_a_coroutine_function_that_is_not_known_as_one_is_refused():
    async def hidden():
        return 1

    def looks_plain():
        return hidden()

    decorated: Any = cache(looks_plain)
    with pytest.raises(ConfigError):
        decorated()
    assert not inspect.iscoroutinefunction(decorated)
