from __future__ import annotations

import json
import lzma
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from armature_cache.demo.fleet import Fleet, WorkerError
from armature_cache.demo.ledger import Ledger, Old
from armature_cache.demo.mix import ShopMix
from armature_cache.demo.run import Settings, run
from armature_cache.demo.services import UserService
from armature_cache.demo.tally import Counts, Histogram, Tally
from armature_cache.demo.trace import TraceError, TraceReplay, read_trace
from armature_cache.demo.worker import Job, Run
from armature_cache.stores.tier_config import TieredCacheConfig
from armature_cache.testing import RedisServer

MS = 1_000_000


class ForgetfulUserService(UserService):
    """Forgets to invalidate."""

    async def update_user(self, user_id: int, name: str) -> int:
        return await self.database.update_user(user_id, name)


def ignore(name: str, seconds: float | None, counts: Counts) -> None:
    """No display."""


def demo(*options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "armature_cache.demo", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def outcome(process: subprocess.Popen[str]) -> tuple[dict[str, Any], str, str]:
    output, errors = process.communicate(timeout=50)
    return json.loads(output.splitlines()[-1]), output, errors


def write_trace(path: Path, accesses: int = 4000) -> Path:
    words = ((3 << 27) | (number % 40 << 9) | number % 3 for number in range(accesses))
    path.write_bytes(lzma.compress(b"".join(struct.pack(">I", word) for word in words)))
    return path


@pytest.mark.slow
def test_the_demo_finds_no_stale_read():
    process = demo("--seconds", "2", "--workers", "2")
    result, output, errors = outcome(process)
    assert (process.returncode, result["demo"], errors) == (0, "ok", "")
    assert result["stale_reads"] == 0
    assert result["reads"] == result["l1_hits"] + result["l2_hits"] + result["loads"]
    assert min(result["l1_hits"], result["l2_hits"], result["invalidations"]) > 0
    assert 0 < result["network_bytes_saved_pct"] < 100
    assert "STALE READS AFTER THE BOUND" in output


@pytest.mark.slow
def test_the_demo_needs_no_server():
    result, output, errors = outcome(demo("--seconds", "2", "--workers", "2", "--l2", "sqlite"))
    assert (result["demo"], errors) == ("ok", "")
    assert result["stale_reads"] == 0
    assert min(result["l1_hits"], result["l2_hits"], result["invalidations"]) > 0
    assert "network bytes" not in output


@pytest.mark.slow
def test_a_trace_is_replayed_to_its_end(tmp_path: Path, valkey: RedisServer):
    trace = write_trace(tmp_path / "small.trace.xz")
    process = demo("--trace", str(trace), "--workers", "2", "--seconds", "20", "--url", valkey.url)
    result, _, errors = outcome(process)
    assert (process.returncode, result["demo"], errors) == (0, "ok", "")
    assert result["reads"] == 4000
    assert result["loads"] >= 120


@pytest.mark.slow
def test_nothing_is_left_on_a_server_that_was_given(valkey: RedisServer):
    import redis

    with redis.Redis.from_url(valkey.url) as client:
        result, _, _ = outcome(demo("--seconds", "1", "--workers", "1", "--url", valkey.url))
        assert result["demo"] == "ok"
        assert list(client.scan_iter(match="*demo*")) == []


@pytest.mark.slow
def test_an_update_that_does_not_invalidate_is_found():
    mix = ShopMix(users=20, products=20, user_service=ForgetfulUserService)
    found = run(Settings(mix, seconds=1.5, workers=2), ignore)
    result = found.as_json()
    assert result["stale_reads"] > 0
    assert (result["demo"], found.audit.different > 0) == ("failed", True)
    assert "stale reads" in result["error"]


@pytest.mark.slow
def test_ctrl_c_ends_everything():
    process = demo("--seconds", "60", "--workers", "2")
    assert process.stdout is not None
    assert "reads" in process.stdout.readline()
    os.killpg(process.pid, signal.SIGINT)
    result, _, errors = outcome(process)
    assert (process.returncode, result["demo"], result["error"]) == (130, "failed", "interrupted")
    assert "Traceback" not in errors
    wait_until(lambda: not group_lives(process.pid))


@pytest.mark.slow
@pytest.mark.faults
def test_a_worker_that_dies_is_named(tmp_path: Path, valkey: RedisServer, namespace: str):
    mix = ShopMix(users=20, products=20)
    Ledger.create(tmp_path / "ledger", mix.create(tmp_path))
    job = Job(mix, tmp_path, valkey.url, 2, 0.1)

    def kill(counts: Counts) -> None:
        os.kill(fleet.pids[1], signal.SIGKILL)

    with Fleet(job) as fleet:
        pids = fleet.pids
        with pytest.raises(WorkerError, match="worker 1 was killed by SIGKILL"):
            fleet.order(Run(namespace, TieredCacheConfig(), seconds=30), Tally, kill)
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@pytest.mark.slow
def test_what_a_worker_raises_is_told(tmp_path: Path, namespace: str):
    mix = ShopMix(users=20, products=20)
    Ledger.create(tmp_path / "ledger", mix.create(tmp_path))
    job = Job(mix, tmp_path / "elsewhere", "redis://127.0.0.1:1/0", 1, 0.1)
    with Fleet(job) as fleet, pytest.raises(WorkerError, match="worker 0 ended early"):
        fleet.order(Run(namespace, TieredCacheConfig(), seconds=1), Tally)


def broken(content: bytes) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.write_bytes(content)

    return make


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "No such file"),
        (broken(b"no xz file at all"), "not a whole xz file"),
        (broken(lzma.compress(bytes(4000))[:-20]), "not a whole xz file"),
        (broken(lzma.compress(b"odd")), "holds 3 bytes"),
        (broken(lzma.compress(b"")), "holds 0 bytes"),
    ],
    ids=["missing", "foreign", "cut", "odd", "empty"],
)
def test_a_trace_that_cannot_be_read_is_named(
    tmp_path: Path, make: Callable[[Path], None], message: str
):
    path = tmp_path / "some.trace.xz"
    make(path)
    with pytest.raises(TraceError, match=message) as caught:
        read_trace(path)
    assert str(path) in str(caught.value)


