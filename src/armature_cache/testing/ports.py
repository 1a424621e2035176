"""Free local ports."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from typing import Final

HOST: Final = "127.0.0.1"
# Below the range that systems give to outgoing connections: a client that reconnects to a dead
# server could otherwise be given the server's own port and connect to itself.
_PORTS: Final = range(20_000, 30_000)


def free_ports() -> Iterator[int]:
    """Ports that nobody listened on a moment ago, at random."""
    draw = random.SystemRandom()
    while True:
        port = draw.choice(_PORTS)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
        yield port
