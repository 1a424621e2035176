"""The port that the Memcached store and clock talk through, and what passes through it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from armature_cache.errors import BackendError, BackendUnavailable, ClosedError
from armature_cache.memcachedio.wire import Command, Reply

if TYPE_CHECKING:
    from armature_cache.memcachedio.server import Server

Outcome = Reply | BackendError
"""What became of a command."""


class Port(Protocol):
    """Sends commands to one or several servers."""

    backend: str
    """Their addresses, without secrets."""
    closed: bool
    servers: Sequence[Server]

    async def send(self, commands: Sequence[Command], *, retry: bool = True) -> list[Outcome]:
        """What became of commands, which reach each server in their order, in one pipeline.

        A lost connection is tried once more with a new one unless `retry` is false; a timeout is
        not. A server that fails is an error for each of its commands. Raises `ClosedError`.
        """
        ...

    async def aclose(self) -> None:
        """Close every connection of this port."""
        ...


class Sorted:
    """Commands on their way to several servers, and what became of them."""

    def __init__(self, commands: Sequence[Command]) -> None:
        self.commands = commands
        self.places: dict[int, list[int]] = {}
        for at, command in enumerate(commands):
            self.places.setdefault(command.node, []).append(at)
        self._outcomes: list[Outcome | None] = [None] * len(commands)

    def of(self, node: int) -> list[Command]:
        """The commands for one server."""
        return [self.commands[at] for at in self.places[node]]

    def note(self, node: int, outcome: Sequence[Reply] | BackendError) -> None:
        """Note what a server answered, or how it failed."""
        places = self.places[node]
        answers: Sequence[Outcome]
        answers = [outcome] * len(places) if isinstance(outcome, BackendError) else outcome
        for at, answer in zip(places, answers, strict=True):
            self._outcomes[at] = answer

    def outcomes(self) -> list[Outcome]:
        """What became of each command."""
        return [outcome for outcome in self._outcomes if outcome is not None]


class ServersPort:
    """What the ports of both faces have in common."""

    def __init__(
        self,
        servers: Sequence[Server],
        *,
        connect_timeout: float,
        operation_timeout: float,
        limit: int,
    ) -> None:
        self.servers = servers
        self.backend = ",".join(server.shown for server in servers)
        self.closed = False
        self._connect_timeout = connect_timeout
        self._operation_timeout = operation_timeout
        self._limit = limit

    def _sort(self, commands: Sequence[Command]) -> Sorted:
        """Commands by their servers; those for a server that is spared have failed already."""
        if self.closed:
            raise ClosedError(f"the cache over {self.backend} was closed")
        return Sorted(commands)

    def _is_spared(self, server: Server) -> bool:
        return len(self.servers) > 1 and server.resting


def checked(outcomes: Sequence[Outcome], backend: str) -> list[Reply]:
    """The replies; raises the first error among the outcomes."""
    replies: list[Reply] = []
    for outcome in outcomes:
        if isinstance(outcome, BackendError):
            raise outcome
        if outcome.code == b"SERVER_ERROR":
            said = outcome.value[:80].decode("ascii", "replace")
            raise BackendUnavailable(f"{backend} refused a command: {said}", backend=backend)
        replies.append(outcome)
    return replies
