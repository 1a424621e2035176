"""A Cluster of real servers.

with ClusterServers(masters=3, replicas=1) as cluster:
    connect(cluster.url)
    old = cluster.owner_of("key")
    cluster.failover(old)
    cluster.rejoin(old)
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from armature_cache.testing.errors import ServerError
from armature_cache.testing.group import ServerGroup, side_by_side, url_of
from armature_cache.testing.options import Option
from armature_cache.testing.ports import HOST
from armature_cache.testing.resp import info
from armature_cache.testing.servers import RedisServer
from armature_cache.testing.slots import SLOTS, Member, SlotMove, members, slot_of

_FORMING_TIMEOUT: Final = 1000
_DEFAULTS: Final[Mapping[str, Option]] = {
    "cluster-enabled": True,
    "cluster-announce-ip": HOST,
    "cluster-node-timeout": _FORMING_TIMEOUT,
    "cluster-replica-validity-factor": 0,  # a replica may always take over
    "cluster-allow-replica-migration": False,  # replicas stay with their master
    "repl-diskless-sync-delay": 0,
    "repl-ping-replica-period": 1,
}


class ClusterServers(ServerGroup):
    """Masters with replicas, the slots in equal parts, on free local ports.

    A failover needs a majority of the masters, so at least three.

    Args:
        masters: How many masters.
        replicas: How many replicas each master has.
        binary: The server to run; as for `RedisServer`.
        options: Directives for every server, also `requirepass`.
        node_timeout: Milliseconds of silence after which a master is replaced. Where no test kills
            a server, a longer time spares a busy machine needless failovers.
        timeout: Seconds until a Cluster that is not ready, or does not fail over, counts as failed.
    """

    def __init__(
        self,
        *,
        masters: int = 3,
        replicas: int = 1,
        binary: Path | None = None,
        options: Mapping[str, Option] | None = None,
        node_timeout: int = 1000,
        timeout: float = 20.0,
    ) -> None:
        own = {**_DEFAULTS, **(options or {})}
        self._password = own.get("requirepass")
        if self._password:
            own["masterauth"] = self._password
        count = masters * (1 + replicas)
        super().__init__([RedisServer(binary=binary, options=own) for _ in range(count)], timeout)
        self._masters = masters
        self._node_timeout = node_timeout

    @property
    def url(self) -> str:
        """Address of all servers."""
        return url_of("cluster", self._password, self.nodes)

    def masters(self) -> list[RedisServer]:
        """The masters that own slots, in the order of their slots; a dead one until replaced."""
        return [self._node_at(member.port) for member in self._owners()]

    def replicas_of(self, node: RedisServer) -> list[RedisServer]:
        """The replicas of a master, also dead ones."""
        view = self._view()
        ids = {member.id for member in view if member.port == node.port}
        return [self._node_at(member.port) for member in view if member.master in ids]

    def owner_of(self, key: str | bytes) -> RedisServer:
        """The master that has the key's slot."""
        return self.owner_of_slot(slot_of(key))

    def owner_of_slot(self, slot: int) -> RedisServer:
        """The master that has the slot."""
        for member in self._owners():
            if member.owns(slot):
                return self._node_at(member.port)
        raise ServerError(f"nobody owns slot {slot}")

    def failover(self, master: RedisServer | None = None, *, kill: bool = True) -> RedisServer:
        """Replace a master by one of its replicas; the new master, once all servers agree on it.

        Args:
            master: Default: the first of `masters()`.
            kill: End the old one with SIGKILL. Otherwise the two change places in order.
        """
        old = master or self.masters()[0]
        replicas = [node for node in self.replicas_of(old) if node in self._active()]
        if not replicas:
            raise ServerError(f"{old!r} has no replica that runs")
        if kill:
            old.kill()
        else:
            replicas[0].command("CLUSTER", "FAILOVER")
        return self._wait_failover(old, replicas)

    def pause_master(self, master: RedisServer | None = None) -> RedisServer:
        """Freeze a master; the new one, as of `failover`.

        After `resume` of the old one, it takes itself for the master for a moment.
        """
        old = master or self.masters()[0]
        replicas = self.replicas_of(old)
        old.pause()
        return self._wait_failover(old, replicas)

    def _wait_failover(self, old: RedisServer, replicas: list[RedisServer]) -> RedisServer:
        def lacking() -> str:
            owners = self.masters()
            if old in owners or not any(node in owners for node in replicas):
                return f"no replica of {old!r} was promoted"
            return self._lacking()

        self._until(lacking)
        return next(node for node in self.masters() if node in replicas)

    def move_slot(self, slot: int, target: RedisServer) -> int:
        """Move a slot with its keys, and wait until all agree; how many keys moved."""
        move = self.start_move(slot, target)
        moved = move.migrate_keys()
        move.finish()
        self.wait_ready()
        return moved

    def start_move(self, slot: int, target: RedisServer) -> SlotMove:
        """Begin to move a slot: for tests of what clients see in between."""
        source = self.owner_of_slot(slot)
        if source is target:
            raise ServerError(f"slot {slot} is there already")
        # By role: a master without slots has to be told as well.
        masters = [node for node in self._active() if node.command("ROLE")[0] == b"master"]
        return SlotMove(slot, source, target, [n for n in masters if n not in {source, target}])

    def _form(self) -> None:
        side_by_side(operator.methodcaller("start"), self.nodes)
        self._join()
        self.wait_ready()
        for node in self.nodes:
            node.options["cluster-node-timeout"] = self._node_timeout
            node.command("CONFIG", "SET", "cluster-node-timeout", self._node_timeout)

    def _join(self) -> None:
        ids = [node.command("CLUSTER", "MYID") for node in self.nodes]
        for number, node in enumerate(self.nodes):  # before they hear of one another
            node.command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for number, node in enumerate(self.nodes):
            # All pairs: gossip alone would take seconds.
            for peer in self.nodes[number + 1 :]:
                node.command("CLUSTER", "MEET", HOST, peer.port, peer.bus_port)
        bounds = [SLOTS * number // self._masters for number in range(self._masters + 1)]
        for number in range(self._masters):
            first, last = bounds[number], bounds[number + 1] - 1
            self.nodes[number].command("CLUSTER", "ADDSLOTSRANGE", first, last)
        todo = list(enumerate(self.nodes))[self._masters :]

        def unattached() -> str:
            number, node = todo[0]
            node.command("CLUSTER", "REPLICATE", ids[number % self._masters])  # once it knows it
            todo.pop(0)
            return "not all replicas are attached" if todo else ""

        if todo:
            self._until(unattached)

    def _owners(self) -> list[Member]:
        owners = [member for member in self._view() if member.slots]
        return sorted(owners, key=lambda member: member.slots[0].start)

    def _view(self) -> list[Member]:
        """The members, as the best informed server sees them."""
        views = [members(node.command("CLUSTER", "NODES")) for node in self._active()]
        if not views:
            raise ServerError("no server of the Cluster runs")
        return max(views, key=lambda view: max(member.epoch for member in view))

    def _lacking(self) -> str:
        active = self._active()
        ports = {node.port for node in active}
        layouts = set()
        for node in active:
            state, nodes, slots, replication = node.commands(
                ("CLUSTER", "INFO"),
                ("CLUSTER", "NODES"),
                ("CLUSTER", "SLOTS"),
                ("INFO", "replication"),
            )
            if info(state)["cluster_state"] != "ok":
                return f"{node!r} says {info(state)}"
            if info(replication).get("master_link_status", "up") != "up":
                return f"{node!r} is not connected to its master"
            view = members(nodes)
            seen = [member for member in view if member.port in ports]
            if len(view) != len(self.nodes) or any(_doubtful(member) for member in seen):
                return f"{node!r} sees {view}"
            owners = {member.id for member in seen if member.slots}
            expected = {m.port for m in seen if not owners.isdisjoint({m.id, m.master})}
            listed = {address[1] for _, _, *servers in slots for address in servers}
            if not expected <= listed:
                return f"{node!r} does not list {expected - listed}"
            layouts.add(tuple(sorted((m.layout for m in seen), key=operator.itemgetter(0))))
        return "" if len(layouts) == 1 else f"servers disagree: {layouts}"


def _doubtful(member: Member) -> bool:
    return not member.flags.isdisjoint({"fail", "fail?", "handshake", "noaddr"})
