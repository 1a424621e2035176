"""A thousand tasks and two hundred threads want a cold key: it is loaded once."""

from __future__ import annotations

import asyncio
import signal
import threading
from pathlib import Path

import pytest

from armature_cache import InMemoryCache
from tests.resilience.crowd import Crowd, rushed

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("processes", [1, 4])
@pytest.mark.parametrize("hints", [True, False], ids=["hints", "polling"])
def test_a_cold_key_is_loaded_once(
    server_url: str, namespace: str, tmp_path: Path, processes: int, hints: bool
):
    crowd = Crowd(server_url, namespace, tmp_path / "loads", hints=hints)
    with rushed(crowd, processes) as ended:
        assert [process.exitcode for process in ended] == [0] * processes
    assert crowd.loads == 1


def test_a_dead_holder_passes_its_claim_on(server_url: str, namespace: str, tmp_path: Path):
    crowd = Crowd(
        server_url, namespace, tmp_path / "loads", tasks=100, threads=20, lock_timeout=2.0,
        fatal=True,
    )  # fmt: skip
    with rushed(crowd, 4) as ended:
        codes = sorted(process.exitcode or 0 for process in ended)
        assert codes == [-signal.SIGKILL, 0, 0, 0]
    assert crowd.loads == 2


async def test_tasks_and_threads_of_one_process_load_once_without_a_server():
    loads, loading = [], threading.Event()

    def load() -> str:
        loads.append(1)
        loading.wait(0.05)
        return "value"

    core = InMemoryCache()
    face = core.sync()
    got: list[str] = []
    threads = [
        threading.Thread(target=lambda: got.append(face.get_or_set("k", load))) for _ in range(200)
    ]
    for thread in threads:
        thread.start()
    got += await asyncio.gather(*(core.get_or_set("k", load) for _ in range(1000)))
    for thread in threads:
        await asyncio.to_thread(thread.join)
    assert got == ["value"] * 1200
    assert len(loads) == 1
    assert len(core._flights) == len(face._core._flights) == len(core._claims) == 0
