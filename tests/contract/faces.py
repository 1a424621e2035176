"""The faces of the contract suite, under the name that tests know them by."""

from __future__ import annotations

from armature_cache.testing import FakeTime as ManualTime
from armature_cache.testing.contract.faces import DEADLINE, Call, Face, Gate, drive, eventually

__all__ = ["DEADLINE", "Call", "Face", "Gate", "ManualTime", "drive", "eventually"]
