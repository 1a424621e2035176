"""Fixtures of the contract: one store of every stack, face and server in turn.

    cache      a store of every stack
    tagged     a store of every stack that takes tags
    untagged   a store of every stack that does not
    shared     a store of every stack that works on a server
    kit        what made it: opens more of the same, lets lifetimes end
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import NamedTuple

import pytest

from armature_cache.testing import RedisServer
from tests.contract.faces import Face
from tests.contract.stacks import FACES, STACKS, Kit, Stack

_WANTS = {
    "tagged": lambda stack: stack.tags,
    "untagged": lambda stack: not stack.tags,
    "shared": lambda stack: stack.shared,
    "cache": lambda stack: True,
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
    metafunc.parametrize("place", list(_places(stacks)), indirect=True)


def _places(stacks: list[Stack]) -> Iterator[object]:
    for stack in stacks:
        for face in FACES:
            if not stack.shared:
                yield pytest.param((stack, face, None), id=f"{stack.name}-{face}")
                continue
            yield pytest.param((stack, face, "valkey"), id=f"{stack.name}-{face}-valkey9")
            yield pytest.param(
                (stack, face, "redis7"),
                id=f"{stack.name}-{face}-redis7",
                marks=pytest.mark.redis7,
            )


@pytest.fixture
def place(request: pytest.FixtureRequest) -> Place:
    stack, face, kind = request.param
    if kind is None:
        return Place(stack, face, _NOWHERE)
    server = request.getfixturevalue(kind)
    assert isinstance(server, RedisServer)
    return Place(stack, face, server.url)


@pytest.fixture
async def kit(place: Place, namespace: str) -> AsyncIterator[Kit]:
    made = Kit(*place, namespace)
    yield made
    await made.close()


@pytest.fixture
def cache(kit: Kit) -> Face:
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
