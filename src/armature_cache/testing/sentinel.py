"""A primary with replicas, watched by Sentinels.

with SentinelServers() as group:
    connect(group.url)
    old = group.primary()
    group.failover()
    group.rejoin(old)
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Final, Self

from armature_cache.testing.errors import ServerError
from armature_cache.testing.group import ServerGroup, side_by_side, url_of
from armature_cache.testing.options import Option
from armature_cache.testing.ports import HOST
from armature_cache.testing.resp import pairs
from armature_cache.testing.servers import RedisServer

_DEFAULTS: Final[Mapping[str, Option]] = {
    "repl-diskless-sync-delay": 0,
    "repl-ping-replica-period": 1,
}
# Milliseconds, for a start within two seconds. Shorter ones break failovers, as a Sentinel asks for
# INFO only once a second then: it takes a replica whose INFO is older than 5 ping periods for none,
# and turns another Sentinel's new primary back into a replica after 4 publish periods.
_PERIODS: Final = {
    "PING-PERIOD": 400,
    "ASK-PERIOD": 200,
    "PUBLISH-PERIOD": 400,
    "INFO-PERIOD": 200,
    "TILT-PERIOD": 1000,
    "MIN-LINK-RECONNECT-PERIOD": 500,
}


class _Data(RedisServer):
    keeps_configuration: ClassVar[bool] = True  # Sentinels write into it who is whose replica


class _Sentinel(RedisServer):
    arguments: ClassVar[tuple[str, ...]] = ("--sentinel",)
    keeps_configuration: ClassVar[bool] = True

    def start(self) -> Self:
        super().start()
        periods = [word for pair in _PERIODS.items() for word in pair]
        self.command("SENTINEL", "DEBUG", *periods)
        return self


class SentinelServers(ServerGroup):
    """One primary with replicas, and Sentinels, on free local ports.

    Args:
        replicas: How many replicas.
        sentinels: How many Sentinels; a majority of them is the quorum.
        binary: The server to run; as for `RedisServer`.
        options: Directives for the servers that hold data, also `requirepass`; those of TLS are
            for the Sentinels, too.
        down_after: Milliseconds of silence after which the primary is replaced. Where no test kills
            a server, a longer time spares a busy machine needless failovers.
        failover_timeout: Milliseconds until a failover that got stuck is given up; the next one
            begins no earlier than twice that time after this one.
        timeout: Seconds until a group that is not ready, or does not fail over, counts as failed.
    """

    name: Final = "mymaster"

    def __init__(
        self,
        *,
        replicas: int = 1,
        sentinels: int = 3,
        binary: Path | None = None,
        options: Mapping[str, Option] | None = None,
        down_after: int = 500,
        failover_timeout: int = 2000,
        timeout: float = 20.0,
    ) -> None:
        own = {**_DEFAULTS, **(options or {})}
        self._password = own.get("requirepass")
        if self._password:
            own["masterauth"] = self._password
        super().__init__([_Data(binary=binary, options=own) for _ in range(1 + replicas)], timeout)
        tls = {name: value for name, value in own.items() if name.startswith("tls-")}
        self.sentinels: list[RedisServer] = [
            _Sentinel(binary=binary, options=tls) for _ in range(sentinels)
        ]
        self._settings = {
            "down-after-milliseconds": down_after,
            "failover-timeout": failover_timeout,
            "parallel-syncs": replicas or 1,
            **({"auth-pass": self._password} if self._password else {}),
        }

    @property
    def servers(self) -> list[RedisServer]:
        return [*self.sentinels, *self.nodes]

    @property
    def url(self) -> str:
        """Addresses of the Sentinels, and the name of the primary."""
        return url_of("sentinel", self._password, self.sentinels, f"/{self.name}")

    def primary(self) -> RedisServer:
        """The primary, as the best informed Sentinel sees it; a dead one until replaced."""
        views = [self._view(sentinel) for sentinel in self._watching()]
        if not views:
            raise ServerError("no Sentinel runs")
        return self._node_at(int(max(views, key=lambda view: int(view["config-epoch"]))["port"]))

    def replicas(self) -> list[RedisServer]:
        """All servers that hold data but the primary, also dead ones."""
        primary = self.primary()
        return [node for node in self.nodes if node is not primary]

    def failover(self, *, kill: bool = True) -> RedisServer:
        """Replace the primary; the new one, once all Sentinels agree on it.

        Args:
            kill: End the old one with SIGKILL. Otherwise the two change places in order.
        """
        old = self.primary()
        if kill:
            old.kill()
        else:
            self._watching()[0].command("SENTINEL", "FAILOVER", self.name)
        return self._wait_failover(old)

    def pause_primary(self) -> RedisServer:
        """Freeze the primary; the new one, as of `failover`.

        After `resume` of the old one, it takes itself for the primary for a moment.
        """
        old = self.primary()
        old.pause()
        return self._wait_failover(old)

    def _wait_failover(self, old: RedisServer) -> RedisServer:
        def lacking() -> str:
            return f"{old!r} was not replaced" if self.primary() is old else self._lacking()

        self._until(lacking)
        return self.primary()

    def _form(self) -> None:
        primary, *replicas = self.nodes
        primary.start()
        for node in replicas:
            node.options["replicaof"] = f"{HOST} {primary.port}"
        monitor = f"monitor {self.name} {HOST} {primary.port} {len(self.sentinels) // 2 + 1}"
        settings = [f"{word} {self.name} {value}" for word, value in self._settings.items()]
        for sentinel in self.sentinels:
            sentinel.options["sentinel"] = [monitor, *settings]
        side_by_side(operator.methodcaller("start"), [*replicas, *self.sentinels])

    def _watching(self) -> list[RedisServer]:
        return [each for each in self.sentinels if each.running and not each.paused]

    def _view(self, sentinel: RedisServer) -> dict[str, str]:
        return pairs(sentinel.command("SENTINEL", "MASTER", self.name))

    def _lacking(self) -> str:
        primary = self.primary()
        for node in self._active():
            role = node.command("ROLE")
            if node is primary:
                if role[0] != b"master":
                    return f"{node!r} says {role}"
            elif role[0] != b"slave" or role[2] != primary.port or role[3] != b"connected":
                return f"{node!r} says {role}"
        for sentinel in self._watching():
            if what := self._misjudged(sentinel, primary):
                return f"{sentinel!r} says {what}"
        return ""

    def _misjudged(self, sentinel: RedisServer, primary: RedisServer) -> object:
        """What a Sentinel does not know yet."""
        view = self._view(sentinel)
        others = len(self.sentinels) - 1
        if (view["flags"], int(view["num-other-sentinels"])) != ("master", others):
            return view
        _, port = sentinel.command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.name)
        sentinel.command("SENTINEL", "CKQUORUM", self.name)
        if {int(port), int(view["port"])} != {primary.port}:
            return view
        replicas = [pairs(each) for each in sentinel.command("SENTINEL", "REPLICAS", self.name)]
        good = {
            int(each["port"])
            for each in replicas
            if each["flags"] == "slave" and each["master-link-status"] == "ok"
        }
        missing = {node.port for node in self._active() if node is not primary} - good
        return replicas if missing else ""
