"""A server program on a free local port, in a temporary directory of its own.

It ends with its owner, also when the owner is killed.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, NoReturn, Self

from armature_cache.testing.errors import ServerError
from armature_cache.testing.ports import HOST, free_ports
from armature_cache.testing.process import GuardedProcess

_POLL: Final = 0.005
_PORT_ATTEMPTS: Final = 10


class LocalServer(ABC):
    """Starts, freezes, kills and restarts a server; a subclass says how it is run and asked."""

    def __init__(self, binary: Path, *, startup_timeout: float) -> None:
        self.binary = binary
        self.host = HOST
        self.startup_timeout = startup_timeout
        self._port: int | None = None
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
        """The port, kept over restarts; 0 for a socket."""
        if self._port is None:
            raise ServerError("the server was not started")
        return self._port

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
            self._port = self._launch_somewhere()
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

    def close(self) -> None:
        """Stop, and remove the directory."""
        self.stop()
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None

    @abstractmethod
    def _command_line(self, port: int) -> Sequence[str | Path]:
        """How the server is run on a port; writes what it needs into the directory."""

    @abstractmethod
    def _answers(self, pid: int, port: int) -> bool:
        """Whether this very process answers; another server may have won the port."""

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or not self.running:
            raise ServerError(f"{self!r} is not running")
        return self._process.child

    def _launch_somewhere(self) -> int:
        for port in itertools.islice(free_ports(), _PORT_ATTEMPTS):
            with contextlib.suppress(_PortTakenError):
                self._launch(port)
                return port
        raise ServerError(f"no free port in {_PORT_ATTEMPTS} attempts")

    def _launch(self, port: int) -> None:
        command = self._command_line(port)
        with (self.directory / "server.log").open("ab") as log:
            self._log_start = log.tell()
            process = GuardedProcess(command, self.directory, log)
        self._process = process
        try:
            self._await_answer(process.child, port)
        except BaseException:
            self._release()
            raise

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
        error = _PortTakenError if "address already in use" in log.lower() else ServerError
        raise error(f"{self.binary.name} {what}:\n{log[-2000:]}")

    def _release(self) -> None:
        self._paused = False
        if self._process is not None:
            self._process.end()
            self._process = None


class _PortTakenError(ServerError):
    pass
