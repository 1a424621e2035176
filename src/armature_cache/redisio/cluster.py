"""The cluster's port: each command goes to the primary that owns its slot."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from redis import exceptions as redis_errors

from armature_cache.errors import BackendError, BackendTimeout, BackendUnavailable, ClosedError
from armature_cache.redisio.port import Answer, Command, Port, translate, whole
from armature_cache.redisio.slots import slot_of, slot_of_command

if TYPE_CHECKING:
    from armature_cache._runtime.base import Runtime
    from armature_cache._time import TimeSource

Node = tuple[str, int]
P = TypeVar("P", bound=Port)

_FIRST_PAUSE: Final = 0.01
_LONGEST_PAUSE: Final = 0.2
_REDIRECTED: Final = ("MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN", "LOADING")


class ClusterPort(Generic[P]):
    """Sends pipelines to the primaries of a cluster, and follows its slots where they go.

    `make_port` makes the port of one node. Commands without keys go where the first command goes.
    A node that is lost is looked for again, for `patience` seconds at the most.
    """

    def __init__(
        self,
        make_port: Callable[[Node], P],
        seeds: Sequence[Node],
        *,
        backend: str,
        runtime: Runtime,
        time: TimeSource,
        patience: float,
    ) -> None:
        self.backend = backend
        self._make_port = make_port
        self._seeds = tuple(seeds)
        self._runtime = runtime
        self._time = time
        self._patience = patience
        self.closed = False
        self._ports: dict[Node, P] = {}
        self._ranges: list[tuple[int, int, Node]] = []
        self._silent: set[Node] = set()
        self._doubted = False

    def _port(self, node: Node) -> P:
        port = self._ports.get(node)
        if port is None:
            port = self._ports[node] = self._make_port(node)
        return port

    async def _ask(self, node: Node, commands: Sequence[Command], *, retry: bool = True) -> Answer:
        """Send to one node. Where it does not answer in time, the map is doubted from then on."""
        try:
            answer = await self._port(node).send(commands, retry=retry)
        except BackendTimeout:
            self._silent.add(node)
            self._doubted = True
            raise
        self._silent.discard(node)
        return answer

    # -- sending -----------------------------------------------------------------------------

    async def send(self, commands: Sequence[Command], *, retry: bool = True) -> Answer:
        if self.closed:
            raise ClosedError(f"the cache over {self.backend} was closed")
        gathered = _Gathered(commands)
        give_up_at = self._time() + self._patience
        pause = _FIRST_PAUSE
        if not self._ranges or self._doubted:
            await self._learn()
        while True:
            lost = await self._round(gathered, retry=retry)
            left = gathered.left()
            if not left:
                return gathered.answer()
            if self._time() >= give_up_at:
                raise lost or BackendUnavailable(
                    f"{self.backend} keeps sending {commands[left[0]][0]!r} elsewhere; its slots "
                    "are moving, or not covered",
                    backend=self.backend,
                )
            await self._runtime.sleep(pause)
            pause = min(_LONGEST_PAUSE, pause * 2)
            await self._learn()

    async def _round(self, gathered: _Gathered, *, retry: bool) -> BackendError | None:
        """Send what has no final reply yet, to its owners side by side."""
        groups = self._grouped(gathered)
        outcomes = await self._runtime.gather(
            [
                self._ask(node, [gathered.commands[at] for at in places], retry=retry)
                for node, places in groups.items()
            ]
        )
        lost: BackendError | None = None
        for places, outcome in zip(groups.values(), outcomes, strict=True):
            if isinstance(outcome, Answer):
                gathered.take(places, outcome)
            elif isinstance(outcome, BackendUnavailable) and retry:
                lost = outcome
            else:
                raise outcome
        for at, node in gathered.asked():
            # Whole, for ASKING holds for one command: there is no second try.
            command = whole(gathered.commands[at])
            answer = await self._ask(node, [("ASKING",), command], retry=retry)
            gathered.take([at], answer._replace(replies=answer.replies[1:]))
        return lost

    def _grouped(self, gathered: _Gathered) -> dict[Node, list[int]]:
        groups: dict[Node, list[int]] = {}
        home: Node | None = None
        for at, command in enumerate(gathered.commands):
            slot = slot_of_command(command)
            node = home if slot is None else self._owner(slot)
            node = node or self._any_node()
            home = home or node
            if gathered.is_left(at):
                groups.setdefault(node, []).append(at)
        return groups

    def _owner(self, slot: int) -> Node | None:
        return next((node for low, high, node in self._ranges if low <= slot <= high), None)

    def _any_node(self) -> Node:
        return self._ranges[0][2] if self._ranges else self._seeds[0]

    # -- the map -----------------------------------------------------------------------------

    async def _learn(self) -> None:
        """Ask the nodes in turn who owns which slots."""
        known = dict.fromkeys([*(node for _, _, node in self._ranges), *self._seeds])
        trouble: BackendError | None = None
        for node in sorted(known, key=self._silent.__contains__):
            try:
                answer = await self._ask(node, [("CLUSTER", "SLOTS")])
            except BackendError as error:
                trouble = error
                continue
            (reply,) = answer.replies
            if isinstance(reply, redis_errors.NoPermissionError):
                raise translate(reply, self.backend)
            if isinstance(reply, redis_errors.ResponseError):
                raise BackendUnavailable(
                    f"{self.backend} is not a cluster ({reply}); use redis:// for a single server",
                    backend=self.backend,
                )
            self._ranges = [
                (int(low), int(high), (_host(primary[0], node), int(primary[1])))
                for low, high, primary, *_ in reply
            ]
            if self._ranges:
                self._doubted = False
                return
        raise trouble or BackendUnavailable(
            f"no node of {self.backend} knows the cluster's slots", backend=self.backend
        )

    async def runs(self) -> frozenset[str]:
        """The run_ids of all primaries that own slots."""
        await self._learn()
        nodes = {node for _, _, node in self._ranges}
        answers = [await self._ask(node, [("PING",)]) for node in nodes]
        return frozenset(run for answer in answers for run in answer.runs)

    async def primaries(self) -> list[P]:
        """The port of each primary."""
        await self._learn()
        return [self._port(node) for node in dict.fromkeys(node for _, _, node in self._ranges)]

    @property
    def is_mapped(self) -> bool:
        """Whether the owners of the slots are known."""
        return bool(self._ranges)

    def port_of(self, name: str) -> P:
        """The port of the primary that owns a server key, as far as is known."""
        return self._port(self._owner(slot_of(name)) or self._any_node())

    async def aclose(self) -> None:
        self.closed = True
        ports, self._ports = self._ports, {}
        for port in ports.values():
            await port.aclose()


class _Gathered:
    """The replies to a pipeline, as they come in from several nodes."""

    def __init__(self, commands: Sequence[Command]) -> None:
        self.commands = commands
        self._replies: dict[int, Any] = {}
        self._first: Answer | None = None
        self._runs: set[str] = set()
        self._received_at = 0.0

    def take(self, places: Iterable[int], answer: Answer) -> None:
        """Note the replies to the commands at these places."""
        for at, reply in zip(places, answer.replies, strict=True):
            self._replies[at] = reply
            if at == 0:
                self._first = answer
        self._runs |= answer.runs
        self._received_at = max(self._received_at, answer.received_at)

    def is_left(self, at: int) -> bool:
        """Whether a command has no reply yet but to go elsewhere."""
        if at not in self._replies:
            return True
        reply = self._replies[at]
        return isinstance(reply, Exception) and _word(reply) in _REDIRECTED

    def left(self) -> list[int]:
        """The commands that have no final reply."""
        return [at for at in range(len(self.commands)) if self.is_left(at)]

    def asked(self) -> list[tuple[int, Node]]:
        """The commands that another node is to be asked for, this once."""
        return [
            (at, (reply.host, int(reply.port)))
            for at, reply in self._replies.items()
            if isinstance(reply, redis_errors.AskError)
            and not isinstance(reply, redis_errors.MovedError)
        ]

    def answer(self) -> Answer:
        """All replies in order."""
        first = self._first
        assert first is not None  # noqa: S101 - a pipeline has a first command
        replies = [self._replies[at] for at in range(len(self.commands))]
        return Answer(
            replies, first.run_id, first.sent_at, self._received_at, frozenset(self._runs)
        )


def _word(error: Exception) -> str:
    kinds: tuple[tuple[type[Exception], str], ...] = (
        (redis_errors.MovedError, "MOVED"),
        (redis_errors.AskError, "ASK"),
        (redis_errors.TryAgainError, "TRYAGAIN"),
        (redis_errors.ClusterDownError, "CLUSTERDOWN"),
    )
    for kind, word in kinds:
        if isinstance(error, kind):
            return word
    return str(error).partition(" ")[0]


def _host(raw: bytes | str, asked: Node) -> str:
    host = raw.decode() if isinstance(raw, bytes) else raw
    return host or asked[0]
