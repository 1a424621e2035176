"""Real Memcached servers for tests, each in a process of its own.

    with MemcachedServer(arguments=["-m", "16"]) as server:
        connect(server.url)
        server.kill()
        server.restart()

A server ends with its owner, also when the owner is killed.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import socket
from collections.abc import Sequence
from pathlib import Path

from armature_cache.testing.binaries import find_memcached
from armature_cache.testing.errors import ServerError
from armature_cache.testing.local import LocalServer
from armature_cache.testing.ports import HOST
from armature_cache.testing.resp import believing, connect


class MemcachedServer(LocalServer):
    """One server on a free local port, or on a socket; a restarted one is empty.

    Args:
        arguments: More of the command line, such as `["-m", "16"]`.
        on_socket: Whether it listens on a socket in a temporary directory instead of a port.
        auth: User and password that clients have to name.
        tls: Files of a certificate and its key; the port speaks TLS only then.
        startup_timeout: Seconds until a server that does not answer counts as failed.
    """

    def __init__(
        self,
        *,
        arguments: Sequence[str] = (),
        on_socket: bool = False,
        auth: tuple[str, str] | None = None,
        tls: tuple[Path, Path] | None = None,
        startup_timeout: float = 20.0,
    ) -> None:
        binary = find_memcached()
        if binary is None:
            raise ServerError("no memcached on the PATH; install it")
        super().__init__(binary, startup_timeout=startup_timeout)
        self._arguments = tuple(arguments)
        self._on_socket = on_socket
        self._auth = auth
        self._tls = tls

    @property
    def url(self) -> str:
        """The address, with user and password."""
        login = "" if self._auth is None else ":".join(self._auth) + "@"
        return f"memcached{'s' * (self._tls is not None)}://{login}{self._address(self.port)}"

    def command(self, *lines: bytes, timeout: float = 5.0) -> list[bytes]:
        """The lines of the answers to commands, over a connection of their own.

        Raises:
            OSError: No answer within `timeout` seconds.
        """
        return self._asked(self.port, lines, timeout)

    def flush(self) -> None:
        """Let the server forget everything."""
        self.command(b"flush_all")

    def _address(self, port: int) -> str:
        return str(self.directory / "memcached.sock") if self._on_socket else f"{HOST}:{port}"

    def _asked(self, port: int, lines: Sequence[bytes], timeout: float) -> list[bytes]:
        with contextlib.closing(self._connected(port, timeout)) as connection:
            if self._auth is not None:
                secret = " ".join(self._auth).encode()
                lines = (b"set login 0 0 %d\r\n%b" % (len(secret), secret), *lines)
            connection.sendall(b"".join(line + b"\r\n" for line in (*lines, b"mn")))
            received = b""
            while not received.endswith(b"MN\r\n"):
                data = connection.recv(65_536)
                if not data:
                    raise ConnectionError("the server closed the connection")
                received += data
        return received.splitlines()[int(self._auth is not None) : -1]

    def _connected(self, port: int, timeout: float) -> socket.socket:
        if not self._on_socket:
            tls = None if self._tls is None else believing(*map(str, self._tls))
            return connect(self.host, port, tls=tls, timeout=timeout)
        plain = socket.socket(socket.AF_UNIX)
        plain.settimeout(timeout)
        try:
            plain.connect(self._address(port))
        except BaseException:
            plain.close()
            raise
        return plain

    def _launch_somewhere(self) -> int:
        if not self._on_socket:
            return super()._launch_somewhere()
        self._launch(0)
        return 0

    def _command_line(self, port: int) -> list[str | Path]:
        where = ["-s", self._address(port)] if self._on_socket else ["-l", HOST, "-p", str(port)]
        command: list[str | Path] = [self.binary, *where, "-U", "0", *self._arguments]
        if os.geteuid() == 0:  # it refuses to run as root unless it is told to
            command += ["-u", pwd.getpwuid(0).pw_name]
        if self._tls is not None:
            certificate, key = self._tls
            command += ["-Z", "-o", f"ssl_chain_cert={certificate},ssl_key={key}"]
        if self._auth is not None:
            secrets = self.directory / "auth"
            secrets.write_text(":".join(self._auth) + "\n", encoding="utf-8")
            command += ["-Y", secrets]
        return command

    def _answers(self, pid: int, port: int) -> bool:
        with contextlib.suppress(OSError):
            return b"STAT pid %d" % pid in self._asked(port, (b"stats",), 1)
        return False
