"""Both checkers accept api.py, and find the errors that it expects: unused ignores are errors."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        pytest.param(["mypy", "--strict", str(HERE / "api.py")], id="mypy"),
        pytest.param(["pyright", "-p", str(HERE), "--pythonpath", sys.executable], id="pyright"),
    ],
)
def test_a_checker_sees_what_api_py_says(command: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert done.returncode == 0, done.stdout + done.stderr
