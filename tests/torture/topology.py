"""What the workers talk to. Faults of a topology are named by what they break."""

from __future__ import annotations

import abc
import contextlib
import multiprocessing
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import redis

from armature_cache.testing import RedisServer, find_redis, find_valkey
from tests.torture import proxy
from tests.torture.proxy import Order, Rule

Admin = redis.Redis


class Topology(abc.ABC):
    """Servers, and one proxy for each worker before them."""

    @abc.abstractmethod
    def url(self, worker: int) -> str:
        """Where a worker finds the server: its own proxy."""

    @abc.abstractmethod
    def admin(self) -> Admin:
        """A connection to the primary, past all proxies."""

    @abc.abstractmethod
    def lose_all(self) -> None:
        """The server dies and comes back empty."""

    @abc.abstractmethod
    def lose_recent(self) -> None:
        """The server dies and comes back from its last snapshot."""

    @abc.abstractmethod
    def pause(self, seconds: float) -> None:
        """The server freezes for a time."""

    @abc.abstractmethod
    def route(self, worker: int, rule: Rule, *, cut: bool = False) -> None:
        """Change what the proxy of a worker does."""

    @abc.abstractmethod
    def close(self) -> None:
        """End everything."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Standalone(Topology):
    """One server."""

    def __init__(self, binary: Path, workers: int) -> None:
        self.server = RedisServer(binary=binary).start()
        try:
            self._pipe, theirs = multiprocessing.Pipe()
            target = (self.server.host, self.server.port)
            self._proxies = multiprocessing.get_context("spawn").Process(
                target=proxy.main, args=(theirs, [target] * workers), daemon=True
            )
            self._proxies.start()
            theirs.close()
            self.ports: list[int] = self._pipe.recv()
        except BaseException:
            self.server.close()
            raise

    def url(self, worker: int) -> str:
        return f"redis://{proxy.HOST}:{self.ports[worker]}/0"

    def admin(self) -> Admin:
        return redis.Redis(host=self.server.host, port=self.server.port, socket_timeout=10)

    def lose_all(self) -> None:
        self.server.kill()
        with contextlib.suppress(FileNotFoundError):
            (self.server.directory / "dump.rdb").unlink()
        self._again()

    def lose_recent(self) -> None:
        self.server.kill()
        self._again()

    def _again(self) -> None:
        self.server.restart()

    def pause(self, seconds: float) -> None:
        self.server.pause()
        try:
            time.sleep(seconds)
        finally:
            self.server.resume()

    def route(self, worker: int, rule: Rule, *, cut: bool = False) -> None:
        self._pipe.send(Order(worker, rule, cut))

    def close(self) -> None:
        self._pipe.close()
        self._proxies.join(5)
        if self._proxies.is_alive():
            self._proxies.kill()
        self.server.close()


def _binary(server: str) -> Path:
    found = {"valkey": find_valkey, "redis7": find_redis}[server]()
    if found is None:
        raise SystemExit(f"no server binary for {server}")
    return found


_KINDS: dict[str, Callable[[str, int], Topology]] = {
    "standalone": lambda server, workers: Standalone(_binary(server), workers),
}
TOPOLOGIES: list[str] = list(_KINDS)
SERVERS: list[str] = ["valkey", "redis7"]


def open_topology(name: str, server: str, workers: int) -> Topology:
    """Start a topology; its name is one of `TOPOLOGIES`."""
    return _KINDS[name](server, workers)


def key_names(namespace: str) -> dict[str, Any]:
    """The keys of a namespace that faults delete."""
    return {
        "clock": f"{{{namespace}}}:c",
        "key clock": f"{{{namespace}}}:k",
        "values": f"{{{namespace}:0}}:v:",
    }
