"""Advice: what is dangerous about a set-up, found by looking, and said once."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable

logger = logging.getLogger("armature_cache")


@dataclasses.dataclass(frozen=True, slots=True)
class Advice:
    """One danger of a set-up.

    `code` is stable, such as `AC101`; docs/advisor.md has a section for each. `message` says what
    was found, `advice` what to do.
    """

    code: str
    message: str
    advice: str

    def __str__(self) -> str:
        return f"{self.code} {self.message}; {self.advice}"


_told: set[tuple[str, str]] = set()


def tell(place: str, found: Iterable[Advice]) -> None:
    """Log advice about a server, one line for each code, once in the life of this process."""
    for each in found:
        if (each.code, place) not in _told:
            _told.add((each.code, place))
            logger.warning("%s: %s", place, each)
