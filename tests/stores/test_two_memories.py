"""Two tiers over one store in memory: what one does, the other's L1 learns at once."""

from __future__ import annotations

import pytest

from armature_cache import InMemoryCache, TaggedCache, TieredCache


@pytest.mark.parametrize("how", ["set", "delete", "invalidate", "expire"])
async def test_two_first_tiers_over_one_memory(how: str):
    far = TaggedCache(InMemoryCache())
    one, other = (TaggedCache(TieredCache(InMemoryCache(), far)) for _ in range(2))
    await one.set("k", 1, tags="t", ttl=60)
    assert [await other.get("k"), await other.get("k")] == [1, 1]
    if how == "set":
        await one.set("k", 2)
        assert await other.get("k") == 2
    elif how == "expire":
        await one.expire("k", 30)
        assert await other.get("k") == 1
    else:
        await (one.delete("k") if how == "delete" else one.invalidate_tag("t"))
        assert await other.get("k") is None
