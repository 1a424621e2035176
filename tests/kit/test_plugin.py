"""The pytest plugin, in a pytest of its own: as users have it, found by its entry point."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.docs.program import FENCE

FIXTURES = """
import asyncio
import pytest
from armature_cache import ClosedError, sync
from armature_cache.testing import FakeTime, RedisServer

seen = []


def test_time(fake_time):
    assert isinstance(fake_time, FakeTime)
    assert fake_time.frozen


async def test_memory(memory_cache, fake_time):
    await memory_cache.set("k", 1, ttl=60, tags="t")
    assert await memory_cache.get("k") == 1
    fake_time.advance(61)
    assert await memory_cache.get("k") is None


def test_sync_memory(sync_memory_cache, fake_time):
    assert sync_memory_cache.get("k") is None, "a cache for each test"
    sync_memory_cache.set("k", 1, ttl=60)
    fake_time.advance(61)
    assert sync_memory_cache.get("k") is None


@pytest.mark.parametrize("number", [1, 2])
async def test_shared(shared_cache, valkey_server, cache_namespace, number):
    seen.append((valkey_server, cache_namespace, shared_cache))
    assert isinstance(valkey_server, RedisServer)
    assert await shared_cache.get("k") is None
    await shared_cache.set("k", number, tags="t")
    await shared_cache.invalidate_tag("t")
    assert await shared_cache.get("k") is None
    await shared_cache.set("k", number)


def test_each_test_had_a_cache_of_its_own_on_one_server():
    (server, one, cache), (same, other, _) = seen
    assert server is same
    assert one != other
    with pytest.raises(ClosedError):
        asyncio.run(cache.ping())


def test_both_faces_share_without_a_plugin_for_coroutines(sync_shared_cache, shared_cache):
    assert isinstance(sync_shared_cache, sync.TaggedCache)
    sync_shared_cache.set("k", 1)
    assert asyncio.run(shared_cache.get("k")) == 1


async def test_it_is_closed_after_a_failure(shared_cache):
    await shared_cache.set("k", 1)
    raise ZeroDivisionError
"""

FORGETFUL = """
from armature_cache import InMemoryCache
from armature_cache.testing.contract import Kit, StoreContract


class Forgetful(InMemoryCache):
    async def _remove(self, keys):
        return [True for _ in keys]


class MyKit(Kit):
    def build(self, order):
        return Forgetful(default_ttl=order.default_ttl, time=self.time)


class TestForgetful(StoreContract):
    kit_class = MyKit
"""
PAGE = Path(__file__).parents[2] / "docs" / "testing.md"


def _pytest(folder: Path, files: Mapping[str, str], *options: str) -> str:
    for name, text in files.items():
        (folder / name).write_text(text, "utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:randomly"]
    done = subprocess.run(
        [*command, "-W", "error", "-q", *files, *options],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.mark.slow
def test_fixtures(tmp_path: Path):
    said = _pytest(tmp_path, {"test_it.py": FIXTURES}, "-o", "anyio_mode=auto")
    assert "1 failed, 7 passed" in said, said
    assert "ZeroDivisionError" in said


@pytest.mark.slow
def test_the_tests_of_the_page_run(tmp_path: Path):
    blocks = [block[1] for block in FENCE.finditer(PAGE.read_text("utf-8"))]
    files = {block.split("\n", 1)[0][2:]: block for block in blocks if block.startswith("# test_")}
    assert set(files) == {"test_prices.py", "test_my_store.py"}
    said = _pytest(tmp_path, files, "-p", "no:anyio")
    passed = re.search(r"^(\d+) passed in", said, re.MULTILINE)
    assert passed, said
    assert int(passed[1]) > 250


@pytest.mark.slow
def test_the_contract_tells_a_bad_store(tmp_path: Path):
    files = {"test_it.py": FORGETFUL}
    said = _pytest(tmp_path, files, "-p", "no:anyio", "--tb=line", "-k", "delete")
    failed = [line for line in said.splitlines() if line.startswith("FAILED")]
    assert any("test_delete_says_whether" in line for line in failed), said


def test_the_library_does_without_pytest():
    code = """
import sys
import armature_cache, armature_cache.testing
assert not {"pytest", "_pytest", "hypothesis"} & set(sys.modules), "imported"
import armature_cache.testing.faketime
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=50)
