"""A warm process forks: its children hold no lock, no load under way, and keep what is local."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import os, threading
from armature_cache.sync import InMemoryCache, TaggedCache
cache = TaggedCache(InMemoryCache(max_entries=1000))
cache.set("warm", "v", tags=["t"], ttl=600)
stop = threading.Event()
def churn(n):
    i = 0
    while not stop.is_set():
        i += 1
        cache.set(f"{n}:{i % 50}", i, tags=["churn"], ttl=1)
        cache.get_or_set(f"load:{n}:{i % 50}", lambda: i, ttl=1)
        if i % 10 == 0:
            cache.invalidate_tag("churn")
threads = [threading.Thread(target=churn, args=(n,)) for n in range(4)]
for thread in threads:
    thread.start()
failed = 0
for _ in range(30):
    pid = os.fork()
    if pid == 0:
        import signal
        signal.alarm(10)
        ok = cache.get("warm") == "v"
        cache.set("child", 1)
        ok = ok and cache.get("child") == 1
        ok = ok and cache.get_or_set("load:0:1", lambda: "c", ttl=1) is not None
        cache.invalidate_tag("t")
        os._exit(0 if ok and cache.get("warm") is None else 1)
    failed += os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0
stop.set()
for thread in threads:
    thread.join()
assert failed == 0, failed
assert cache.get("warm") == "v"
"""


def test_children_of_a_busy_process_work() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=55, check=False
    )
    assert done.returncode == 0, done.stderr
