"""Functions that write while the server is gone: who is told, and what is served."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from armature_cache import (
    BackendError,
    CacheConfig,
    InMemoryCache,
    InvalidationError,
    RedisCache,
    TaggedCache,
    TieredCache,
    TieredCacheConfig,
)
from armature_cache.decorator import cache, cache_invalidate, cache_update
from armature_cache.testing import RedisServer
from tests.conftest import StartServer
from tests.contract.faces import Face, eventually

pytestmark = pytest.mark.faults

GONE = "gone"


@pytest.fixture
def server(start_server: StartServer) -> RedisServer:
    return start_server()


@pytest.fixture(params=["async", "sync"])
async def face(request: pytest.FixtureRequest, server: RedisServer) -> AsyncIterator[Face]:
    config = CacheConfig.redis(server.url, hints=False, operation_timeout=0.5, connect_timeout=0.5)
    tiers = TieredCacheConfig(staleness_bound=3600.0)
    core = TaggedCache(TieredCache(InMemoryCache(), RedisCache(config), tiers))
    made = Face(core if request.param == "async" else core.sync())
    yield made
    if not server.running:
        server.start()
    await made.close()


class Rows:
    def __init__(self, face: Face, on_failure: Any) -> None:
        self.rows = {1: "old"}
        options: dict[str, Any] = {"on_failure": on_failure}

        async def read(number: int) -> str:
            return self.rows[number]

        async def write(number: int, value: str) -> str:
            self.rows[number] = value
            if value == "bad":
                raise LookupError(value)
            return value

        self.read = face.made(
            cache(using=face.store, key="row:{number}", tags="row:{number}"), read
        )
        self.update = face.made(cache_update(key=self.read, on_error=True, **options), write)
        self.invalidate = face.made(
            cache_invalidate(tags="row:{number}", on_error=True, using=face.store, **options), write
        )
        self.early = face.made(
            cache_invalidate(tags="row:{number}", before=True, using=face.store, **options), write
        )


@pytest.mark.parametrize("name", ["update", "invalidate"])
async def test_the_work_is_done_and_the_old_value_is_served_no_more(
    face: Face, server: RedisServer, name: str, caplog: pytest.LogCaptureFixture
):
    rows = Rows(face, "log")
    assert await face.run(rows.read(1)) == "old"
    server.kill()
    with caplog.at_level(logging.ERROR, "armature_cache"):
        assert await face.run(getattr(rows, name)(1, "new")) == "new"
    assert any("did not acknowledge" in record.message for record in caplog.records)
    assert await face.run(rows.read(1)) == "new"
    assert face.stats().pending_invalidations
    server.start()

    async def sent() -> bool:
        await face.get("anything", consistency="strong")
        return bool(face.stats().pending_invalidations == 0)

    await eventually(sent, "what was not acknowledged is sent again")
    assert await face.run(rows.read(1)) == "new"


@pytest.mark.parametrize("name", ["update", "invalidate"])
async def test_callers_who_want_to_know_are_told(face: Face, server: RedisServer, name: str):
    rows = Rows(face, "raise")
    assert await face.run(rows.read(1)) == "old"
    server.kill()
    with pytest.raises((InvalidationError, BackendError)) as caught:
        await face.run(getattr(rows, name)(1, "new"))
    assert caught.value.__notes__ == ["The function itself has returned."]
    assert rows.rows[1] == "new"
    assert await face.run(rows.read(1)) == "new"


@pytest.mark.parametrize("name", ["update", "invalidate"])
@pytest.mark.parametrize("on_failure", ["log", "raise"])
async def test_an_error_of_the_function_comes_first(
    face: Face, server: RedisServer, name: str, on_failure: str
):
    rows = Rows(face, on_failure)
    await face.run(rows.read(1))
    server.kill()
    with pytest.raises(LookupError, match="bad"):
        await face.run(getattr(rows, name)(1, "bad"))
    assert await face.run(rows.read(1)) == "bad", "it had written"


async def test_nothing_is_written_where_it_cannot_be_invalidated_before(
    face: Face, server: RedisServer
):
    careful, careless = Rows(face, "raise"), Rows(face, "log")
    await face.ping()
    server.kill()
    with pytest.raises(InvalidationError) as caught:
        await face.run(careful.early(1, "new"))
    assert not hasattr(caught.value, "__notes__")
    assert careful.rows[1] == "old"
    assert await face.run(careless.early(1, "new")) == "new"
    assert careless.rows[1] == "new"
