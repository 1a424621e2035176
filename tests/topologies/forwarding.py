"""One address whose connections lead where a test says: a load balancer, a name that moves."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator, Sequence
from typing import Self

from armature_cache.testing import RedisServer

_CHUNK = 65_536


class Forwarder:
    """Spreads connections over servers, in turn; `servers` may change at any time."""

    def __init__(self, servers: Sequence[RedisServer]) -> None:
        self.servers = list(servers)
        self.accepted = 0
        self._passing = threading.Event()
        self._passing.set()
        self._open: set[socket.socket] = set()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        """The one address."""
        return f"redis://127.0.0.1:{self.port}/0"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.cut()
        for thread in self._threads:
            thread.join(5)

    def hold(self) -> None:
        """Let nothing pass until connections are cut: what was sent is lost then."""
        self._passing.clear()

    def cut(self) -> None:
        """Close all connections."""
        ends = list(self._open)
        self._open.difference_update(ends)  # only these: others may come back while this runs
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._passing.set()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                here, _ = self._listening.accept()
                server = self.servers[self.accepted % len(self.servers)]
                self.accepted += 1
                try:
                    there = socket.create_connection((server.host, server.port))
                except OSError:
                    here.close()
                    continue
                self._open |= {here, there}
                for source, sink in ((here, there), (there, here)):
                    thread = threading.Thread(target=self._pump, args=(source, sink), daemon=True)
                    self._threads.append(thread)
                    thread.start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK):
                self._passing.wait()
                if sink in self._open:
                    sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._open.discard(source)
        source.close()


@contextlib.contextmanager
def forwarder(*servers: RedisServer) -> Iterator[Forwarder]:
    """A forwarder that ends with the block."""
    with Forwarder(servers) as made:
        yield made
