"""`python -m armature_cache.demo [--seconds N] [--trace FILE] [--url URL | --l2 sqlite]`."""

from __future__ import annotations

import argparse
import json
import math
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

from armature_cache.demo.outcome import blank

_INTERRUPTED: Final = 130
_WIDTH: Final = 120


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; 0 if it found no stale read."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _terminate)
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # shells make background jobs ignore it
    try:
        verdict = _demo(options)
    except KeyboardInterrupt:
        return _failed("interrupted", _INTERRUPTED)
    except ImportError as error:
        return _failed(f"{error}; install armature-cache[demo]", 2)
    print(json.dumps(verdict))
    return 0 if verdict["demo"] == "ok" else 1


def _demo(options: argparse.Namespace) -> dict[str, Any]:
    import redis
    from rich.console import Console

    from armature_cache import CacheError
    from armature_cache.demo import report
    from armature_cache.demo.fleet import WorkerError
    from armature_cache.demo.mix import ShopMix
    from armature_cache.demo.run import Settings, run
    from armature_cache.demo.trace import TraceError, TraceReplay
    from armature_cache.demo.workload import Workload
    from armature_cache.testing import ServerError

    workload: Workload = ShopMix() if options.trace is None else TraceReplay(options.trace)
    settings = Settings(
        workload, options.seconds, options.workers, options.url, in_file=options.l2 == "sqlite"
    )
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    try:
        with report.showing(console) as progress:
            outcome = run(settings, progress)
    except (WorkerError, TraceError, ServerError, CacheError, redis.RedisError) as error:
        print(f"The demo failed: {error}", file=sys.stderr)
        return blank("failed", str(error).strip().splitlines()[-1])
    report.show(console, outcome)
    return outcome.as_json()


def _failed(error: str, code: int) -> int:
    print(f"The demo failed: {error}", file=sys.stderr)
    print(json.dumps(blank("failed", error)))
    return code


def _terminate(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m armature_cache.demo",
        description="Services of several processes over one cache, checked for stale reads.",
    )
    parser.add_argument("--seconds", type=_seconds, default=20.0, help="of the main run")
    parser.add_argument("--trace", type=Path, metavar="FILE", help="replay this trace (.xz)")
    parser.add_argument("--workers", type=_workers, default=4, help="processes")
    shared = parser.add_mutually_exclusive_group()
    shared.add_argument("--url", help="use this server instead of one of the demo's own")
    shared.add_argument(
        "--l2", choices=("server", "sqlite"), default="server",
        help="share a server, or a file without any server",
    )  # fmt: skip
    return parser


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError("a positive number of seconds")
    return seconds


def _workers(text: str) -> int:
    workers = int(text)
    if not 1 <= workers <= 64:  # noqa: PLR2004
        raise argparse.ArgumentTypeError("1 to 64 processes")
    return workers


if __name__ == "__main__":
    sys.exit(main())
