"""A store in memory, and its faces."""

from __future__ import annotations

import pytest

from armature_cache.stores.memory import InMemoryCache
from armature_cache.stores.tagged import TaggedCache
from tests.contract.faces import Face


@pytest.fixture
def store() -> TaggedCache:
    return TaggedCache(InMemoryCache())


@pytest.fixture(params=["async", "sync"])
def face(request: pytest.FixtureRequest, store: TaggedCache) -> Face:
    return Face(store if request.param == "async" else store.sync())
