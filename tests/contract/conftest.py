"""Fixtures of the contract: one store of every stack, face and server in turn.

The stacks of `_BOTH` meet every test on both faces, those of `_FULL` on all servers of their kind,
too, and those of `_TWINS` the `.sync()` of the async face. The other nestings meet every test once:
which face and server it is changes from test to test. Only those of `_NARROW` are in `make check`.

    cache      a store of every stack
    once       a store of every stack, with one face and server each: for what takes long
    tagged     a store of every stack that takes tags
    untagged   a store of every stack that does not
    shared     a store of every stack that works on a server or a file
    served     a store of every stack that works on a server
    on_redis   a store of every stack on Redis or Valkey
    kit        what made it: opens more of the same, lets lifetimes end
"""

from __future__ import annotations

import socket
import zlib
from collections.abc import AsyncIterator, Iterator
from typing import NamedTuple

import pytest
import redis

from tests.contract.faces import DEADLINE, Face
from tests.contract.stacks import FACES, NEAR, STACKS, Kit, Stack

_WANTS = {
    "tagged": lambda stack: stack.tags,
    "untagged": lambda stack: not stack.tags,
    "shared": lambda stack: stack.shared,
    "served": lambda stack: stack.shared and not stack.file,
    "on_redis": lambda stack: stack.shared and not stack.file and not stack.coarse,
    "cache": lambda stack: True,
    "once": lambda stack: True,
}
_FULL = {"redis", "tagged-tiered", "tagged-tiered-memcached"}
_BOTH = {*_FULL, "memory", "memcached", "sqlite", "tagged-tiered-sqlite"}
_NARROW = {"memory", "tagged-tiered"}
_TWINS = {
    *_FULL,
    "memory",
    "encrypted",
    "tagged-two-memories",
    "no-l2",
    "tagged-three",
    "part-of-tagged-tiered",
    "memcached",
}
_KINDS = {"valkey": "valkey9", "memcached_ring": "ring"}
_MARKERS = {
    "redis7": ["redis7"],
    "memcached": ["memcached"],
    "memcached_ring": ["memcached"],
}
_NOWHERE = "redis://127.0.0.1:1/0"


class Place(NamedTuple):
    stack: Stack
    face: str
    url: str


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "place" not in metafunc.fixturenames:
        return
    wants = [check for name, check in _WANTS.items() if name in metafunc.fixturenames]
    stacks = [stack for stack in STACKS if all(check(stack) for check in wants)]
    once = "once" in metafunc.fixturenames
    turn = zlib.crc32(metafunc.function.__name__.encode())
    places = [place for stack in stacks for place in _places(stack, turn, once=once)]
    metafunc.parametrize("place", places, indirect=True)


def _places(stack: Stack, turn: int, *, once: bool) -> Iterator[object]:
    turn += STACKS.index(stack)
    faces: tuple[str, ...] = FACES if stack.name in _TWINS else FACES[:2]
    if once or stack.name not in _BOTH:
        faces = (faces[turn % len(faces)],)
    for number, face in enumerate(faces):
        if stack.file or not stack.shared:
            kind = "file" if stack.file else None
            yield pytest.param((stack, face, kind), id=f"{stack.name}-{face}", marks=_marks(stack))
            continue
        places = [_on(stack, face, server) for server in stack.servers]
        if stack.name in _FULL and not once:
            yield from places
        else:
            yield places[(turn // 7 + number) % len(places)]


def _on(stack: Stack, face: str, server: str) -> object:
    """A stack and face on a server, by the name of its fixture."""
    kind = _KINDS.get(server, server)
    return pytest.param(
        (stack, face, server), id=f"{stack.name}-{face}-{kind}", marks=_marks(stack, server)
    )


def _marks(stack: Stack, server: str = "") -> list[pytest.MarkDecorator]:
    names = [*_MARKERS.get(server, ()), *(() if stack.name in _NARROW else ("broad",))]
    return [getattr(pytest.mark, name) for name in names]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Without asyncio's debug mode, which costs these many small tests a third of their time."""
    return "asyncio"


@pytest.fixture
def place(request: pytest.FixtureRequest) -> Place:
    stack, face, kind = request.param
    if kind is None:
        return Place(stack, face, _NOWHERE)
    if kind == "file":
        folder = request.getfixturevalue("tmp_path")
        (folder / "near").mkdir()
        (folder / "far").symlink_to("near")
        return Place(stack, face, f"sqlite:///{folder}{NEAR}cache.db")
    server = request.getfixturevalue(kind)
    servers = server if isinstance(server, list) else [server]
    return Place(stack, face, " ".join(each.url for each in servers))


@pytest.fixture(scope="session")
def clients() -> Iterator[dict[str, redis.Redis]]:
    """Clients for looking at the servers from outside, by address."""
    made: dict[str, redis.Redis] = {}
    yield made
    for client in made.values():
        client.close()


class ForeignRedis:
    """Keys that others have on a Redis server."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def set(self, name: str, value: bytes) -> None:
        self._client.set(name, value, px=60_000)

    def get(self, name: str) -> bytes | None:
        found = self._client.get(name)
        assert found is None or isinstance(found, bytes)
        return found


class ForeignMemcached:
    """Keys that others have on a Memcached server."""

    def __init__(self, url: str) -> None:
        host, _, port = url.removeprefix("memcached://").partition(":")
        self._where = host, int(port)

    def _ask(self, line: bytes) -> bytes:
        with socket.create_connection(self._where, DEADLINE) as plain:
            plain.sendall(line + b"\r\nquit\r\n")
            return plain.makefile("rb").read()

    def set(self, name: str, value: bytes) -> None:
        assert self._ask(b"set %b 0 60 %d\r\n%b" % (name.encode(), len(value), value))

    def get(self, name: str) -> bytes | None:
        lines = self._ask(b"get " + name.encode()).splitlines()
        return lines[1] if lines[0].startswith(b"VALUE") else None


@pytest.fixture
def unclosed(place: Place, namespace: str, clients: dict[str, redis.Redis]) -> Kit:
    url = place.url
    made = Kit(place.stack, place.face, url, namespace)
    if place.stack.coarse:
        made.foreign = ForeignMemcached(url.split()[0])
    elif not place.stack.file:
        made.client = clients.setdefault(url, redis.Redis.from_url(url, socket_timeout=DEADLINE))
        made.foreign = ForeignRedis(made.client)
    return made


@pytest.fixture
async def kit(unclosed: Kit) -> AsyncIterator[Kit]:
    yield unclosed
    await unclosed.close()


@pytest.fixture
def cache(kit: Kit) -> Face:
    return kit.open()


@pytest.fixture
def once(kit: Kit) -> Face:
    return kit.open()


@pytest.fixture
def tagged(kit: Kit) -> Face:
    return kit.open()


@pytest.fixture
def untagged(kit: Kit) -> Face:
    return kit.open()


@pytest.fixture
def shared(kit: Kit) -> Face:
    return kit.open()


@pytest.fixture
def served(kit: Kit) -> Face:
    return kit.open()


@pytest.fixture
def on_redis(kit: Kit) -> Face:
    return kit.open()
