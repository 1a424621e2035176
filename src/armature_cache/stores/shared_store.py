"""What the stores of all shared places are made of, and how they are closed."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

from armature_cache import advice, envelope
from armature_cache.clocks.formats import other_format
from armature_cache.clocks.listener import Ear, Listener
from armature_cache.codecs.msgpack import MessagePackCodec
from armature_cache.events import Hook
from armature_cache.loading import Flights
from armature_cache.stores.sealing import Sealing
from armature_cache.stores.shared_changes import SharedChanges
from armature_cache.stores.shared_entries import SharedEntries
from armature_cache.stores.stats import Counters

if TYPE_CHECKING:
    from armature_cache._runtime.base import Runtime, Signal
    from armature_cache._time import TimeSource
    from armature_cache.claims import Claim, Holder
    from armature_cache.codecs.base import Codec
    from armature_cache.codecs.sealed import SealedCodec
    from armature_cache.config import CacheConfig


class SharedPort(Protocol):
    """The way to a shared place."""

    backend: str
    closed: bool

    async def aclose(self) -> None:
        """No longer use it."""
        ...


class SharedClaims(Protocol):
    """Claims of loads in a shared place."""

    async def take(
        self, keys: Sequence[str], mine: Holder, life: float, *, instead_of: str = ""
    ) -> list[Claim]:
        """Claim loads, where nobody else has."""
        ...

    async def release(self, keys: Sequence[str], nonce: str) -> None:
        """Give claims up, and wake those who wait for them."""
        ...

    def listening(self, key: str) -> AbstractContextManager[Signal]:
        """A signal that is given when the claim of a key has ended."""
        ...


class SharedPlace(SharedEntries):
    """The parts of a store over a port."""

    _port: SharedPort
    _claims: SharedClaims
    _given_codec: Codec | SealedCodec

    def _settle(
        self, config: CacheConfig, codec: Codec | SealedCodec | None, time: TimeSource
    ) -> None:
        """Take over settings."""
        self.config = config
        self._given_codec = MessagePackCodec() if codec is None else codec
        self.time = time
        self.bound = config.staleness_bound
        self.strong = config.consistency == "strong"
        self.default_ttl = config.default_ttl
        self.max_ttl = config.max_ttl
        self.max_load_time = config.max_load_time
        self.counters = Counters()
        self.hook = Hook()

    def _run_on(self, runtime: Runtime) -> None:
        """Take over a runtime."""
        self.runtime = runtime
        self._flights = Flights(runtime)
        self._sealing = Sealing(
            self._given_codec,
            namespace=self.config.namespace,
            limit=self.config.max_value_bytes,
            runtime=runtime,
        )
        self.codec = self._sealing.codec

    def _listener(self, make_ear: Callable[[], Ear]) -> Listener | None:
        """The listener of the replica, which all stores over it share."""
        if not self.config.hints:
            return None
        replica = self._replica
        known = replica.listener() if replica.listener is not None else None
        if known is None:
            known = Listener(make_ear, self.time)
            replica.listener = weakref.ref(known)
        return known

    def _cannot_read(self, raw: bytes) -> None:
        super()._cannot_read(raw)
        version = envelope.version_of(raw)
        if version is not None and version != envelope.VERSION:
            self._replica.other_format = version
            advice.tell(self._port.backend, [other_format(version)])

    async def _advise(self) -> tuple[advice.Advice, ...]:
        version = self._replica.other_format
        return (other_format(version),) if version else ()

    async def _close(self) -> None:
        if self._port.closed:
            return
        try:
            await self._retire()
        finally:
            self.clock.retire()
            await self._port.aclose()

    async def _retire(self) -> None:
        """Do what is owed before the port is closed."""
        await self._flush()

    # -- claims ------------------------------------------------------------------------------

    async def _claim(
        self, keys: Sequence[str], mine: Holder, life: float, *, instead_of: str = ""
    ) -> list[Claim]:
        return await self._claims.take(keys, mine, life, instead_of=instead_of)

    async def _release(self, keys: Sequence[str], nonce: str) -> None:
        await self._claims.release(keys, nonce)

    def _listening(self, key: str) -> AbstractContextManager[Signal]:
        return self._claims.listening(key)


class SharedStore(SharedPlace, SharedChanges):
    """A store over a port, whose clock has sequences."""

    @property
    def _backend(self) -> str:
        return self._port.backend
