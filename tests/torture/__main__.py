"""`python -m tests.torture`: many processes, many faults, every read checked."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from typing import get_args

from armature_cache.config import OnFailover
from tests.torture import report
from tests.torture.group_faults import KINDS, kinds_of
from tests.torture.memcached import FAULTS
from tests.torture.mutate import MUTATIONS
from tests.torture.run import Options, Unfinished, torture
from tests.torture.topology import SERVERS, TOPOLOGIES

_ALL = list(dict.fromkeys(name for kinds in (*KINDS.values(), FAULTS) for name in kinds))


def _options() -> Options:
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--server", choices=SERVERS, default="valkey")
    parser.add_argument("--topology", choices=TOPOLOGIES, default="standalone")
    parser.add_argument("--on-failover", choices=get_args(OnFailover), default="reset")
    parser.add_argument("--minutes", type=float, default=None)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=4, help="at least 4 for every kind")
    parser.add_argument("--tasks", type=int, default=3, help="tasks or threads of each worker")
    parser.add_argument("--pace", type=float, default=0.004, help="mean rest of a task, seconds")
    parser.add_argument("--bound", type=float, default=0.1, help="staleness bound, seconds")
    parser.add_argument("--timeout", type=float, default=0.5, help="operation timeout, seconds")
    parser.add_argument("--faults", default="all", help=f"all, none, or some of: {'; '.join(_ALL)}")
    parser.add_argument("--no-forks", action="store_true")
    parser.add_argument(
        "--mutate",
        choices=["all", *MUTATIONS],
        default=None,
        help="make a mistake that must be found, with the faults and the topology that show it",
    )
    said = parser.parse_args()
    if said.mutate not in {None, "all"}:
        mistake = MUTATIONS[said.mutate]
        if mistake.memcached != (said.server == "memcached"):
            parser.error(
                f"{said.mutate} needs --server {'memcached' * mistake.memcached or 'valkey'}"
            )
        said.topology = mistake.topology
        said.faults = mistake.faults if said.faults == "all" else said.faults
    if said.topology == "cluster" and said.on_failover == "replay":
        parser.error("--on-failover replay is not for a Cluster")
    fitting = {"standalone", "ring"} if said.server == "memcached" else {*TOPOLOGIES} - {"ring"}
    if said.topology not in fitting:
        parser.error(f"{said.server} has these topologies: {', '.join(sorted(fitting))}")
    kinds = kinds_of(said.topology, said.server)
    faults = {"all": tuple(kinds), "none": ()}.get(
        said.faults, tuple(name.strip() for name in said.faults.split(";"))
    )
    if unknown := set(faults) - set(kinds):
        parser.error(f"unknown faults: {sorted(unknown)}")
    return Options(
        server=said.server,
        topology=said.topology,
        on_failover=said.on_failover,
        seconds=said.seconds if said.minutes is None else said.minutes * 60,
        seed=said.seed,
        workers=said.workers,
        tasks=said.tasks,
        pace=said.pace,
        bound=said.bound,
        timeout=said.timeout,
        faults=faults,
        forks=not said.no_forks,
        mutation=said.mutate,
    )


def _find_all(options: Options) -> int:
    """Make every mistake, each in a process of its own; 0 if all were found."""
    missed = 0
    for name, mistake in MUTATIONS.items():
        if mistake.memcached != (options.server == "memcached"):
            continue
        command = [
            sys.executable,
            "-m",
            "tests.torture",
            "--mutate",
            name,
            "--seed",
            str(options.seed),
            "--seconds",
            str(options.seconds),
            "--server",
            options.server,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # fmt: skip
        if not done.stdout:
            raise RuntimeError(f"{name} could not be run: {done.stderr[-2000:]}")
        found = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 1 else {}
        missed += not found
        by = ", ".join(f"{rule} ({count})" for rule, count in found.get("rules", {}).items())
        sys.stdout.write(f"{name:<28} {found.get('topology', ''):<12} {by or 'NOT FOUND'}\n")
        sys.stdout.flush()
    return int(missed > 0)


def main() -> int:
    """Exit code: 0 all held, 1 violations, 2 the run could not be made."""
    options = _options()
    if options.mutation == "all":
        return _find_all(options)
    try:
        status = torture(options, report.live)
    except Unfinished as error:
        sys.stderr.write(f"not finished: {error}\n")
        return 2
    report.show(options, status)
    return 1 if status.violations else 0


if __name__ == "__main__":
    sys.exit(main())
