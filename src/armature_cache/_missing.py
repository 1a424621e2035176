"""Typed absences: no value (`MISSING`) and no argument (`UNSET`)."""

from __future__ import annotations

import enum
from typing import Final, Literal


class _Absent(enum.Enum):
    MISSING = "MISSING"
    UNSET = "UNSET"

    def __repr__(self) -> str:
        return f"<{self.name}>"

    def __bool__(self) -> Literal[False]:
        return False


Missing = Literal[_Absent.MISSING]
Unset = Literal[_Absent.UNSET]

MISSING: Final = _Absent.MISSING
"""No value is there. A cached `None` is a value and is not this."""

UNSET: Final = _Absent.UNSET
"""The caller did not give this argument."""
