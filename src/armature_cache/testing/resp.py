"""The few lines of RESP that the kit speaks: no client library, no state.

A bulk string is `bytes`, a simple string `str`, an array a list, and an error a `ServerError`.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence
from typing import Any, BinaryIO

from armature_cache.testing.errors import ServerError

Argument = str | bytes | int | float


def connect(host: str, port: int, *, tls: ssl.SSLContext | None, timeout: float) -> socket.socket:
    """A connection on which nothing takes longer than `timeout` seconds."""
    plain = socket.create_connection((host, port), timeout=timeout)
    if tls is None:
        return plain
    try:
        return tls.wrap_socket(plain)
    except BaseException:
        plain.close()
        raise


def believing(certificate: object, key: object) -> ssl.SSLContext:
    """TLS that believes any server, and shows this certificate if it is asked for one."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if certificate and key:
        context.load_cert_chain(str(certificate), str(key))
    return context


def ask(connection: socket.socket, *commands: Sequence[Argument]) -> list[Any]:
    """Send commands in one go; an error stands in the place of its reply."""
    connection.sendall(b"".join(_encoded(command) for command in commands))
    with connection.makefile("rb") as stream:
        return [_read(stream) for _ in commands]


def info(reply: bytes) -> dict[str, str]:
    """The `name:value` lines of INFO and CLUSTER INFO."""
    lines = (line.partition(":") for line in reply.decode().splitlines())
    return {name: value for name, colon, value in lines if colon}


def pairs(reply: Sequence[bytes]) -> dict[str, str]:
    """A mapping that came as a flat array."""
    texts = [each.decode() for each in reply]
    return dict(zip(texts[::2], texts[1::2], strict=True))


def _encoded(command: Sequence[Argument]) -> bytes:
    words = [each if isinstance(each, bytes) else str(each).encode() for each in command]
    bulks = (b"$%d\r\n%b\r\n" % (len(word), word) for word in words)
    return b"*%d\r\n%b" % (len(words), b"".join(bulks))


def _read(stream: BinaryIO) -> Any:
    line = stream.readline()
    kind, rest = line[:1], line[1:-2]
    if not line.endswith(b"\r\n"):
        raise ConnectionError("the server closed the connection")
    if kind == b"+":
        return rest.decode()
    if kind == b"-":
        return ServerError(rest.decode())
    if kind not in {b":", b"$", b"*"}:
        raise ConnectionError(f"not RESP: {line!r}")
    size = int(rest)
    if kind == b":":
        return size
    if size < 0:
        return None
    if kind == b"*":
        return [_read(stream) for _ in range(size)]
    text = stream.read(size + 2)
    if len(text) < size + 2:
        raise ConnectionError("the server closed the connection")
    return text[:-2]
