"""Which store a decorated function uses, and what its results are decoded to."""

from __future__ import annotations

import types
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import pytest

from armature_cache import sync
from armature_cache.decorator import cache, get_default_cache, set_default_cache
from armature_cache.decorator.returns import return_type
from armature_cache.entry import Entry
from armature_cache.errors import ConfigError
from armature_cache.keys import CacheKeyWarning
from armature_cache.stores.memory import InMemoryCache
from armature_cache.stores.tagged import TaggedCache

if TYPE_CHECKING:
    from somewhere import Unknown  # type: ignore[import-not-found]

T = TypeVar("T")


@pytest.fixture(autouse=True)
def _no_default():
    set_default_cache(None)
    yield
    set_default_cache(None)


@cache(key="plain")
def plain():
    return 1


@cache(key="awaited")
async def awaited():
    return 1


class Service:
    def __init__(self, store):
        self.cache = store

    @cache(key="method", ignore="self")
    def method(self):
        return 1

    @cache(key="async_method", ignore="self")
    async def async_method(self):
        return 1


async def test_the_default_is_one_in_process_cache_for_both_faces():
    core, face = get_default_cache(), get_default_cache("sync")
    assert isinstance(core, TaggedCache)
    assert isinstance(face, sync.TaggedCache)
    assert get_default_cache("async") is core
    plain.invalidate()
    assert plain() == 1
    assert await core.get("plain") == 1
    set_default_cache(None)
    assert get_default_cache() is core


async def test_each_face_has_its_own_default():
    store = TaggedCache(InMemoryCache())
    set_default_cache(store)
    assert await awaited() == 1
    assert await store.exists("awaited")
    with pytest.raises(ConfigError, match=r"set_default_cache\(store.sync\(\)\)"):
        plain()
    set_default_cache(store.sync())
    assert plain() == 1
    assert await store.exists("plain")
    assert get_default_cache() is store
    set_default_cache(None)
    set_default_cache(store.sync())
    with pytest.raises(ConfigError, match=r"set_default_cache\(store\)"):
        await awaited()


def test_only_a_store_can_be_the_default():
    wrong: Any
    for wrong in (5, InMemoryCache, types.SimpleNamespace(face="other")):
        with pytest.raises(ConfigError, match="a store is needed"):
            set_default_cache(wrong)


async def test_a_store_of_the_other_face_is_refused_with_the_cure():
    store = InMemoryCache()
    with pytest.raises(ConfigError, match=r"using=\(store.sync\(\)\)"):
        cache(using=store)(lambda: 1)
    with pytest.raises(ConfigError, match="methods are awaited"):
        cache(using=store.sync())(awaited.__wrapped__)
    with pytest.raises(ConfigError, match=r"self.cache = \(store.sync\(\)\)"):
        Service(store).method()
    with pytest.raises(ConfigError, match="methods are awaited"):
        await Service(store.sync()).async_method()


async def test_a_method_uses_the_cache_of_its_instance():
    one, other = InMemoryCache(), InMemoryCache()
    assert await Service(one).async_method() == 1
    assert await one.exists("async_method")
    assert not await other.exists("async_method")
    assert await Service(other).async_method.invalidate() is False
    assert await Service(one).async_method.invalidate() is True
    sync_store = sync.InMemoryCache()
    assert Service(sync_store).method() == 1
    assert sync_store.exists("method")
    assert Service.method.invalidate(self=Service(sync_store)) is True
    assert Service.method(self=Service(sync_store)) == 1
    assert sync_store.exists("method")


def test_a_cache_attribute_that_is_no_store_is_passed_by():
    other: Any
    for other in ({}, None, cache, InMemoryCache):
        service = Service(other)
        assert service.method() == 1
        assert service.method.invalidate() is True


def test_using_wins_over_the_instance():
    given = sync.InMemoryCache()

    class Other:
        @cache(using=given, key="k", ignore="self")
        def method(self):
            return 1

        def __init__(self):
            self.cache = sync.InMemoryCache()

    other = Other()
    assert other.method() == 1
    assert given.exists("k")
    assert not other.cache.exists("k")


def test_a_classmethod_uses_the_cache_of_its_class():
    class Model:
        cache = sync.InMemoryCache()

    method: Any = classmethod(lambda cls: 1)
    decorated: Any = cache(key="k")(method)
    assert decorated.__get__(None, Model)() == 1
    assert Model.cache.exists("k")


# -- what results are decoded to -------------------------------------------------------------------


def returns(annotation: Any):
    def function():
        raise NotImplementedError

    function.__annotations__["return"] = annotation
    return return_type(function)


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (int, int),
        ("int", int),
        ("list[Service]", list[Service]),
        (list["Service"], list[Service]),
        (None, type(None)),
        ("int | None", int | None),
        (Annotated[int, "meta"], Annotated[int, "meta"]),
        (Any, None),
        (object, None),
        (T, None),
        (list[T], None),  # type: ignore[valid-type]
        ("Unknown", None),
        ("not python", None),
        ([], None),
    ],
)
def test_the_return_annotation_is_the_type(annotation, expected):
    assert returns(annotation) == expected


def test_other_annotations_do_not_matter():
    def function(a: Unknown) -> int:
        raise NotImplementedError

    assert return_type(function) is int
    assert return_type(lambda: 0) is None
    assert return_type(len) is None
    assert return_type(awaited) is None


class Recorder:
    """A store of the sync face that remembers what it was asked."""

    face = "sync"

    clock: Any = None

    def __init__(self, entry=None):
        self.asked: list[object] = []
        self.entry = entry

    def _peek(self, key):
        return self.entry

    def _fits(self, entry, want):
        self.asked.append(("fits", entry.type_id, want))
        return entry.type_id == 1

    def get_or_set(self, key, loader, **options):
        self.asked.append(options["type"])
        return loader()


def test_the_type_reaches_the_store():
    store: Any = Recorder()

    def typed() -> int:
        return 1

    cache(using=store)(typed)()
    cache(using=store, type=float)(typed)()
    cache(using=store)(lambda: 1)()
    assert store.asked == [int, float, None]


def test_a_resident_entry_of_another_type_is_not_served():
    store: Any = Recorder(Entry("k", "value", asof=0, epoch=0, type_id=1))

    @cache(using=store)
    def typed() -> str:
        return "loaded"

    assert [typed() for _ in range(3)] == ["value"] * 3
    assert store.asked == [("fits", 1, str)]  # what was found to fit is not asked again
    store.entry = Entry("k", "other", asof=0, epoch=0, type_id=2)
    assert typed() == "loaded"
    assert store.asked[1:] == [("fits", 2, str), str]


def test_a_closure_that_no_other_process_can_name_warns_over_a_shared_store():
    store: Any = Recorder()
    replica = types.SimpleNamespace(own=False)
    store.clock = types.SimpleNamespace(replica=replica)
    around = object()

    def make(**options):
        @cache(using=store, **options)
        def inner():
            return around

        return inner

    with pytest.warns(CacheKeyWarning, match="'around'") as caught:
        make()()
    assert len(caught) == 1
    make(ignore="around")()
    make(key="k")()
    replica.own = True
    make()()