@pytest.mark.slow
def test_a_missing_trace_is_a_failure_with_a_verdict(tmp_path: Path):
    process = demo("--trace", str(tmp_path / "none.xz"))
    result, _, errors = outcome(process)
    assert (process.returncode, result["demo"]) == (1, "failed")
    assert "cannot read the trace" in errors
    assert "Traceback" not in errors


def test_a_trace_keeps_its_order_and_its_bits(tmp_path: Path):
    accesses = read_trace(write_trace(tmp_path / "small.trace.xz", 5))
    assert [(word >> 27, word >> 9 & 0x3FFFF, word & 511) for word in accesses] == [
        (3, 0, 0), (3, 1, 1), (3, 2, 2), (3, 3, 0), (3, 4, 1),
    ]  # fmt: skip
    assert TraceReplay(tmp_path / "small.trace.xz").create(tmp_path) == 5


@pytest.mark.parametrize(
    ("version", "began", "verdict"),
    [
        (2, 500, None),
        (1, 99, None),
        (1, 150, Old(50 * MS, stale=False)),
        (1, 200, Old(100 * MS, stale=False)),
        (1, 201, Old(101 * MS, stale=True)),
    ],
    ids=["newest", "before", "within", "at the bound", "after"],
)
def test_the_ledger_judges_by_the_bound(
    tmp_path: Path, version: int, began: int, verdict: Old | None
):
    Ledger.create(tmp_path / "ledger", 3)
    with Ledger(tmp_path / "ledger", 0, 0.1) as other, Ledger(tmp_path / "ledger", 1, 0.1) as mine:
        other.acknowledge(1, 2, 100 * MS)
        assert mine.judge(1, version, began * MS) == verdict
        assert mine.judge(0, version, began * MS) is None


def test_a_later_update_does_not_excuse_an_earlier_one(tmp_path: Path):
    Ledger.create(tmp_path / "ledger", 1)
    with Ledger(tmp_path / "ledger", 0, 0.1) as other, Ledger(tmp_path / "ledger", 1, 0.1) as mine:
        other.acknowledge(0, 2, 100 * MS)
        other.acknowledge(0, 3, 190 * MS)
        assert mine.judge(0, 1, 201 * MS) == Old(101 * MS, stale=True)
        assert mine.judge(0, 2, 201 * MS) == Old(11 * MS, stale=False)


def test_an_own_update_is_to_be_seen_at_once(tmp_path: Path):
    Ledger.create(tmp_path / "ledger", 1)
    with Ledger(tmp_path / "ledger", 0, 0.1) as mine:
        mine.acknowledge(0, 2, 100 * MS)
        assert mine.judge(0, 1, 101 * MS) == Old(1 * MS, stale=True)


def test_more_updates_than_are_kept_are_not_called_fresh(tmp_path: Path):
    Ledger.create(tmp_path / "ledger", 1)
    with Ledger(tmp_path / "ledger", 0, 0.1) as other, Ledger(tmp_path / "ledger", 1, 0.1) as mine:
        for version in range(2, 40):
            other.acknowledge(0, version, 100 * MS + version)
        assert mine.judge(0, 1, 150 * MS) == Old(
            150 * MS - (100 * MS + 24), stale=False, judged=False
        )


def test_percentiles_are_right_to_a_sixteenth():
    times = Histogram()
    for time_taken in range(1, 100_001):
        times.add(time_taken)
    for share in (0.01, 0.5, 0.99):
        assert times.percentile(share) == pytest.approx(share * 100_000, rel=1 / 16)
    assert (times.percentile(1.0), times.largest) == (100_000, 100_000)


def group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.01)
