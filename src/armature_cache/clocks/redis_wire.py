"""The replies of the clock's commands and scripts, taken apart."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from armature_cache.clocks.replica import Delta

DELTA_LIMIT: Final = 20_000
"""Members that a delta has at most; who is further behind starts from the newest."""


class SyncReply(NamedTuple):
    """What `sync_commands` brought: a delta, and what the clock says of itself."""

    delta: Delta
    run_id: str | None
    bound: int
    ttl: int
    micros: int


def read_sync(cursor: int, replies: list[Any]) -> SyncReply | None:
    """The replies to `sync_commands`; None where something is missing or there is too much."""
    _, time, raw_tags, raw_keys = replies
    tags, keys = members(raw_tags), members(raw_keys)
    clock, memory = _specials(tags), _specials(keys)
    if len(tags) >= DELTA_LIMIT or len(keys) >= DELTA_LIMIT or b"\0S" not in tags:
        return None
    if "E" not in clock or "F" not in clock or "F" not in memory:
        return None
    delta = Delta(
        epoch=int(clock["E"]),
        cursor=cursor,
        last=tags[b"\0S"],
        floor=int(clock["F"]),
        keys_floor=int(memory["F"]),
        tags=plain(tags),
        keys=plain(keys),
    )
    micros = int(time[0]) * 1_000_000 + int(time[1])
    bound, ttl = int(clock.get("B", 0)), int(clock.get("T", 0))
    return SyncReply(delta, clock.get("R"), bound, ttl, micros)


def read_resync(reply: list[Any]) -> tuple[str, Delta, int]:
    """The reply of the SYNC script: run_id, delta, server time in µs."""
    run_id, epoch, cursor, last, floor, keys_floor, micros = (text(part) for part in reply[:7])
    delta = Delta(
        epoch=int(epoch),
        cursor=int(cursor),
        last=int(last),
        floor=int(floor),
        keys_floor=int(keys_floor),
        tags=plain(members(reply[7])),
        keys=plain(members(reply[8])),
    )
    return run_id, delta, int(micros)


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


def plain(found: dict[bytes, int]) -> dict[bytes, int]:
    """The members that are tags or keys."""
    return {member: sequence for member, sequence in found.items() if member[0]}
