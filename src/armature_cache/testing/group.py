"""Servers that belong together and start and end together."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Final, Self, TypeVar
from urllib.parse import quote

from armature_cache.testing.errors import ServerError
from armature_cache.testing.servers import RedisServer

_POLL: Final = 0.02
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class ServerGroup:
    """What a Cluster and a Sentinel set-up have in common.

    Args:
        nodes: The servers that hold data.
        timeout: Seconds until a group that is not ready, or does not fail over, counts as failed.
    """

    def __init__(self, nodes: Iterable[RedisServer], timeout: float) -> None:
        self.nodes = list(nodes)
        self.timeout = timeout

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
    def url(self) -> str:
        """The address that a cache is opened with."""
        raise NotImplementedError

    @property
    def servers(self) -> list[RedisServer]:
        """All processes of the group."""
        return self.nodes

    def start(self) -> Self:
        """Start all servers, and wait until the group is ready."""
        if any(server.running for server in self.servers):
            raise ServerError("the servers are running already")
        try:
            self._form()
            self.wait_ready()
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """End all servers and remove their directories."""
        for server in self.servers:  # at once: none shall see another end and act on it
            if server.running:
                server.kill()
            server.close()

    def rejoin(self, node: RedisServer) -> None:
        """Bring back a killed, stopped or paused server, and wait until the group is ready."""
        if node.paused:
            node.resume()
        elif not node.running:
            node.start()
        self.wait_ready()

    def wait_ready(self) -> None:
        """Wait until all servers that run agree on who is who, and replicas are connected."""
        self._until(self._lacking)

    def _form(self) -> None:
        raise NotImplementedError

    def _lacking(self) -> str:
        raise NotImplementedError

    def _active(self) -> list[RedisServer]:
        return [node for node in self.nodes if node.running and not node.paused]

    def _node_at(self, port: int) -> RedisServer:
        for node in self.nodes:
            if node.port == port:
                return node
        raise ServerError(f"port {port} is none of this group's")

    def _until(self, lacking: Callable[[], str]) -> None:
        """Wait until `lacking` has nothing to say."""
        deadline = time.monotonic() + self.timeout
        while what := _said(lacking):
            if time.monotonic() > deadline:
                logs = "\n".join(f"{each!r}:\n{each.log[-600:]}" for each in self.servers)
                raise ServerError(f"after {self.timeout} s still: {what}\n{logs}")
            time.sleep(_POLL)


def side_by_side(work: Callable[[_Item], _Result], items: Iterable[_Item]) -> list[_Result]:
    """The results of `work` for each of the items, each in a thread of its own."""
    todo = list(items)
    with ThreadPoolExecutor(max(1, len(todo))) as pool:
        return list(pool.map(work, todo))


def url_of(kind: str, password: object, servers: Iterable[RedisServer], path: str = "") -> str:
    """An address of several hosts: `cluster` or `sentinel`."""
    servers = list(servers)
    scheme = f"rediss+{kind}" if any(each.tls for each in servers) else f"redis+{kind}"
    user = f":{quote(str(password), safe='')}@" if password else ""
    return f"{scheme}://{user}{','.join(f'{each.host}:{each.port}' for each in servers)}{path}"


def _said(lacking: Callable[[], str]) -> str:
    try:
        return lacking()
    except (OSError, ServerError) as error:
        return str(error) or type(error).__name__
