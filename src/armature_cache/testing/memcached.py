"""Real Memcached servers for tests, each in a process of its own.

    with MemcachedServer(arguments=["-m", "16"]) as server:
        connect(server.url)
        server.kill()
        server.restart()

A server ends with its owner, also when the owner is killed.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from armature_cache.testing.binaries import find_memcached
from armature_cache.testing.errors import ServerError
from armature_cache.testing.ports import HOST, free_ports
from armature_cache.testing.process import GuardedProcess
from armature_cache.testing.resp import believing, connect

_POLL: Final = 0.005
_PORT_ATTEMPTS: Final = 10


class MemcachedServer:
    """One server on a free local port, or on a socket.

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
        self.binary = binary
        self.host = HOST
        self.startup_timeout = startup_timeout
        self._arguments = tuple(arguments)
        self._on_socket = on_socket
        self._auth = auth
        self._tls = tls
        self._port: int | None = None
        self._directory: Path | None = None
        self._process: GuardedProcess | None = None
        self._paused = False

    def __repr__(self) -> str:
        state = f"pid {self._process.child.pid}" if self._process else "not running"
        return f"<MemcachedServer {self._address}, {state}>"

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def directory(self) -> Path:
        """Working directory."""
        if self._directory is None:
            raise ServerError("the server was not started, or is closed")
        return self._directory

    @property
    def port(self) -> int:
        """The port, kept over restarts; 0 for a socket."""
        if self._port is None:
            raise ServerError("the server was not started")
        return self._port

    @property
    def url(self) -> str:
        """The address, with user and password."""
        login = "" if self._auth is None else ":".join(self._auth) + "@"
        return f"memcached{'s' * (self._tls is not None)}://{login}{self._address}"

    @property
    def _address(self) -> str:
        if self._on_socket:
            return str(self.directory / "memcached.sock")
        return f"{self.host}:{self._port}"

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        return self._running().pid

    @property
    def running(self) -> bool:
        """Whether the process lives; a paused one does."""
        return self._process is not None and self._process.lives

    @property
    def paused(self) -> bool:
        """Whether `pause` froze the process."""
        return self._paused

    @property
    def log(self) -> str:
        """All that the server wrote so far."""
        return (self.directory / "server.log").read_text(encoding="utf-8", errors="replace")

    def start(self) -> Self:
        """Start and wait until the server answers."""
        if self.running:
            raise ServerError(f"{self!r} is running already")
        self._release()
        if self._port is not None:
            self._launch(self._port)
            return self
        self._directory = Path(tempfile.mkdtemp(prefix="armature-memcached-"))
        try:
            self._port = self._launch_anywhere()
        except BaseException:
            self.close()
            raise
        return self

    def stop(self) -> None:
        """End the server in order (SIGTERM); the port stays for `restart`."""
        if self.running:
            process = self._running()
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGCONT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
        self._release()

    def kill(self) -> None:
        """End the server at once (SIGKILL); the port stays for `restart`."""
        self._running().kill()
        self._release()

    def restart(self) -> None:
        """Start again on the same port, empty, after `stop` if it still runs."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze the process (SIGSTOP): connections stay open, nothing answers."""
        process = self._running()
        process.send_signal(signal.SIGSTOP)
        os.waitpid(process.pid, os.WUNTRACED)
        self._paused = True

    def resume(self) -> None:
        """Let a paused process go on."""
        self._running().send_signal(signal.SIGCONT)
        self._paused = False

    def command(self, *lines: bytes, timeout: float = 5.0) -> list[bytes]:
        """The lines of the answers to commands, over a connection of their own.

        Raises:
            OSError: No answer within `timeout` seconds.
        """
        with contextlib.closing(self._connected(timeout)) as connection:
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

    def flush(self) -> None:
        """Let the server forget everything."""
        self.command(b"flush_all")

    def close(self) -> None:
        """Stop, and remove the directory."""
        self.stop()
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None

    def _connected(self, timeout: float) -> socket.socket:
        if not self._on_socket:
            tls = None if self._tls is None else believing(*map(str, self._tls))
            return connect(self.host, self.port, tls=tls, timeout=timeout)
        plain = socket.socket(socket.AF_UNIX)
        plain.settimeout(timeout)
        try:
            plain.connect(self._address)
        except BaseException:
            plain.close()
            raise
        return plain

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or not self.running:
            raise ServerError(f"{self!r} is not running")
        return self._process.child

    def _launch_anywhere(self) -> int:
        if self._on_socket:
            self._port = 0
            self._launch(0)
            return 0
        for port in itertools.islice(free_ports(), _PORT_ATTEMPTS):
            self._port = port
            with contextlib.suppress(_PortTakenError):
                self._launch(port)
                return port
        raise ServerError(f"no free port in {_PORT_ATTEMPTS} attempts")

    def _launch(self, port: int) -> None:
        where = ["-s", self._address] if self._on_socket else ["-l", HOST, "-p", str(port)]
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
        with (self.directory / "server.log").open("wb") as log:
            self._process = GuardedProcess(command, self.directory, log)
        try:
            self._await_answer(self._process.child)
        except BaseException:
            self._release()
            raise

    def _await_answer(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + self.startup_timeout
        while not self._answers(process.pid):
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = process.wait(_POLL)
                error = _PortTakenError if "already in use" in self.log else ServerError
                raise error(f"{self.binary.name} ended with status {code}:\n{self.log[-2000:]}")
            if time.monotonic() > deadline:
                raise ServerError(f"{self!r} did not answer within {self.startup_timeout} s")

    def _answers(self, pid: int) -> bool:
        """Whether this very process answers; another server may have won the port."""
        with contextlib.suppress(OSError):
            return b"STAT pid %d" % pid in self.command(b"stats", timeout=1)
        return False

    def _release(self) -> None:
        self._paused = False
        if self._process is not None:
            self._process.end()
            self._process = None


class _PortTakenError(ServerError):
    pass
