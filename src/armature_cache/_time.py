"""Time as the library sees it: injected, in seconds, and counting through a suspend."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable

TimeSource = Callable[[], float]
"""Seconds since an arbitrary start; never goes back; goes on while the machine sleeps."""

boottime: TimeSource = (
    functools.partial(time.clock_gettime, time.CLOCK_BOOTTIME)
    if hasattr(time, "CLOCK_BOOTTIME")
    else time.monotonic
)
"""The system's time source: `CLOCK_BOOTTIME` where there is one, else the monotonic clock."""

walltime: TimeSource = time.time
"""Seconds of the calendar, which machines agree on more or less; may go back."""
