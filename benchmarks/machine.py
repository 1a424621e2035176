"""Where a run took place: what matters for its figures, and nothing else."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path

from armature_cache.testing import RedisServer
from benchmarks.peers import versions

BUSY = 0.5
"""The load, per core, from which on a machine is called busy."""


def describe(server: RedisServer | None) -> dict[str, str]:
    """Processor, cores, Python, server and versions: no host name, no path."""
    facts = {
        "processor": _processor(),
        "cores": str(cores()),
        "system": f"{platform.system()} {platform.machine()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
    }
    if server is not None:
        facts["server"] = _server(server)
    return facts | versions()


def cores() -> int:
    """How many this process may use."""
    usable = getattr(os, "sched_getaffinity", None)
    return len(usable(0)) if usable else os.cpu_count() or 1


def load() -> float:
    """The load average of the last minute."""
    return os.getloadavg()[0]


def busy(average: float) -> bool:
    return average > BUSY * cores()


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.+)", info.read_text("utf-8")) if info.exists() else None
    return found[1].strip() if found else platform.processor() or platform.machine()


def _server(server: RedisServer) -> str:
    told = subprocess.run(
        [server.binary, "--version"], check=False, capture_output=True, text=True
    ).stdout
    found = re.search(r"(\w+) server v=(\S+)", told)
    return f"{found[1]} {found[2]}" if found else "unknown"
