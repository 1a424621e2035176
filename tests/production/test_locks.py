"""A forked child finds no lock held: what another thread held in the parent, nobody releases."""

from __future__ import annotations

import gc
import itertools
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from armature_cache import CacheRegistry, TaggedCache, _forking, cache, open_cache
from armature_cache.clocks.listener import Listener
from armature_cache.sqliteio.upkeep import Upkeep

_KINDS = (type(threading.Lock()), type(threading.RLock()))
_RENEWED = (Listener, Upkeep, redis.ConnectionPool)
"""What gets a lock of its own in a child, or is not used there."""


def _locks(thing: object) -> Iterator[tuple[str, Any]]:
    names = set(getattr(thing, "__dict__", ()))
    for kind in type(thing).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        names.update((slots,) if isinstance(slots, str) else slots)
    for name in names:
        held = getattr(thing, name, None)
        if isinstance(held, _KINDS):
            yield f"{type(thing).__qualname__}.{name}", held


def _is_ours(kind: type) -> bool:
    module = kind.__dict__.get("__module__")  # of some classes it is a descriptor
    others = ("armature_cache.testing", "armature_cache._runtime")
    return (
        isinstance(module, str)
        and module.startswith("armature_cache.")
        and not module.startswith(others)
    )


def _taken_at_forks() -> set[int]:
    known = [*_forking._known, *_forking._leaving]
    of_things = itertools.chain.from_iterable(thing.fork_locks() for thing in known)
    return {id(each) for each in (*of_things, *_forking._leaves, *_forking._outer)}


@pytest.fixture(params=["server", "file", "memory"])
def opened(request: pytest.FixtureRequest, tmp_path: Path, namespace: str) -> Iterator[Any]:
    urls: dict[str, Callable[[], str]] = {
        "server": lambda: request.getfixturevalue("valkey").url,
        "file": lambda: f"sqlite:///{tmp_path}/cache",
        "memory": lambda: "memory://",
    }
    store = open_cache(urls[request.param](), namespace=namespace).sync()
    yield store
    store.close()


def test_every_lock_is_taken_before_a_fork(opened: Any) -> None:
    registry = CacheRegistry.from_mapping({"default": {"url": "memory://"}})

    @cache(using=opened, key="k:{x}")
    def read(x: int) -> int:
        return x

    assert read(1) == 1
    opened.set("k", 1, tags="t")
    opened.invalidate_tag("t")
    assert isinstance(registry["default"], TaggedCache)
    things = [
        each for each in gc.get_objects() if _is_ours(type(each)) and not isinstance(each, _RENEWED)
    ]
    taken = _taken_at_forks()
    found = [name for each in things for name, lock in _locks(each) if id(lock) not in taken]
    assert found == []


@pytest.mark.parametrize("make", [_forking.leaf_lock, _forking.outer_lock])
def test_a_lock_that_another_thread_holds_is_free_in_the_child(
    make: Callable[[], Any],
) -> None:
    lock, held = make(), threading.Event()

    def hold() -> None:
        with lock:
            held.set()
            threading.Event().wait(0.1)  # the fork has to wait for this

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(10)
    pid = os.fork()
    if not pid:
        os._exit(0 if lock.acquire(timeout=10) else 1)
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
