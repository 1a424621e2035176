"""How many random programs are run: `ARMATURE_EXAMPLES=1000 make test ARGS=tests/differential`."""

from __future__ import annotations

import os

import pytest


@pytest.fixture
def examples() -> int:
    return int(os.environ.get("ARMATURE_EXAMPLES", "12"))
