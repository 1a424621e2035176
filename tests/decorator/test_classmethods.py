"""The class that a classmethod is called on."""

from __future__ import annotations

import pytest

from armature_cache.decorator import cache
from armature_cache.errors import ConfigError
from armature_cache.keys import CacheKeyWarning


class Service:
    @classmethod
    @cache
    def below_class(cls, a):
        return cls.__name__, a


def test_a_classmethod_that_is_not_told_its_class():
    """From Python 3.13 on, `Service.below_class.key_for` is asked in this way."""
    function = vars(Service)["below_class"].__func__
    expected = Service.below_class.key_for(1)
    assert function.key_for(1) == function.key_for(Service, 1) == expected
    assert function.refresh(1) == ("Service", 1)

    class Local:
        @classmethod
        @cache
        def build(cls):
            return 1

    with pytest.raises(ConfigError, match="write @cache above @classmethod"):
        vars(Local)["build"].__func__.key_for()


def test_a_classmethod_of_two_classes_warns_once():
    class Base:
        @cache
        @classmethod
        def name(cls):
            return cls.__name__

    class Derived(Base): ...

    assert Base.name() == "Base"
    with pytest.warns(CacheKeyWarning, match="all classes share entries") as caught:
        Derived.name()
    assert caught[0].filename == __file__
    Derived.name()
