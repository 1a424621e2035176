"""What the contract suite needs to know of a store: how it is made, and how its time passes."""

from __future__ import annotations

import itertools
import time
import uuid
from abc import ABC, abstractmethod
from typing import Any, Final, NamedTuple

from armature_cache.testing.contract.faces import Face, eventually
from armature_cache.testing.faketime import FakeTime

_ABSENT: Final = object()
_UNCERTAIN: Final = 0.1


class Order(NamedTuple):
    """A store that a test asks for.

    Attributes:
        namespace: Stores of one namespace share their data if the kit is `shared`; those of
            different ones never do.
        default_ttl: The lifetime of what is stored without one, in seconds.
        far: It knows of the others only through the server, as in another process.
    """

    namespace: str
    default_ttl: float | None = None
    far: bool = False


class Kit(ABC):
    """Makes the stores of one test, and closes them after it. Subclass it for a store of yours.

    Attributes:
        tags: Whether the stores take tags.
        shared: Whether what they hold lives outside of this process, where time cannot be moved.
        coarse: Whether a value may be refused because of what happened to another key or tag.
        bound: The staleness bound of the stores, in seconds.
        time: For stores that are not shared: their time source.
    """

    tags: bool = False
    shared: bool = False
    coarse: bool = False
    bound: float = 0.05

    def __init__(self, face: str = "async", *, namespace: str | None = None) -> None:
        self.face = face
        self.time = FakeTime()
        self.root = namespace or f"contract{uuid.uuid4().hex[:12]}"
        self._stores: list[Face] = []
        self._names = (f"{self.root}x{number}" for number in itertools.count())

    @abstractmethod
    def build(self, order: Order) -> Any:
        """A store of the async face, with `self.time` for its time unless it is shared."""

    def open(
        self,
        *,
        namespace: str | None = None,
        default_ttl: float | None = None,
        far: bool = False,
    ) -> Face:
        """A store, closed after the test; the fields are those of `Order`."""
        built = self.build(Order(namespace or self.root, default_ttl, far))
        face = Face(built if self.face == "async" else built.sync())
        self._stores.append(face)
        return face

    def elsewhere(self, *, default_ttl: float | None = None) -> Face:
        """A store of another namespace."""
        return self.open(namespace=next(self._names), default_ttl=default_ttl)

    async def expired(self, cache: Face, key: str, ttl: float) -> None:
        """Let the lifetime of a key end."""
        if not self.shared:
            self.time.advance(ttl)
            assert not await cache.exists(key)
            return
        began = time.monotonic()

        async def gone() -> bool:
            # What is known of the server's time is uncertain by a round trip.
            certain = time.monotonic() - began > _UNCERTAIN
            return await cache.get(key, _ABSENT) is _ABSENT and certain

        await eventually(gone, f"expiry of {key!r}")

    async def expired_unread(self, cache: Face, key: str, ttl: float) -> None:
        """Let the lifetime of a key end that a read would prolong."""
        if not self.shared:
            self.time.advance(ttl)
            return

        async def gone() -> bool:
            return await cache.ttl(key) is None

        await eventually(gone, f"expiry of {key!r}")

    async def close(self) -> None:
        """Close all stores of the test; where servers are to be swept, do that here, too."""
        for store in self._stores:
            await store.close()
