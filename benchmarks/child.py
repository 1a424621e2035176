"""What is measured in a process of its own: `python -m benchmarks.child WHAT [ARGUMENTS]`."""

from __future__ import annotations

import sys
from collections.abc import Callable

from benchmarks import memory, pinger, rows_network, rows_staleness
from benchmarks.scale import sweeps_servers

WHAT: dict[str, Callable[..., None]] = {
    "l1": sweeps_servers.read_l1,
    "ping": pinger.ping,
    "write": rows_network.write,
    "stale": rows_staleness.read,
    "load": rows_staleness.load,
    "memory": memory.memory,
    "million": memory.million,
    "pauses": memory.pauses,
}

if __name__ == "__main__":
    WHAT[sys.argv[1]](*sys.argv[2:])
