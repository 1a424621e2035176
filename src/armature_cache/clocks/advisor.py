"""The advisor of a Redis or Valkey server: a few cheap looks at how it is set up.

It costs up to eight round trips, five more for each further primary of a cluster, reads a bounded
sample, and changes nothing. A look that the server refuses, for want of a right, is left out.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from armature_cache import envelope
from armature_cache.advice import Advice
from armature_cache.clocks.formats import other_format
from armature_cache.clocks.limits import MAX_SHARED_TAGS
from armature_cache.config import DEFAULT_NAMESPACE
from armature_cache.redisio.connect import primaries
from armature_cache.redisio.names import Names

if TYPE_CHECKING:
    from armature_cache.clocks.server_replica import ServerReplica
    from armature_cache.config import CacheConfig
    from armature_cache.redisio.port import Command, Port

logger = logging.getLogger("armature_cache")

_FULL: Final = 0.8
_LOOKS: Final = 3
_SCANNED: Final = 1000
_SAMPLED: Final = 32


async def advise(port: Port, config: CacheConfig, replica: ServerReplica) -> tuple[Advice, ...]:
    """What is dangerous about this server and these settings; raises `BackendError`."""
    names = Names.of(config)
    found = [*_of_namespace(config), *await _of_clock(port, names, config, replica)]
    versions = {replica.other_format} - {0}
    for node in await primaries(port):
        memory, replication = await _replies(node, [("INFO", "memory"), ("INFO", "replication")])
        found += _of_memory(_fields(memory))
        found += _of_role(_fields(replication))
        versions |= await _other_formats(node, names)
    found += [other_format(version) for version in sorted(versions)]
    if replica.deaf:
        found.append(no_hints("invalidations came, and no hint of them"))
    return tuple(dict.fromkeys(found))


async def _replies(port: Port, commands: Sequence[Command]) -> list[Any]:
    """The replies; None for a command that the server refuses."""
    replies: list[Any] = []
    for command, reply in zip(commands, (await port.send(commands)).replies, strict=True):
        if isinstance(reply, Exception):
            logger.debug("no advice from %s: %s", command[0], reply)
        replies.append(None if isinstance(reply, Exception) else reply)
    return replies


def _fields(info: bytes | None) -> dict[str, str]:
    lines = (info or b"").decode(errors="replace").splitlines()
    return {name: value for name, colon, value in (line.partition(":") for line in lines) if colon}


def _of_namespace(config: CacheConfig) -> list[Advice]:
    if config.namespace != DEFAULT_NAMESPACE:
        return []
    return [
        Advice(
            "AC103",
            f"the namespace is the default one, {DEFAULT_NAMESPACE!r}",
            'give each application its own, namespace="shop": those of one name share their '
            "entries, and clear() ends them for all",
        )
    ]


async def _of_clock(
    port: Port, names: Names, config: CacheConfig, replica: ServerReplica
) -> list[Advice]:
    found = []
    trips, tags = [], 0
    for _ in range(_LOOKS):
        answer = await port.send([("ZCARD", names.clock)])
        trips.append(answer.received_at - answer.sent_at)
        tags = answer.replies[0] if isinstance(answer.replies[0], int) else tags
    trip, bound = min(trips), min(config.staleness_bound, replica.shortest_bound)
    if trip > bound / 2:
        found.append(
            Advice(
                "AC104",
                f"staleness_bound is {bound * 1000:.3g} ms, and a round trip takes "
                f"{trip * 1000:.3g} ms",
                "give it at least twice the round trip, or L1 is hardly ever trusted and most "
                "reads wait for the server",
            )
        )
    if tags >= MAX_SHARED_TAGS * _FULL:
        found.append(
            Advice(
                "AC105",
                f"the clock remembers {tags:,} tags of at most {MAX_SHARED_TAGS:,}",
                "beyond that it forgets the oldest, and older entries with it: use shorter "
                "lifetimes, fewer different tags, or several namespaces",
            )
        )
    return found


def _of_memory(memory: dict[str, str]) -> list[Advice]:
    policy = memory.get("maxmemory_policy", "")
    if not policy.startswith("allkeys-"):
        return []
    now = "" if memory.get("maxmemory", "0") != "0" else ", though maxmemory is not set yet"
    return [
        Advice(
            "AC101",
            f"maxmemory-policy is {policy}{now}: the tag clock may be evicted, and every entry "
            "dies with it",
            "set it to volatile-lru, volatile-lfu or volatile-ttl; all but the clock has a "
            "lifetime",
        )
    ]


def _of_role(replication: dict[str, str]) -> list[Advice]:
    if replication.get("role") not in {"slave", "replica"}:
        return []
    return [
        Advice(
            "AC102",
            "the server is a replica: what is written there is refused, or lost",
            "point the url at the primary, or use redis+sentinel:// or redis+cluster://, which "
            "find it",
        )
    ]


async def _other_formats(port: Port, names: Names) -> set[int]:
    """The versions of entries in a small sample that this release does not write."""
    cursor: Any = 0
    sample: list[Any] = []
    for _ in range(_LOOKS):
        command = ("SCAN", cursor, "MATCH", names.pattern(""), "COUNT", _SCANNED)
        (reply,) = await _replies(port, [command])
        if reply is None:
            break
        cursor, some = reply
        sample += some
        if len(sample) >= _SAMPLED or int(cursor) == 0:
            break
    if not sample:
        return set()
    heads = await _replies(port, [("GETRANGE", name, 0, 2) for name in sample[:_SAMPLED]])
    versions = {envelope.version_of(head) for head in heads if head}
    return {version for version in versions if version not in {None, envelope.VERSION}}


def no_hints(why: str) -> Advice:
    """The advice about hints that do not arrive."""
    return Advice(
        "AC107",
        f"hints do not arrive: {why}",
        "let the user SUBSCRIBE (in a cluster SSUBSCRIBE) to the channel, and look for a proxy or "
        "a firewall that drops quiet connections; until then, other processes follow at the end "
        "of staleness_bound",
    )
