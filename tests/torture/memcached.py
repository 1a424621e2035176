"""Memcached under torture: its servers, what befalls them, and the mistakes to be seen."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from armature_cache import CacheConfig
from armature_cache._runtime.streams import AsyncStream, BlockingStream
from armature_cache.clocks import nonces
from armature_cache.clocks.memcached import MemcachedClock
from armature_cache.clocks.nonces import ROOT
from armature_cache.memcachedio import connect, wire
from armature_cache.memcachedio.aio import AsyncPort
from armature_cache.memcachedio.blocking import BlockingPort
from armature_cache.memcachedio.names import RUN, Place
from armature_cache.memcachedio.wire import Command
from armature_cache.stores.memcached_items import Item
from armature_cache.testing import MemcachedServer
from tests.torture.faults import Do, Faults
from tests.torture.space import NAMESPACE, OBJECTS, SPACES, key_of, space_of, tags_of
from tests.torture.topology import Topology

RING: Final = 3
_SMALL: Final = ["-m", "4"]


class MemcachedTopology(Topology):
    """One server, or several that share the keys."""

    def __init__(self, servers: list[MemcachedServer]) -> None:
        where = ",".join(f"{server.host}:{server.port}" for server in servers)
        self.memcached = servers
        self.servers = servers  # type: ignore[assignment]
        self.url = f"memcached://{where}"
        self.group = None
        self.items = connect.names_of(CacheConfig.memcached(self.url, namespace=NAMESPACE))
        names = CacheConfig.memcached(self.url).address.hosts
        self._by_node = [
            next(server for server in servers if server.port == port) for _, port in names
        ]

    def at(self, place: Place) -> MemcachedServer:
        """The server that has an item."""
        return self._by_node[place.node]


@contextlib.contextmanager
def open_memcached(name: str) -> Iterator[Topology]:
    """One server (`standalone`) or a ring of them."""
    with contextlib.ExitStack() as running:
        count = RING if name == "ring" else 1
        yield MemcachedTopology(
            [running.enter_context(MemcachedServer(arguments=_SMALL)) for _ in range(count)]
        )


# -- faults ----------------------------------------------------------------------------------


def _topology(faults: Faults) -> MemcachedTopology:
    assert isinstance(faults.topology, MemcachedTopology)
    return faults.topology


def _delete(faults: Faults, *places: Place) -> str:
    topology = _topology(faults)
    for place in places:
        topology.at(place).command(b"md " + place.name)
    return ""


def _flush(faults: Faults) -> str:
    servers = _topology(faults).memcached
    for server in faults.rng.sample(servers, faults.rng.randint(1, len(servers))):
        server.flush()
    return ""


def _crowd(faults: Faults) -> str:
    """Fill the memory of a server, so that it evicts whatever was not used of late."""
    server = faults.rng.choice(_topology(faults).memcached)
    big = b"x" * 200
    for part in range(30):
        lines = [b"ms crowd%d-%d 200 T5\r\n%b" % (part, n, big) for n in range(1000)]
        server.command(*lines)
    return f"port {server.port}"


def _delete_values(faults: Faults) -> str:
    names = _topology(faults).items
    chosen = faults.rng.sample(range(OBJECTS), 8)
    return _delete(faults, *(names.value(_path(obj)) for obj in chosen))


def _path(obj: int) -> str:
    inner = f"{SPACES[space_of(obj)]}\0" if space_of(obj) else ""
    return f"{inner}{key_of(obj)}"


def _delete_g(faults: Faults) -> str:
    return _delete(faults, _topology(faults).items.change)


def _delete_root(faults: Faults) -> str:
    return _delete(faults, _topology(faults).items.tag(ROOT))


def _delete_nonces(faults: Faults) -> str:
    names = _topology(faults).items
    return _delete(faults, *(names.tag(tag) for tag in tags_of(faults.rng.randrange(OBJECTS))))


def _delete_bound(faults: Faults) -> str:
    return _delete(faults, _topology(faults).items.bound)


def _delete_runs(faults: Faults) -> str:
    for server in _topology(faults).memcached:
        server.command(b"md " + RUN)
    return ""


def _garbage(faults: Faults) -> str:
    """Bytes that nobody of ours has written, in place of items of every kind."""
    topology, rng = _topology(faults), faults.rng
    names = topology.items
    places = [names.change, names.tag(ROOT), names.tag("o1"), names.claim("k1"), names.value("k1")]
    for place in rng.sample(places, 3):
        value = rng.randbytes(rng.randint(0, 60)).replace(b"\n", b".")
        line = b"ms %b %d\r\n%b" % (place.name, len(value), value)
        topology.at(place).command(line)
    return ""


FAULTS: Final[dict[str, Do]] = {
    "restart empty": Faults.restart_empty,
    "restart of all": Faults.restart_all,
    "pause below the bound": Faults.pause_short,
    "pause beyond the bound": Faults.pause_beyond_bound,
    "pause beyond the timeout": Faults.pause_beyond_timeout,
    "flushall": _flush,
    "evict": _crowd,
    "delete values": _delete_values,
    "delete g": _delete_g,
    "delete the root's nonces": _delete_root,
    "delete nonces": _delete_nonces,
    "delete the bound": _delete_bound,
    "delete the marks of runs": _delete_runs,
    "garbage": _garbage,
    "cut": Faults.cut,
    "delay": Faults.delay,
    "partition": Faults.partition,
    "lose replies": Faults.lose_replies,
    "freeze a worker": Faults.freeze_worker,
}


# -- the end of a forked worker ----------------------------------------------------------------


def doom(rng: random.Random) -> None:
    """Let this process die at one of its next writes: before a step, or before its reply."""
    left, after = rng.randint(1, 12), rng.random() < 0.4

    def meets(commands: Sequence[Command]) -> bool:
        nonlocal left
        left -= any(command.data[:3] in {b"ms ", b"md "} for command in commands)
        return left <= 0

    def die(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    ports: Any = (AsyncPort, BlockingPort)
    for kind, name in zip(ports, ("send", "send_now"), strict=True):
        _dying(kind, name, meets, die, after=after)


def _dying(
    kind: Any, name: str, meets: Callable[..., bool], die: Callable[..., None], *, after: bool
) -> None:
    send = getattr(kind, name)

    def dying(self: Any, commands: Sequence[Command], *, retry: bool = True) -> Any:
        if meets(commands):
            if not after:
                die()
            _die_when_sent(die)
        return send(self, commands, retry=retry)

    setattr(kind, name, dying)


def _die_when_sent(die: Callable[..., None]) -> None:
    blocking: Any = BlockingStream
    awaited: Any = AsyncStream
    sending = blocking.send

    def send(self: Any, data: bytes, deadline: float) -> None:
        sending(self, data, deadline)
        die()

    async def exchange(self: Any, data: bytes, feed: Any) -> None:
        self._transport.write(data)
        time.sleep(0.001)  # noqa: ASYNC251 - until the kernel has it
        die()

    blocking.send, awaited.exchange = send, exchange


# -- mistakes ----------------------------------------------------------------------------------


def _deaf_to_tags() -> None:
    library: Any = nonces
    stands_by = library.stands_by

    def deaf(tags: Any, marks: Any, found: Any) -> Any:
        return stands_by((), marks[:1], found)

    library.stands_by = deaf


def _blind_fills() -> None:
    item: Any = Item
    item.over = lambda self, at: self.store()


def _no_strong() -> None:
    clock: Any = MemcachedClock
    ensure, read = clock.ensure, clock.read

    async def lazy(self: Any, bound: float, *, strong: bool = False) -> None:
        await ensure(self, bound)

    async def lazily(self: Any, commands: Any, bound: float, *, strong: bool) -> Any:
        return await read(self, commands, bound, strong=False)

    clock.ensure, clock.read = lazy, lazily


def _deaf_to_keys() -> None:
    """A resident entry is confirmed by its tags alone."""
    clock: Any = MemcachedClock
    judge = clock._judge

    def deaf(self: Any, entry: Any, outcome: Any, found: Any, sequence: int) -> None:
        proof = entry.proof
        if proof is not None:
            outcome = wire.Reply(b"HD", cas=proof.cas, run=proof.run)
        judge(self, entry, outcome, found, sequence)

    clock._judge = deaf


MUTATIONS: Final[dict[str, Callable[[], None]]] = {
    "memcached: deaf-to-tags": _deaf_to_tags,
    "memcached: deaf-to-keys": _deaf_to_keys,
    "memcached: blind-fills": _blind_fills,
    "memcached: no-strong": _no_strong,
}
