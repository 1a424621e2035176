"""Functions that call themselves, and callers that come together."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from armature_cache.decorator import FunctionStats, cache
from armature_cache.stores.memory import InMemoryCache
from armature_cache.stores.tagged import TaggedCache


@pytest.fixture
def store():
    return TaggedCache(InMemoryCache())


async def test_a_recursive_coroutine_function(store):
    @cache(using=store)
    async def fib(n):
        return n if n < 2 else await fib(n - 1) + await fib(n - 2)

    assert await fib(60) == 1548008755920
    assert fib.stats().misses == 61


def test_a_recursive_function(store):
    @cache(using=store.sync())
    def fib(n):
        return n if n < 2 else fib(n - 1) + fib(n - 2)

    assert fib(30) == 832040
    assert fib.stats().misses == 31


def test_a_recursive_function_in_many_threads(store):
    @cache(using=store.sync())
    def fib(n):
        return n if n < 2 else fib(n - 1) + fib(n - 2)

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(fib, [25] * 32)) == {75025}


async def test_concurrent_callers_share_one_run(store):
    gate, running, ran = asyncio.Event(), asyncio.Event(), []

    @cache(using=store)
    async def slow(x):
        ran.append(x)
        running.set()
        await gate.wait()
        return x

    callers = [asyncio.create_task(slow(1)) for _ in range(100)]
    await running.wait()
    gate.set()
    assert await asyncio.gather(*callers) == [1] * 100
    assert ran == [1]
    assert slow.stats() == FunctionStats(hits=99, misses=1, errors=0)


def test_concurrent_threads_share_one_run(store):
    started, ran = threading.Barrier(8), []

    @cache(using=store.sync())
    def slow(x):
        ran.append(x)
        return x

    def call(_):
        started.wait()
        return slow(1)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(call, range(8))) == [1] * 8
    assert ran == [1]
    assert slow.stats().misses == 1


async def test_a_cancelled_caller_leaves_the_others_waiting(store):
    gate = asyncio.Event()

    @cache(using=store)
    async def slow():
        await gate.wait()
        return 1

    first, second = asyncio.create_task(slow()), asyncio.create_task(slow())
    for _ in range(5):
        await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    gate.set()
    assert await second == 1
    with pytest.raises(asyncio.CancelledError):
        await first
