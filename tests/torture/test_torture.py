"""A short run of the torture, and one that must find a mistake: `make torture` is the long one."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.faults]


def torture(*words: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, figures and everything that was said."""
    command = [sys.executable, "-m", "tests.torture", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=55, check=False)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout.splitlines()[-1]), done.stdout + done.stderr


def test_nothing_old_is_served_and_nothing_is_lost() -> None:
    code, found, said = torture("--seconds", "20")
    assert (code, found["violations"]) == (0, 0), said
    assert found["hits_checked"] > 500
    assert found["faults"] > 5
    assert found["stale_ms_without_hints"]["n"] > 0


def test_nothing_old_is_inherited_after_a_failover() -> None:
    words = ("--topology", "sentinel", "--on-failover", "replay", "--no-forks", "--seconds", "25")
    code, found, said = torture(*words, "--faults", "promote a replica that lags; fail over")
    assert (code, found["violations"]) == (0, 0), said
    assert found["epochs"]["inherited"] > 0, said
    assert found["epochs"]["replayed"] > 0, said


def test_a_mistake_is_found() -> None:
    code, found, said = torture("--seconds", "8", "--mutate", "deaf-to-tags", "--faults", "none")
    assert (code, set(found["rules"])) == (1, {"stale bounded read", "stale strong read"}), said


@pytest.mark.memcached
@pytest.mark.parametrize("topology", ["standalone", "ring"])
def test_on_memcached_too(topology: str) -> None:
    code, found, said = torture("--server", "memcached", "--topology", topology, "--seconds", "15")
    assert (code, found["violations"]) == (0, 0), said
    assert found["hits_checked"] > 100
    assert found["faults"] > 2


@pytest.mark.memcached
def test_a_mistake_on_memcached_is_found() -> None:
    code, found, said = torture(
        "--server", "memcached", "--seconds", "10", "--mutate", "memcached: deaf-to-tags",
        "--faults", "none",
    )  # fmt: skip
    assert (code, set(found["rules"])) == (1, {"stale bounded read", "stale strong read"}), said
