"""The replies of the clock's commands and scripts, taken apart."""

from __future__ import annotations

from typing import Any, NamedTuple

from armature_cache.clocks.heritage import NO_HERITAGE, Heritage, read_heritage
from armature_cache.clocks.limits import DELTA_LIMIT
from armature_cache.clocks.replica import Delta


class SyncReply(NamedTuple):
    """What a sync brought: a delta, and what the clock says of itself.

    `run_id` is of the server that owns the clock, `runs` of all whose values count. `strict` says
    that some process does not replay after a failover.
    """

    delta: Delta
    run_id: str
    runs: frozenset[str]
    bound: int
    ttl: int
    micros: int
    heritage: Heritage = NO_HERITAGE
    strict: bool = False


def read_sync(cursor: int, replies: list[Any]) -> SyncReply | None:
    """The replies to `sync_commands`; None where something is missing or there is too much."""
    _, time, raw_tags, raw_keys = replies
    tags, keys = members(raw_tags), members(raw_keys)
    clock, memory = _specials(tags), _specials(keys)
    if len(tags) >= DELTA_LIMIT or len(keys) >= DELTA_LIMIT or b"\0S" not in tags:
        return None
    if not {"E", "F", "R"} <= clock.keys() or "F" not in memory:
        return None
    heritage = read_heritage(clock.get("Q", ""), clock.get("A", ""))
    delta = Delta(
        epoch=int(clock["E"]),
        cursor=cursor,
        last=tags[b"\0S"],
        floor=int(clock["F"]),
        keys_floor=int(memory["F"]),
        tags=plain(tags),
        keys=plain(keys),
        heritage=heritage,
    )
    micros = int(time[0]) * 1_000_000 + int(time[1])
    bound, ttl = int(clock.get("B", 0)), int(clock.get("T", 0))
    runs = frozenset((clock["R"], *_nodes(tags)))
    return SyncReply(delta, clock["R"], runs, bound, ttl, micros, heritage, "X" in clock)


def read_resync(reply: list[Any]) -> SyncReply:
    """The reply of the SYNC script."""
    run_id, epoch, cursor, last, floor, keys_floor, micros = (text(part) for part in reply[:7])
    bound, ttl, pending, inherited, strict = map(text, reply[10:15])
    heritage = read_heritage(pending, inherited)
    delta = Delta(
        epoch=int(epoch),
        cursor=int(cursor),
        last=int(last),
        floor=int(floor),
        keys_floor=int(keys_floor),
        tags=plain(members(reply[7])),
        keys=plain(members(reply[8])),
        heritage=heritage,
    )
    runs = frozenset((run_id, *map(text, reply[9])))
    return SyncReply(
        delta, run_id, runs, int(bound), int(ttl), int(micros), heritage, strict == "1"
    )


def replicas_of(info: bytes | str) -> int:
    """How many replicas follow, in the answer to `INFO replication`."""
    for line in text(info).splitlines():
        if line.startswith("connected_slaves:"):
            return int(line.partition(":")[2])
    return 0


def read_bump(reply: list[Any]) -> Delta:
    """The delta in the reply of a script that bumps."""
    epoch, cursor, last, floor, keys_floor = (int(text(part)) for part in reply[:5])
    return Delta(
        epoch=epoch,
        cursor=cursor,
        last=last,
        floor=floor,
        keys_floor=keys_floor,
        tags=plain(members(reply[5])),
        keys=plain(members(reply[6])),
    )


def text(raw: bytes | str | int) -> str:
    """A reply as text."""
    return raw.decode() if isinstance(raw, bytes) else str(raw)


def number(raw: bytes | str | float) -> int:
    """A score as the integer that it is."""
    if isinstance(raw, float):
        return int(raw)
    try:
        return int(raw)
    except ValueError:
        return int(float(raw))


def members(reply: list[Any]) -> dict[bytes, int]:
    """Members and scores, from the flat form of RESP2 or the pairs of RESP3."""
    if reply and isinstance(reply[0], list | tuple):
        return {member: number(score) for member, score in reply}
    return {reply[at]: number(reply[at + 1]) for at in range(0, len(reply), 2)}


def _specials(known: dict[bytes, int]) -> dict[str, str]:
    found: dict[str, str] = {}
    for member in known:
        if member[0] == 0 and member[2:3] == b":":
            found[member[1:2].decode()] = member[3:].decode()
    return found


def _nodes(known: dict[bytes, int]) -> list[str]:
    return [member[3:].decode() for member in known if member[:3] == b"\0N:"]


def plain(found: dict[bytes, int]) -> dict[bytes, int]:
    """The members that are tags or keys."""
    return {member: sequence for member, sequence in found.items() if member[0]}
