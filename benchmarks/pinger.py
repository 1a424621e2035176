"""Another client, in a process of its own, that notes how long it had to wait."""

from __future__ import annotations

import select
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import redis

_PAUSE = 0.0002


class Pinger:
    """Pings the server until it is closed."""

    def __init__(self, url: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.child", "ping", url],
            cwd=Path(__file__).parents[1],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.longest()

    def longest(self) -> float:
        """The longest round trip since the last call, in ns."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.communicate()


def ping(url: str) -> None:
    """The child's side: one line in, the longest round trip out, until the input ends."""
    with redis.Redis.from_url(url) as client:
        longest = 0
        while True:
            started = time.perf_counter_ns()
            client.ping()
            longest = max(longest, time.perf_counter_ns() - started)
            if select.select([sys.stdin], [], [], _PAUSE)[0]:
                if not sys.stdin.readline():
                    return
                print(longest, flush=True)
                longest = 0
