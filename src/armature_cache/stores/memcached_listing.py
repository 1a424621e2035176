"""Looking into Memcached servers: there is no index, so everything is looked at."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_to_bytes

from armature_cache.errors import BackendUnavailable, NotSupported
from armature_cache.memcachedio import frame, wire
from armature_cache.memcachedio.port import checked
from armature_cache.stores.shared_entries import PAGE
from armature_cache.stores.shared_store import SharedPlace

if TYPE_CHECKING:
    from armature_cache._time import TimeSource
    from armature_cache.clocks.memcached import MemcachedClock
    from armature_cache.clocks.nonces import NonceReplica
    from armature_cache.memcachedio.names import Names
    from armature_cache.memcachedio.port import Port
    from armature_cache.memcachedio.wire import Reply

_BUSY_ATTEMPTS: Final = 50
_BUSY_PAUSE: Final = 0.1


class MemcachedListing(SharedPlace):
    """The listing half of `MemcachedCache`: it asks servers for the names of all their items."""

    clock: MemcachedClock
    _replica: NonceReplica
    _names: Names
    _port: Port
    _wall: TimeSource

    async def _scan(self, prefix: str) -> AsyncIterator[str]:
        for node in range(len(self._port.servers)):
            names = await self._items(node, prefix)
            for at in range(0, len(names), PAGE):
                keys = await self._keys(node, names[at : at + PAGE], prefix)
                for key in await self._probe(keys):
                    yield key

    async def _items(self, node: int, prefix: str) -> list[bytes]:
        """The names of the items of a server that may hold keys with a prefix."""

        def keep(line: bytes) -> bool:
            return self._names.is_value(_name_in(line), prefix)

        for _ in range(_BUSY_ATTEMPTS):
            (reply,) = checked(await self._port.send([wire.dump(node, keep)]), self._port.backend)
            if reply.code == b"END":
                return [_name_in(line) for line in reply.lines]
            if reply.code != b"BUSY":
                raise self._refused(node, reply)
            await self.runtime.sleep(_BUSY_PAUSE)
        shown = self._port.servers[node].shown
        raise BackendUnavailable(f"{shown} is busy listing items for others", backend=shown)

    def _refused(self, node: int, reply: Reply) -> NotSupported:
        said = reply.value[:80].decode("ascii", "replace")
        return NotSupported(
            f"{self._port.servers[node].shown} does not list its items ({said}): start it without "
            "-X and with its LRU crawler, or keep a list of the keys yourself"
        )

    async def _keys(self, node: int, names: Sequence[bytes], prefix: str) -> list[str]:
        """The keys that items belong to; a hashed name does not say it, the value does."""
        found: list[str] = []
        hashed = []
        for name in names:
            key = self._names.key_of(name)
            if key is None:
                hashed.append(name)
            else:
                found.append(key)
        if hashed:
            reads = [wire.fetch(node, name) for name in hashed]
            for reply in checked(await self._port.send(reads), self._port.backend):
                framed = frame.parse(reply.value)
                if framed is not None and framed.key.startswith(prefix):
                    found.append(framed.key)
        # A server may still have what it had when there were fewer of them.
        return [key for key in dict.fromkeys(found) if self._names.value(key).node == node]

    async def _tagged_keys(self, tag: str, *, exact: bool) -> list[str]:
        return [key async for key, tags in self._with_tags() if tag in tags]

    async def _live_tags(self) -> list[str]:
        return list({tag async for _, tags in self._with_tags() for tag in tags})

    async def _with_tags(self) -> AsyncIterator[tuple[str, tuple[str, ...]]]:
        """All keys of valid entries, with their tags."""
        for node in range(len(self._port.servers)):
            names = await self._items(node, "")
            for at in range(0, len(names), PAGE):
                keys = await self._keys(node, names[at : at + PAGE], "")
                for key, entry in (await self._probe(keys)).items():
                    yield key, entry.tags


def _name_in(line: bytes) -> bytes:
    """The name of an item in a line about it."""
    word = line.partition(b" ")[0]
    return unquote_to_bytes(word.removeprefix(b"key="))
