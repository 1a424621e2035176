"""What the demo shows: progress while it runs, tables in the end."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from armature_cache.demo.outcome import Compared, Measured, Outcome
from armature_cache.demo.run import Progress
from armature_cache.demo.tally import Counts, Tier
from armature_cache.demo.worker import TASKS

_NAMES: Final = {Tier.L1: "L1 (no I/O)", Tier.L2: "L2 (shared)", Tier.LOAD: "loads"}
_LINE_EVERY: Final = 1.0
_MILLISECOND: Final = 1_000_000


@contextlib.contextmanager
def showing(console: Console) -> Iterator[Progress]:
    """A display that is told of progress: live on a terminal, else a line a second."""
    pace = _Pace()
    if not console.is_terminal:
        yield lambda name, seconds, counts: _print_line(console, pace, name, seconds, counts)
        return
    with Live(console=console, transient=True, refresh_per_second=8) as live:
        yield lambda name, seconds, counts: live.update(_panel(pace, name, seconds, counts))


class _Pace:
    """How long the present run has gone on, and when something was shown of it last."""

    def __init__(self) -> None:
        self._name = ""
        self._began = self._shown = 0.0

    def elapsed(self, name: str) -> float:
        now = time.monotonic()
        if name != self._name:
            self._name, self._began, self._shown = name, now, 0.0
        return now - self._began

    def due(self) -> bool:
        now = time.monotonic()
        if now - self._shown < _LINE_EVERY:
            return False
        self._shown = now
        return True


def _print_line(
    console: Console, pace: _Pace, name: str, seconds: float | None, counts: Counts
) -> None:
    elapsed = pace.elapsed(name)
    if pace.due():
        of = f"/{seconds:g}" if seconds else ""
        console.print(f"{name:<16} {elapsed:4.0f}{of} s  {_summary(counts)}", soft_wrap=True)


def _summary(counts: Counts) -> str:
    return (
        f"{counts.reads:,} reads: L1 {_share(counts.l1, counts)}, L2 {_share(counts.l2, counts)}, "
        f"loads {_share(counts.loads, counts)}; {counts.invalidations:,} invalidations; "
        f"{counts.old:,} old within the bound, {counts.stale} stale"
    )


def _panel(pace: _Pace, name: str, seconds: float | None, counts: Counts) -> Table:
    elapsed = pace.elapsed(name)
    table = Table.grid(padding=(0, 2))
    table.add_row(Text(name, "bold"), _bar(elapsed, seconds))
    for tier, count in zip(Tier, (counts.l1, counts.l2, counts.loads), strict=True):
        table.add_row(_NAMES[tier], f"{count:>12,}  {_share(count, counts)}")
    table.add_row("reads per second", f"{counts.reads / max(elapsed, 0.25):>12,.0f}")
    table.add_row("invalidations", f"{counts.invalidations:>12,}")
    table.add_row("old within the bound", f"{counts.old - counts.stale:>12,}")
    style = "bold red" if counts.stale else "bold green"
    table.add_row("stale after the bound", Text(f"{counts.stale:>12,}", style))
    return table


def _bar(elapsed: float, seconds: float | None, width: int = 40) -> Text:
    if seconds is None:
        return Text(f"{elapsed:.0f} s")
    full = min(width, round(width * elapsed / seconds))
    return Text(f"{'█' * full}{'░' * (width - full)} {min(elapsed, seconds):.0f}/{seconds:g} s")


def _share(count: int, counts: Counts) -> str:
    return f"{100 * count / max(1, counts.reads):.1f} %"


def show(console: Console, outcome: Outcome) -> None:
    """The tables of a finished demo."""
    console.print(_reads(outcome))
    console.print(_findings(outcome))


def _reads(outcome: Outcome) -> Table:
    tally = outcome.main.tally
    counts = tally.counts
    table = Table(title=f"{outcome.title}; {outcome.workers} workers, {tally.seconds:.1f} s")
    table.caption = (
        f"No pauses: {outcome.workers} x {TASKS} tasks share {os.cpu_count()} processors, "
        "and latencies include the wait for one."
    )
    table.add_column("reads from")
    for heading in ("count", "share", "p50", "p99", "max"):
        table.add_column(heading, justify="right")
    for tier, count in zip(Tier, (counts.l1, counts.l2, counts.loads), strict=True):
        times = tally.latency[tier]
        table.add_row(
            _NAMES[tier],
            f"{count:,}",
            _share(count, counts),
            _time(times.percentile(0.5)),
            _time(times.percentile(0.99)),
            _time(times.largest),
        )
    rate = counts.reads / max(tally.seconds, 0.001)
    table.add_row("all", f"{counts.reads:,}", "", f"{rate:,.0f}/s", "", "")
    return table


def _findings(outcome: Outcome) -> Table:
    tally = outcome.main.tally
    counts, age = tally.counts, tally.age
    elsewhere = max(0, counts.l2 - tally.l2_hits)
    table = Table.grid(padding=(0, 2))
    table.add_row("invalidations acknowledged", f"{counts.invalidations:,}")
    table.add_row(
        "old reads within the bound",
        f"{counts.old - counts.stale:,} ({_share(counts.old - counts.stale, counts)}), begun "
        f"after the acknowledgement by p50 {_time(age.percentile(0.5))}, "
        f"p99 {_time(age.percentile(0.99))}, max {_time(age.largest)}",
    )
    table.add_row(
        Text("STALE READS AFTER THE BOUND", "bold"),
        Text(f"{outcome.stale} (bound {outcome.bound * 1000:g} ms)", _colour(outcome)),
    )
    table.add_row(
        "compared with the database at rest",
        f"{outcome.audit.compared:,} versions, {outcome.audit.different} differ",
    )
    if outcome.compared is not None:
        _add_traffic(table, outcome.main, outcome.compared)
    table.add_row(
        "of the L2 row", f"{elsewhere:,} came from L1 after a sync or from another caller's load"
    )
    return table


def _add_traffic(table: Table, main: Measured, compared: Compared) -> None:
    operations = compared.tiered.tally.counts.operations
    table.add_row(
        "network bytes (INFO)", f"{operations:,} operations, the same ones twice, after warming up:"
    )
    table.add_row("  L2 only", _traffic(compared.l2_only))
    table.add_row("  with L1", f"{_traffic(compared.tiered)}: {compared.saved:.1f} % less")
    table.add_row("  main run", f"{_traffic(main)}, from an empty cache")


def _colour(outcome: Outcome) -> str:
    return "bold red" if outcome.stale else "bold green"


def _traffic(run: Measured) -> str:
    return f"{run.network_bytes:,} bytes, {run.bytes_per_read:,.1f} a read"


def _time(nanoseconds: int) -> str:
    if nanoseconds < _MILLISECOND:
        return f"{nanoseconds / 1000:.1f} µs"
    return f"{nanoseconds / _MILLISECOND:.1f} ms"
