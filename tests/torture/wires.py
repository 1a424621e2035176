"""What lies between workers and servers: a proxy for each worker before each server.

Nodes of a Cluster and Sentinels tell clients real addresses, so a worker is led to its own proxies
where it connects (`lead`), and not by the addresses that it is given.
"""

from __future__ import annotations

import multiprocessing
import socket
from collections.abc import Iterable
from typing import Any, Final

from tests.torture import proxy
from tests.torture.proxy import Order, Rule

Place = tuple[str, int]
_SPAWN: Final = multiprocessing.get_context("spawn")


class Wires:
    """The proxies, in a process of their own."""

    def __init__(self, places: Iterable[Place], workers: int) -> None:
        self.places = list(places)
        self._workers = workers
        self._pipe, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(
            target=proxy.main, args=(theirs, self.places * workers), daemon=True
        )
        self._process.start()
        theirs.close()
        self._ports: list[int] = self._pipe.recv()

    def of(self, worker: int) -> dict[Place, Place]:
        """Where a worker's connections are led, by where they should go."""
        first = worker * len(self.places)
        ports = self._ports[first : first + len(self.places)]
        return {place: (proxy.HOST, port) for place, port in zip(self.places, ports, strict=True)}

    def treat(
        self, worker: int, rule: Rule, *, place: Place | None = None, cut: bool = False
    ) -> None:
        """Change what happens between a worker and one server, or all; `cut` ends connections."""
        for at, each in enumerate(self.places):
            if place in {None, each}:
                self._pipe.send(Order(worker * len(self.places) + at, rule, cut))

    def close(self) -> None:
        """End the proxies."""
        self._pipe.close()
        self._process.join(5)
        if self._process.is_alive():
            self._process.kill()


def lead(roads: dict[Place, Place]) -> None:
    """Lead the connections of this process."""
    patched: Any = socket.socket
    connect = patched.connect

    def led(self: socket.socket, address: Any) -> None:
        connect(self, roads.get(address, address) if isinstance(address, tuple) else address)

    patched.connect = led
