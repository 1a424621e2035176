"""Runs the Python examples of one page as one program: `program.py PAGE PLACE=HOST:PORT...`.

A child of test_examples.py. Top-level `await` is allowed, names carry over from block to block,
warnings are errors, and `localhost:6379` and `localhost:11211` stand for servers of the test.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import sys
import types
import warnings
from pathlib import Path

FENCE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
REDIS = "localhost:6379"
MEMCACHED = "localhost:11211"


async def run(page: Path, servers: dict[str, str]) -> None:
    text = page.read_text("utf-8")
    # The classes of a page are looked up by their module's name when values are restored.
    module = sys.modules["page"] = types.ModuleType("page")
    module.__file__ = str(page)
    for block in FENCE.finditer(text):
        lines = text.count("\n", 0, block.start(1))
        source = "\n" * lines + block[1]
        for place, server in servers.items():
            source = source.replace(place, server)
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        code = compile(source, str(page), "exec", flags=flags, dont_inherit=True)
        outcome = eval(code, module.__dict__)  # noqa: S307 - this repository's own pages
        if inspect.isawaitable(outcome):
            await outcome


if __name__ == "__main__":
    warnings.simplefilter("error")
    servers = dict(each.split("=") for each in sys.argv[2:])
    asyncio.run(run(Path(sys.argv[1]), servers), debug=True)
