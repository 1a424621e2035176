"""Servers that behave badly, for tests of ports."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

Serve = Callable[[socket.socket], None]


@contextlib.contextmanager
def serving(serve: Serve, *, family: int = socket.AF_INET) -> Iterator[tuple[str, int]]:
    """A server that gives every connection to a function; its address."""
    listener = socket.socket(family)
    listener.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
    listener.listen()
    stopped = threading.Event()

    def accept() -> None:
        while not stopped.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=run, args=(connection,), daemon=True).start()

    def run(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            serve(connection)

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        host, port = listener.getsockname()[:2]
        yield host, port
    finally:
        stopped.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def saying(answer: bytes) -> Serve:
    """Says the same to whatever it hears."""

    def serve(connection: socket.socket) -> None:
        while connection.recv(65_536):
            connection.sendall(answer)

    return serve


def leading_to(target: tuple[str, int], certificates: Path | None = None) -> Serve:
    """Passes on what it hears, and what is answered; speaks TLS if it has certificates."""

    def serve(connection: socket.socket) -> None:
        near = connection
        if certificates is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificates / "server.crt", certificates / "server.key")
            near = context.wrap_socket(connection, server_side=True)
        with near, socket.create_connection(target) as far:
            back = threading.Thread(target=_pass_on, args=(far, near), daemon=True)
            back.start()
            _pass_on(near, far)
            back.join(5)

    return serve


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
