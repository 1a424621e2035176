"""The other libraries: which they are, their versions, and how they are installed.

python -m benchmarks.peers    # installs those of the extra `bench`, one by one if need be
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import subprocess
import sys
import tomllib
from pathlib import Path

_PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def requirements() -> list[str]:
    """What the extra `bench` names."""
    project = tomllib.loads(_PROJECT.read_text("utf-8"))["project"]
    return list(project["optional-dependencies"]["bench"])


def versions() -> dict[str, str]:
    """The installed versions, of those that are installed."""
    names = ["armature-cache", *(_name(each) for each in requirements())]
    found = {}
    for name in names:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def _name(requirement: str) -> str:
    for sign in "[<>=~! ;":
        requirement = requirement.partition(sign)[0]
    return requirement


def install() -> None:
    """Install all peers at once; where that fails, each by itself, with a line for what fails."""
    if _pip(*requirements()):
        return
    for requirement in requirements():
        if not _pip(requirement):
            print(f"{requirement} could not be installed: its figures will be missing")


def _pip(*what: str) -> bool:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    return subprocess.run([*command, *what], check=False, capture_output=True).returncode == 0


if __name__ == "__main__":
    install()
