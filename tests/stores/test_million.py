"""A million entries in L1, at its bound."""

from __future__ import annotations

import pytest

from armature_cache.sync import InMemoryCache, TaggedCache

MILLION = 1_000_000


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_million_entries_and_never_one_more() -> None:
    inner = InMemoryCache(max_entries=MILLION)
    cache = TaggedCache(inner)
    extra = 20_000
    for n in range(MILLION + extra):
        cache.set(str(n), n, tags=("even",) if n % 2 == 0 else ("odd",), ttl=3600)
    stats = cache.stats()
    assert stats.entries == MILLION
    assert stats.evictions == extra
    assert cache.get(str(MILLION + extra - 1)) == MILLION + extra - 1
    held = sum(cache.get(str(n)) == n for n in range(0, MILLION, 1000))
    assert held > 900
    cache.invalidate_tag("even")
    assert all(cache.get(str(n)) is None for n in range(0, MILLION, 1000))
    cache.clear()
    assert cache.stats().entries == 0
