"""Connections of both faces: bytes out, bytes in, one exchange at a time, until a deadline."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import Final, NamedTuple

Feed = Callable[[bytes], bool]
"""Takes what came; whether that is all. It may raise."""

_CHUNK: Final = 64 * 1024

now = time.monotonic
"""Seconds by the clock of deadlines."""


class Endpoint(NamedTuple):
    """Where a server listens: host and port, or the path of a socket; and whether it speaks TLS."""

    host: str
    port: int
    path: str = ""
    tls: ssl.SSLContext | None = None


class AsyncStream(asyncio.Protocol):
    """A connection on an event loop."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._feed: Feed | None = None
        self._waiter: asyncio.Future[None] | None = None
        self.broken = False

    @classmethod
    async def connect(cls, endpoint: Endpoint) -> AsyncStream:
        """A new connection; raises `OSError`."""
        loop = asyncio.get_running_loop()
        if endpoint.path:
            _, stream = await loop.create_unix_connection(cls, endpoint.path)
            return stream
        name = endpoint.host if endpoint.tls is not None else None
        _, stream = await loop.create_connection(
            cls, endpoint.host, endpoint.port, ssl=endpoint.tls, server_hostname=name
        )
        return stream

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what streams have
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._feed is None:  # nobody asked
            self.close()
            return
        try:
            complete = self._feed(data)
        except Exception as error:  # noqa: BLE001 - for the one who waits
            self._end(error)
        else:
            if complete:
                self._end(None)

    def connection_lost(self, error: Exception | None) -> None:
        self.broken = True
        self._end(error or ConnectionResetError("the server closed the connection"))

    def _end(self, error: Exception | None) -> None:
        waiter, self._waiter, self._feed = self._waiter, None, None
        if waiter is not None and not waiter.done():
            if error is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(error)

    async def exchange(self, data: bytes, feed: Feed) -> None:
        """Send bytes, and give what comes back to `feed` until that is all.

        Whatever it raises, the connection is of no use afterwards.
        """
        if self.broken or self._transport is None:
            raise ConnectionResetError("the server closed the connection")
        self._waiter = asyncio.get_running_loop().create_future()
        self._feed = feed
        self._transport.write(data)
        await self._waiter

    def close(self) -> None:
        """Close the connection at once."""
        self.broken = True
        if self._transport is not None:
            with contextlib.suppress(RuntimeError):  # its loop is closed
                self._transport.abort()


class BlockingStream:
    """A connection of a thread."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection

    @classmethod
    def connect(cls, endpoint: Endpoint, timeout: float) -> BlockingStream:
        """A new connection within so many seconds; raises `OSError`."""
        if endpoint.path:
            plain = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            plain.settimeout(timeout)
            try:
                plain.connect(endpoint.path)
            except BaseException:
                plain.close()
                raise
            return cls(plain)
        end = now() + timeout
        plain = socket.create_connection((endpoint.host, endpoint.port), timeout)
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if endpoint.tls is None:
                return cls(plain)
            plain.settimeout(max(0.001, end - now()))
            return cls(endpoint.tls.wrap_socket(plain, server_hostname=endpoint.host))
        except BaseException:
            plain.close()
            raise

    def send(self, data: bytes, deadline: float) -> None:
        """Send bytes until a deadline of `now()`.

        Not more than a kernel holds, where the server has answers to send meanwhile: it would not
        read then.
        """
        self._limit(deadline)
        self._socket.sendall(data)

    def receive(self, deadline: float) -> bytes:
        """What has come, as soon as something has."""
        self._limit(deadline)
        data = self._socket.recv(_CHUNK)
        if not data:
            raise ConnectionResetError("the server closed the connection")
        return data

    def _limit(self, deadline: float) -> None:
        left = deadline - now()
        if left <= 0:
            raise TimeoutError("the operation's time is over")
        self._socket.settimeout(left)

    @property
    def broken(self) -> bool:
        """Whether the server has closed it, or said something that nobody asked for."""
        self._socket.settimeout(0)
        try:
            self._socket.recv(1)
        except (BlockingIOError, ssl.SSLWantReadError):
            return False
        except OSError:
            return True
        return True

    def close(self) -> None:
        """Close the connection at once."""
        with contextlib.suppress(OSError):
            self._socket.close()


class Places:
    """So many places, each taken by one thread at a time."""

    def __init__(self, count: int) -> None:
        self._count = count
        self.reset()

    def reset(self) -> None:
        """Make all places free."""
        self._free = threading.BoundedSemaphore(self._count)

    def take(self, seconds: float) -> bool:
        """Take a place, waiting for at most so many seconds; whether there was one."""
        return self._free.acquire(timeout=max(0.0, seconds))

    def leave(self) -> None:
        """Give a place back."""
        self._free.release()
