"""The two faces: the same names, parameters, defaults and words."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import armature_cache
import armature_cache.sync

SPELLED = {"aclose": "close", "__aenter__": "__enter__", "__aexit__": "__exit__"}
ONLY_ASYNC = {"bound", "clock", "counters", "max_load_time", "max_ttl", "runtime", "time"}
"""Attributes that serve the machinery."""
FACES = [
    (getattr(armature_cache, name), getattr(armature_cache.sync, name))
    for name in (
        "CacheStore", "InMemoryCache", "MemcachedCache", "NamespacedCache", "NullCache",
        "RedisCache", "TaggedCache", "TieredCache",
    )
]  # fmt: skip
each_class = pytest.mark.parametrize(
    ("awaited", "plain"), FACES, ids=[awaited.__name__ for awaited, _ in FACES]
)


def methods(kind: type) -> dict[str, Any]:
    """The public methods of a class, under their names in the sync face."""
    found = {}
    for name in dir(kind):
        member = inspect.getattr_static(kind, name)
        member = getattr(member, "__func__", member)
        if inspect.isfunction(member) and (not name.startswith("_") or name in _DUNDERS):
            found[SPELLED.get(name, name)] = member
    return found


_DUNDERS = {*SPELLED, *SPELLED.values()}
_MACHINERY = {
    "adopt",
    "complain",
    "discard",
    "drop_all",
    "entry_of",
    "follow",
    "held",
    "hold",
    "remnant",
    "resident",
    "over_blocking",
}
"""What stores call on one another."""


def parameters(method: Any) -> list[tuple[str, Any, Any]]:
    signature = inspect.signature(method)
    return [(each.name, each.kind, each.default) for each in signature.parameters.values()]


@each_class
def test_methods_have_the_same_names(awaited: type, plain: type):
    assert set(methods(awaited)) - _MACHINERY == set(methods(plain))


@each_class
def test_methods_have_the_same_parameters_and_defaults(awaited: type, plain: type):
    theirs = methods(plain)
    for name, method in methods(awaited).items():
        if name not in _MACHINERY:
            assert parameters(method) == parameters(theirs[name]), name


@each_class
def test_methods_have_the_same_docstrings(awaited: type, plain: type):
    theirs = methods(plain)
    for name, method in methods(awaited).items():
        if name not in {*_MACHINERY, "sync"} and not name.startswith("__"):
            doc = inspect.getdoc(method)
            assert doc, name
            assert doc == inspect.getdoc(theirs[name]), name


@each_class
def test_methods_wait_in_one_face_only(awaited: type, plain: type):
    for name, method in methods(plain).items():
        assert not inspect.iscoroutinefunction(method), name


@pytest.mark.parametrize(
    ("awaited", "plain"),
    [pair for pair in FACES if pair[0].__name__ not in {"CacheStore", "NamespacedCache"}],
    ids=lambda kind: kind.__name__,
)
def test_constructors_take_the_same(awaited: Any, plain: Any):
    assert parameters(awaited.__init__) == parameters(plain.__init__)


@each_class
def test_classes_have_docstrings_and_say_their_face(awaited: type, plain: type):
    assert plain.__doc__
    assert vars(armature_cache)["CacheStore"].face == "async"
    assert plain.face == "sync"  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["supports_tags", "default_ttl"])
def test_facts_are_readable_in_both_faces(name: str):
    awaited, plain = armature_cache.InMemoryCache(), armature_cache.sync.InMemoryCache()
    assert getattr(awaited, name) == getattr(plain, name)
