"""`python -m fuzz [TARGET] --seconds N`: fuzz one target, or all of them one after the other.

Findings and the corpora that grow are kept in .fuzz/.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import subprocess
import sys
from pathlib import Path

import atheris

ROOT = Path(__file__).parents[1]
HOME = ROOT / ".fuzz"
sys.path.insert(0, str(ROOT / "tests" / "codecs"))

with atheris.instrument_imports(include=["armature_cache"], enable_loader_override=False):
    from fuzz.seeds import seeds
    from fuzz.targets import TARGETS

_EXECUTED = re.compile(r"stat::number_of_executed_units:\s*(\d+)")
_COVERAGE = re.compile(r"cov: (\d+)")


def fuzz(name: str, seconds: int) -> None:
    """Fuzz one target; does not return."""
    corpus = HOME / name
    corpus.mkdir(parents=True, exist_ok=True)
    for seed in seeds()[name]:
        (corpus / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)
    options = [
        str(corpus), f"-max_total_time={seconds}", "-max_len=8192", "-timeout=20",
        "-rss_limit_mb=2048", "-print_final_stats=1", f"-artifact_prefix={HOME}/{name}-",
    ]  # fmt: skip
    atheris.Setup([sys.argv[0], *options], TARGETS[name])
    atheris.Fuzz()


def fuzz_all(seconds: int) -> int:
    """Fuzz every target for its part of the time, and print what was done."""
    failed = 0
    print(f"{'target':12} {'seconds':>8} {'executions':>12} {'coverage':>9}  outcome", flush=True)
    for name in TARGETS:
        share = max(1, seconds // len(TARGETS))
        done = subprocess.run(
            [sys.executable, "-m", "fuzz", name, "--seconds", str(share)],
            capture_output=True, text=True, errors="replace", cwd=ROOT, check=False,
        )  # fmt: skip
        executed = _EXECUTED.search(done.stderr)
        covered = _COVERAGE.findall(done.stderr)
        outcome = "clean" if done.returncode == 0 else "FINDING"
        failed += done.returncode != 0
        print(
            f"{name:12} {share:8} {int(executed[1]) if executed else 0:12,} "
            f"{covered[-1] if covered else '?':>9}  {outcome}",
            flush=True,
        )
        if done.returncode:
            print(done.stderr[-3000:])
    return failed


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("target", nargs="?", choices=[*TARGETS], help="all, unless named")
    parser.add_argument("--seconds", type=int, default=60)
    given = parser.parse_args()
    if given.target:
        fuzz(given.target, given.seconds)
    sys.exit(1 if fuzz_all(given.seconds) else 0)


if __name__ == "__main__":
    main()
