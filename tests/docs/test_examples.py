"""The Python examples of README.md, ARCHITECTURE.md and docs/ run as they stand.

The examples of one page are one program, in a process of its own against a server of its own; see
program.py. A block that is no program on its own is fenced as `text`, `sh`, `pycon` or `markdown`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import StartServer
from tests.docs.program import FENCE, PLACEHOLDER

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted(ROOT.glob("docs/**/*.md"))]
PROGRAMS = [page for page in PAGES if FENCE.search(page.read_text("utf-8"))]


@pytest.mark.parametrize("page", PROGRAMS, ids=lambda page: page.stem)
def test_examples_run(page: Path, start_server: StartServer, tmp_path: Path):
    server = start_server()
    program = [sys.executable, str(Path(__file__).with_name("program.py")), str(page)]
    done = subprocess.run(
        [*program, f"{server.host}:{server.port}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]


def test_examples_are_found():
    assert {page.stem for page in PROGRAMS} >= {"README", "guide", "protocol"}
    assert PLACEHOLDER in (ROOT / "README.md").read_text("utf-8")
