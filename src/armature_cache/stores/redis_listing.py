"""Looking into a Redis or Valkey server: headers, scans, and the listing index of tags."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from armature_cache import envelope
from armature_cache.entry import Entry
from armature_cache.envelope import Envelope
from armature_cache.redisio import connect, scripts
from armature_cache.redisio.port import Command, checked
from armature_cache.stores.shared_entries import PAGE
from armature_cache.stores.shared_store import SharedStore

if TYPE_CHECKING:
    from armature_cache.clocks.redis import RedisClock
    from armature_cache.redisio.names import Names
    from armature_cache.redisio.port import Port

_HEAD: Final = 1024
_PROOFS: Final = 8


class RedisListing(SharedStore):
    """The listing half of `RedisCache`: no value is decoded here."""

    clock: RedisClock
    _names: Names
    _port: Port

    async def _date_sliding(self, entries: Sequence[Entry]) -> None:
        """Ask the server when sliding entries end: the header does not say."""
        if not entries:
            return
        commands: list[Command] = [("PTTL", self._names.value(entry.key)) for entry in entries]
        answer = await self._port.send(commands)
        now = self.time()
        for entry, left in zip(entries, checked(answer, self._port.backend), strict=True):
            entry.fresh_until = entry.dead_at = now + max(0, left) / 1000

    async def _heads(self, keys: Sequence[str]) -> list[Envelope | None]:
        return [envelope.parse_head(raw) for raw in await self._raw_heads(keys)]

    async def _raw_heads(self, keys: Sequence[str]) -> list[bytes]:
        """The bytes of headers and tags of several values; two round trips where tags are long."""
        names = [self._names.value(key) for key in keys]
        reads: list[Command] = [("GETRANGE", name, 0, _HEAD - 1) for name in names]
        raws, _ = await self.clock.read(reads, self.bound, strong=False)
        long = [
            at for at, raw in enumerate(raws)
            if len(raw) == _HEAD and envelope.head_size(raw) > _HEAD
        ]  # fmt: skip
        if long:
            more: list[Command] = [
                ("GETRANGE", names[at], 0, envelope.head_size(raws[at]) - 1) for at in long
            ]
            answer = await self._port.send(more)
            for at, raw in zip(long, checked(answer, self._port.backend), strict=True):
                raws[at] = raw
        return raws

    async def _scan(self, prefix: str) -> AsyncIterator[str]:
        pattern = self._names.pattern(prefix)
        seen = set[str]()
        for port in await connect.primaries(self._port):
            cursor = b"0"
            while True:
                command: Command = ("SCAN", cursor, "MATCH", pattern, "COUNT", PAGE)
                ((cursor, names),) = checked(await port.send([command]), self._port.backend)
                keys = [
                    key
                    for key in (decoded(self._names.key_of(name)) for name in names)
                    if key is not None and key.startswith(prefix) and key not in seen
                ]
                seen.update(keys)
                for key in await self._probe(list(dict.fromkeys(keys))):
                    yield key
                if cursor == b"0":
                    break

    async def _tagged_keys(self, tag: str, *, exact: bool) -> list[str]:
        if exact:
            return await self._search(tag)
        indexes = self._names.indexes(tag)
        commands: list[Command] = [
            ("ZRANGEBYSCORE", index, self._writes.now(), "+inf", "WITHSCORES") for index in indexes
        ]
        replies = checked(await self._port.send(commands), self._port.backend)
        scores = {
            index: pairs(reply) for index, reply in zip(indexes, replies, strict=True) if reply
        }
        members = [key for found in scores.values() for key in map(decoded, found)]
        alive = await self._probe([key for key in members if key is not None])
        listed = [key for key, entry in alive.items() if tag in entry.tags]
        for index, found in scores.items():
            await self._prune(index, found, {key.encode() for key in listed})
        return listed

    async def _search(self, tag: str) -> list[str]:
        """Look at every value there is: what an evicted index no longer lists."""
        keys = [key async for key in self._scan("")]
        return [key for key, entry in (await self._probe(keys)).items() if tag in entry.tags]

    async def _prune(self, index: str, scores: dict[bytes, bytes], alive: set[bytes]) -> None:
        """Drop index members that are dead, unless they were written again meanwhile."""
        dead = [member for member in scores if member not in alive]
        commands: list[Command] = []
        for at in range(0, len(dead), PAGE):
            parts = [part for member in dead[at : at + PAGE] for part in (member, scores[member])]
            commands.append(scripts.PRUNE([index], *parts))
        if commands:
            checked(await self._port.send(commands), self._port.backend)

    async def _live_tags(self) -> list[str]:
        commands: list[Command] = [
            ("ZRANGEBYSCORE", registry, self._writes.now(), "+inf")
            for registry in self._names.registries()
        ]
        replies = checked(await self._port.send(commands), self._port.backend)
        found = dict.fromkeys(name for reply in replies for name in map(decoded, reply))
        names = [name for name in found if name is not None]
        live: list[str] = []
        for at in range(0, len(names), PAGE):
            live += await self._proven(names[at : at + PAGE])
        return live

    async def _proven(self, names: list[str]) -> list[str]:
        """Those tags of which a valid entry was seen."""
        now = self._writes.now()
        reads: list[Command] = [
            ("ZREVRANGEBYSCORE", index, "+inf", now, "LIMIT", 0, _PROOFS)
            for name in names
            for index in self._names.indexes(name)
        ]
        replies = checked(await self._port.send(reads), self._port.backend)
        count = self._names.buckets
        listed = [
            [member for reply in replies[at * count : (at + 1) * count] for member in reply]
            for at in range(len(names))
        ]
        keys = {key for members in listed for key in map(decoded, members) if key is not None}
        seen = {tag for entry in (await self._probe(list(keys))).values() for tag in entry.tags}
        proven = [name for name in names if name in seen]
        for name, members in zip(names, listed, strict=True):
            if name not in seen and len(members) >= _PROOFS:
                proven += [name] if await self._tagged_keys(name, exact=False) else []
        return proven


def pairs(reply: list[Any]) -> dict[bytes, bytes]:
    """Members and scores of a sorted set, from RESP2 or RESP3."""
    if reply and isinstance(reply[0], list | tuple):
        return {member: b"%d" % int(score) for member, score in reply}
    return dict(zip(reply[::2], reply[1::2], strict=True))


def decoded(raw: bytes) -> str | None:
    """The text of a member; None if it is none."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return None
