"""The Python examples of README.md and docs/ run as they stand.

The examples of one page are one program: top-level `await` is allowed, names carry over.
A block that is no program on its own is fenced as `text`, or as `pycon`.
"""

from __future__ import annotations

import ast
import inspect
import re
import types
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def programs() -> list[Path]:
    pages = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
    return [page for page in pages if page.exists() and FENCE.search(page.read_text("utf-8"))]


async def test_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for page in programs():
        await run(page)


async def run(page: Path) -> None:
    text = page.read_text("utf-8")
    name = str(page.relative_to(ROOT))
    module = types.ModuleType(page.stem)
    for block in FENCE.finditer(text):
        lines = text.count("\n", 0, block.start(1))
        code = compile("\n" * lines + block[1], name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        outcome = eval(code, module.__dict__)  # noqa: S307 - this repository's own pages
        if inspect.isawaitable(outcome):
            await outcome
