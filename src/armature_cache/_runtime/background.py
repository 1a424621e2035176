"""Background threads: daemons that end by themselves."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


def start_daemon(name: str, target: Callable[[], None]) -> threading.Thread:
    """Start a thread that never keeps the process alive."""
    thread = threading.Thread(target=target, name=name, daemon=True)
    thread.start()
    return thread


def pause(seconds: float) -> None:
    """Let a background thread rest."""
    time.sleep(seconds)
