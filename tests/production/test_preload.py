"""A server warms the cache of its application and forks its workers (gunicorn --preload)."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import StartServer

pytestmark = pytest.mark.slow

_COMMON = """
import asyncio, os, signal, sys, time, warnings
from armature_cache import open_cache
warnings.simplefilter("ignore", DeprecationWarning)
URL, SETTINGS, FACE = sys.argv[1], eval(sys.argv[2]), sys.argv[3]
WORKERS = 4
cache = open_cache(URL, namespace="preload", **SETTINGS)
face = cache if FACE == "async" else cache.sync()

def call(name, *args, **kwargs):
    outcome = getattr(face, name)(*args, **kwargs)
    return loop.run_until_complete(outcome) if FACE == "async" else outcome

def until(what):
    ends = time.monotonic() + 15
    while not what():
        if time.monotonic() > ends:
            raise TimeoutError(what.__code__.co_firstlineno)
        time.sleep(0.01)

loop = asyncio.new_event_loop()
for n in range(50):
    call("set_with_tags", f"warm{n}", n, ["warm", f"w{n}"], ttl=600)
for n in range(50):
    assert call("get", f"warm{n}") == n

def work(rank):
    global loop, masters
    signal.alarm(40)
    loop, masters = asyncio.new_event_loop(), loop  # whose selector is shared, and not to be closed
    assert face.stats().pending_invalidations == 0
    for n in range(50):
        assert call("get", f"warm{n}") in (n, None)
    call("set", f"worker{rank}", os.getpid(), ttl=600)
    until(lambda: all(call("get", f"worker{n}") for n in range(WORKERS)))
    pids = {call("get", f"worker{n}") for n in range(WORKERS)}
    assert len(pids) == WORKERS and os.getpid() in pids
    call("set_with_tags", f"mine{rank}", "old", [f"m{rank}"], ttl=600)
    until(lambda: all(call("exists", f"mine{n}") for n in range(WORKERS)))
    for n in range(WORKERS):
        call("get", f"mine{n}")
    call("set", f"ready{rank}", 1, ttl=600)
    until(lambda: all(call("exists", f"ready{n}") for n in range(WORKERS)))
    call("invalidate_tag", f"m{rank}")
    until(lambda: not any(call("get", f"mine{n}") for n in range(WORKERS)))
    call("close" if FACE == "sync" else "aclose")

pids = []
for rank in range(WORKERS):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work(rank)
            code = 0
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    pids.append(pid)
codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
assert codes == [0] * WORKERS, codes
assert call("get", "warm7") == 7
call("invalidate_tag", "w7")
assert call("get", "warm7") is None
call("close" if FACE == "sync" else "aclose")
loop.close()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="this system has no fork")
@pytest.mark.parametrize("face", ["async", "sync"])
@pytest.mark.parametrize(
    "settings",
    [{}, {"hints": False}, {"on_failover": "replay"}, {"reclaim": True}],
    ids=["default", "without hints", "replay", "reclaim"],
)
def test_workers_of_a_warm_master(
    start_server: StartServer, settings: dict[str, object], face: str
) -> None:
    server = start_server()
    done = subprocess.run(
        [sys.executable, "-c", _COMMON, server.url, repr(settings), face],
        capture_output=True, text=True, timeout=58, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
