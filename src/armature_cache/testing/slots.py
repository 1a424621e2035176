"""Slots of a Cluster: which key has which, who owns them, and how one moves."""

from __future__ import annotations

import binascii
import dataclasses
from typing import Final, Self

from armature_cache.testing.servers import RedisServer

SLOTS: Final = 16_384
_BATCH: Final = 100


def slot_of(key: str | bytes) -> int:
    """The slot of a key: of its hash tag if it has one."""
    name = key.encode() if isinstance(key, str) else key
    start = name.find(b"{") + 1
    end = name.find(b"}", start)
    tag = name[start:end] if start and end > start else name
    return binascii.crc_hqx(tag, 0) % SLOTS


@dataclasses.dataclass(frozen=True, slots=True)
class Member:
    """A line of CLUSTER NODES."""

    id: str
    port: int
    flags: frozenset[str]
    master: str
    epoch: int
    slots: tuple[range, ...]

    @classmethod
    def parse(cls, line: str) -> Self:
        """From the text of the line."""
        id_, address, flags, master, _, _, epoch, _, *slots = line.split(" ")
        return cls(
            id=id_,
            port=int(address.partition("@")[0].rpartition(":")[2]),
            flags=frozenset(flags.split(",")),
            master="" if master == "-" else master,
            epoch=int(epoch),
            slots=tuple(_range(each) for each in slots if each[0] != "["),
        )

    @property
    def layout(self) -> tuple[str, str, tuple[range, ...]]:
        """What members have to agree on."""
        return self.id, self.master, self.slots

    def owns(self, slot: int) -> bool:
        """Whether the slot is this member's."""
        return any(slot in each for each in self.slots)


def members(nodes: bytes) -> list[Member]:
    """The reply to CLUSTER NODES."""
    return [Member.parse(line) for line in nodes.decode().splitlines()]


class SlotMove:
    """A slot under way from one master to another, while clients go on.

    Between `migrate_keys` calls the source answers ASK for keys that have left, and TRYAGAIN for
    commands whose keys are on both sides. `ClusterServers.start_move` makes one.
    """

    def __init__(
        self, slot: int, source: RedisServer, target: RedisServer, others: list[RedisServer]
    ) -> None:
        self.slot = slot
        self.source = source
        self.target = target
        self._others = others
        ids = [node.command("CLUSTER", "MYID").decode() for node in (source, target)]
        self._target_id = ids[1]
        target.command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[0])
        source.command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[1])

    def migrate_keys(self, count: int | None = None) -> int:
        """Move keys, all or at most `count`; how many moved."""
        moved = 0
        while keys := self._keys(_BATCH if count is None else min(_BATCH, count - moved)):
            login = (
                ["AUTH", password] if (password := self.target.options.get("requirepass")) else []
            )
            address = (self.target.host, self.target.port)
            words = [str(each) for each in (*address, "", 0, 5000, *login, "KEYS")]
            self.source.command("MIGRATE", *words, *keys, timeout=10)
            moved += len(keys)
        return moved

    def finish(self) -> None:
        """Tell all masters that the slot is the target's; its keys must have moved."""
        for node in (self.target, self.source, *self._others):
            node.command("CLUSTER", "SETSLOT", self.slot, "NODE", self._target_id)

    def _keys(self, count: int) -> list[bytes]:
        found = self.source.command("CLUSTER", "GETKEYSINSLOT", self.slot, count) if count else []
        return [key for key in found if isinstance(key, bytes)]


def _range(text: str) -> range:
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)
