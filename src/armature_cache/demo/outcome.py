"""What the demo found, and whether that is good."""

from __future__ import annotations

import dataclasses
from typing import Any

from armature_cache.demo.tally import Counts, Tally
from armature_cache.demo.worker import Audited


@dataclasses.dataclass(frozen=True, slots=True)
class Measured:
    """One run, with what the server's INFO counted as sent and received meanwhile."""

    tally: Tally
    network_bytes: int
    operations: tuple[int, ...]

    @property
    def bytes_per_read(self) -> float:
        """All bytes over all reads."""
        return self.network_bytes / max(1, self.tally.counts.reads)


@dataclasses.dataclass(frozen=True, slots=True)
class Compared:
    """The same operations without L1 and with it, each after the same ones to warm up."""

    l2_only: Measured
    tiered: Measured

    @property
    def saved(self) -> float:
        """The part of network traffic that L1 spared, in percent."""
        return 100 * (1 - self.tiered.network_bytes / max(1, self.l2_only.network_bytes))


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """The main run, what was compared at rest after it, and where there is a network, its traffic.

    `overall` counts all runs.
    """

    title: str
    workers: int
    bound: float
    main: Measured
    audit: Audited
    compared: Compared | None
    overall: Counts

    @property
    def stale(self) -> int:
        """Reads that broke the promise, in any run, and entries that were old at rest."""
        return self.overall.stale + self.audit.different

    @property
    def faults(self) -> list[str]:
        """Why this is no success; empty if it is one."""
        counts = self.main.tally.counts
        found = {
            f"{self.stale} stale reads": self.stale,
            f"{self.overall.unjudged} old reads could not be judged": self.overall.unjudged,
            "nothing was read": not counts.reads,
            "nothing was invalidated": not counts.invalidations,
            "nothing was compared at rest": not self.audit.compared,
        }
        return [text for text, wrong in found.items() if wrong]

    def as_json(self) -> dict[str, Any]:
        """The last line of the demo."""
        tally = self.main.tally
        return {
            **blank("failed" if self.faults else "ok"),
            "reads": tally.counts.reads,
            "l1_hits": tally.counts.l1,
            "l2_hits": tally.counts.l2,
            "loads": tally.counts.loads,
            "invalidations": tally.counts.invalidations,
            "stale_reads": self.stale,
            "network_bytes_saved_pct": round(self.compared.saved if self.compared else 0.0, 1),
            **({"error": "; ".join(self.faults)} if self.faults else {}),
        }


def blank(verdict: str, error: str | None = None) -> dict[str, Any]:
    """The last line of a demo that measured nothing."""
    return {
        "demo": verdict,
        "reads": 0,
        "l1_hits": 0,
        "l2_hits": 0,
        "loads": 0,
        "invalidations": 0,
        "stale_reads": 0,
        "network_bytes_saved_pct": 0.0,
        **({"error": error} if error else {}),
    }
