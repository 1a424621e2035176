"""The Python examples of README.md, ARCHITECTURE.md and docs/ run as they stand.

The examples of one page are one program, in a process of its own against a server of its own; see
program.py. A block that is no program on its own is fenced as `text`, `sh`, `pycon` or `markdown`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import StartMemcached, StartServer
from tests.docs.program import FENCE, MEMCACHED, REDIS

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted(ROOT.glob("docs/**/*.md"))]
PROGRAMS = [page for page in PAGES if FENCE.search(page.read_text("utf-8"))]


ON_MEMCACHED = [
    page for page in PROGRAMS if any(MEMCACHED in code for code in FENCE.findall(page.read_text()))
]


@pytest.mark.parametrize(
    "page", [page for page in PROGRAMS if page not in ON_MEMCACHED], ids=lambda page: page.stem
)
def test_examples_run(page: Path, start_server: StartServer, tmp_path: Path):
    server = start_server()
    _run(page, tmp_path, f"{REDIS}={server.host}:{server.port}")


@pytest.mark.parametrize("page", ON_MEMCACHED, ids=lambda page: page.stem)
def test_examples_on_memcached_run(page: Path, start_memcached: StartMemcached, tmp_path: Path):
    server = start_memcached()
    _run(page, tmp_path, f"{MEMCACHED}={server.host}:{server.port}")


def _run(page: Path, folder: Path, *servers: str) -> None:
    program = [sys.executable, str(Path(__file__).with_name("program.py")), str(page)]
    done = subprocess.run(
        [*program, *servers],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]


def test_examples_are_found():
    assert {page.stem for page in PROGRAMS} >= {"README", "guide", "protocol"}
    assert [page.stem for page in ON_MEMCACHED] == ["memcached"]
    assert REDIS in (ROOT / "README.md").read_text("utf-8")
