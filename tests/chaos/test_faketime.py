from __future__ import annotations

import datetime
import threading
import time as real

import pytest

from armature_cache import InMemoryCache
from armature_cache.testing import FakeTime


def test_it_stands_still_until_it_is_moved():
    time = FakeTime()
    assert time() == time() == time.now
    before = time.now
    assert time.advance(2.5) == before + 2.5
    assert time.advance(datetime.timedelta(minutes=1)) == before + 62.5
    assert time.frozen
    assert "frozen" in repr(time)
    assert FakeTime(7)() == 7.0


def test_it_goes_back_only_by_a_jump():
    time = FakeTime(10.0)
    with pytest.raises(ValueError, match="jump"):
        time.advance(-1)
    assert time() == 10.0
    assert time.jump(-3) == 7.0
    assert time.jump(datetime.timedelta(seconds=1)) == 8.0


def test_it_can_flow():
    time = FakeTime()
    began, start = real.monotonic(), time()
    time.flow(1000.0)
    assert not time.frozen
    while time() < start + 5:
        assert real.monotonic() - began < 10
    time.advance(3600)
    assert time() > start + 3605
    stopped = time.freeze()
    assert time() == time() == stopped
    for rate in (0, -1):
        with pytest.raises(ValueError, match="rate"):
            time.flow(rate)


def test_another_process_reads_it_otherwise():
    time = FakeTime(100.0)
    fast = time.elsewhere(offset=-50.0, rate=2.0)
    assert fast() == 50.0
    time.advance(10)
    assert fast() == 70.0
    with pytest.raises(ValueError, match="rate"):
        time.elsewhere(rate=0)


def test_threads_lose_no_step():
    time = FakeTime(0.0)

    def run() -> None:
        for _ in range(1000):
            time.advance(1)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time() == 4000.0


async def test_a_store_lives_by_it():
    time = FakeTime()
    cache = InMemoryCache(default_ttl=60, time=time)
    await cache.set("k", 1)
    time.advance(59.9)
    assert await cache.get("k") == 1
    time.advance(0.2)
    assert await cache.get("k") is None
