"""Payloads on their way into envelopes and out of them: compressed, protected, and bounded.

Every store that others can write to holds a `Sealing`. It closes envelopes before they are sent,
and gives back payloads of those that it accepts; large ones off the event loop.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from armature_cache import envelope
from armature_cache.codecs.base import Verified
from armature_cache.codecs.protection import Encryption, Signature
from armature_cache.codecs.sealed import SealedCodec, seal_of
from armature_cache.envelope import Closed, Envelope, Flag
from armature_cache.errors import UndecodablePayload

if TYPE_CHECKING:
    from armature_cache._runtime.base import Runtime
    from armature_cache.codecs.base import Codec

LARGE: Final = 64 * 1024
"""Bytes from which on compressing and encrypting leave the event loop."""
HUGE: Final = 1024 * 1024
"""Bytes from which on even a checksum does."""
OVERHEAD: Final = 64
"""More bytes than protection adds to a payload."""
_WORTH: Final = 7 / 8
"""The part of a payload that a compressed one may have to be kept."""
_FLAGS: Final = {Encryption: Flag.ENCRYPTED, Signature: Flag.SIGNED}

Payload = bytes | memoryview


class Addressed(NamedTuple):
    """An envelope and the key that it belongs to.

    `comparable`: that it holds the same value as another one has to be seen on the server.
    """

    key: str
    envelope: Envelope
    comparable: bool = False


class Sealing:
    """How one store closes and opens envelopes: by its own settings, whatever stored bytes say.

    `limit` bounds payloads, in bytes, before they are compressed and after. `namespace` and key
    are what protection binds an entry to. `is_plain` says that payloads are stored and read as the
    codec made them.
    """

    def __init__(
        self, codec: Codec | SealedCodec, *, namespace: str, limit: int, runtime: Runtime
    ) -> None:
        self.codec: Codec = codec.codec if isinstance(codec, SealedCodec) else codec
        self._seal = seal = seal_of(codec)
        self._namespace = namespace.encode() + b"\0"
        self._limit = limit
        self._runtime = runtime
        self._verifies = seal.protection is not None and getattr(self.codec, "verified_only", False)
        self._flag = 0 if seal.protection is None else _FLAGS[type(seal.protection)]
        self.is_plain = seal.protection is None and not seal.readers

    @property
    def protected(self) -> bool:
        """Whether nothing is stored, nor accepted, in the clear; that includes counters."""
        return self._flag != 0

    def accepts(self, parsed: Envelope) -> bool:
        """Whether an entry says that it was written under a seal like this one.

        A tombstone has nothing to protect.
        """
        if self.is_plain and not parsed.flags & envelope.PACKED:
            return True
        if parsed.tombstone or self.is_plain:
            return parsed.tombstone
        seal = self._seal
        if parsed.flags & envelope.PROTECTED != self._flag:
            return False
        if parsed.compression and parsed.compression not in seal.readers:
            return False
        return seal.protection is None or parsed.key_id in seal.protection.keys

    async def parse(
        self, keys: Sequence[str], raws: Sequence[bytes | None]
    ) -> list[Envelope | None]:
        """The envelopes in what was read of these keys; None for what is none, or not accepted."""
        size = sum(map(len, filter(None, raws)))
        if size >= HUGE:
            return await self._runtime.offload(lambda: self._parsed(keys, raws))
        return self._parsed(keys, raws)

    def _parsed(self, keys: Sequence[str], raws: Sequence[bytes | None]) -> list[Envelope | None]:
        found: list[Envelope | None] = []
        for key, raw in zip(keys, raws, strict=True):
            parsed = None if raw is None else envelope.parse(key, raw)
            found.append(parsed if parsed is not None and self.accepts(parsed) else None)
        return found

    # -- closing -----------------------------------------------------------------------------

    async def close(self, items: Sequence[Addressed]) -> list[Closed]:
        """The envelopes, closed; their payloads come as the codec made them."""

        def work() -> list[Closed]:
            return [self._closed(*item) for item in items]

        size = sum(len(item.envelope.payload) for item in items)
        return await self._runtime.offload(work) if size >= self._much else work()

    @property
    def _much(self) -> int:
        return HUGE if self.is_plain else LARGE

    def _closed(self, key: str, sealed: Envelope, comparable: bool) -> Closed:  # noqa: FBT001
        if not (self.is_plain or sealed.counter):
            self._compress(sealed)
            self._protect(key, sealed, comparable=comparable)
        return envelope.close(key, sealed)

    def _compress(self, sealed: Envelope) -> None:
        compressor, payload = self._seal.compressor, sealed.payload
        if compressor is None or len(payload) < compressor.threshold:
            return
        packed = compressor.compress(payload)
        if len(packed) <= len(payload) * _WORTH:
            sealed.payload, sealed.compression = packed, compressor.code
            sealed.flags |= Flag.COMPRESSED

    def _protect(self, key: str, sealed: Envelope, *, comparable: bool) -> None:
        protection = self._seal.protection
        if protection is None:
            return
        sealed.flags |= self._flag
        sealed.key_id = protection.keys.active
        sealed.seal, sealed.payload = protection.close(
            self._place(key), envelope.facts(sealed), sealed.payload, comparable=comparable
        )

    def _place(self, key: str) -> bytes:
        return self._namespace + key.encode()

    # -- opening -----------------------------------------------------------------------------

    def plain(self, envelopes: Iterable[Envelope]) -> list[Payload | None]:
        """What `open` gives where nothing is packed."""
        limit = self._limit
        return [each.payload if len(each.payload) <= limit else None for each in envelopes]

    async def open(self, items: Sequence[Addressed]) -> list[Payload | None]:
        """The payloads, as the codec made them; None for what is not what it claims to be.

        The envelopes are accepted ones.
        """
        if self.is_plain:
            return self.plain([item.envelope for item in items])
        offload = self._runtime.offload
        if sum(len(item.envelope.payload) for item in items) >= LARGE:
            return await offload(lambda: list(map(self._expanded, items, map(self._bare, items))))
        bare = list(map(self._bare, items))
        if sum(map(self._size, items, bare)) >= LARGE:
            return await offload(lambda: list(map(self._expanded, items, bare)))
        return list(map(self._expanded, items, bare))

    def _bare(self, item: Addressed) -> Payload | None:
        """The payload as it was before it was protected; it may be compressed still."""
        parsed, protection = item.envelope, self._seal.protection
        if protection is None:
            return parsed.payload
        if len(parsed.payload) > self._limit + OVERHEAD:
            return None
        known = envelope.facts(parsed)
        try:
            return protection.open(
                parsed.key_id, self._place(item.key), known, parsed.seal, parsed.payload
            )
        except UndecodablePayload:
            return None

    def _size(self, item: Addressed, packed: Payload | None) -> int:
        """How many bytes a compressed payload is going to have; 0 for what is not compressed."""
        number = item.envelope.compression
        if not number or packed is None:
            return 0
        try:
            return self._seal.readers[number].size(packed)
        except UndecodablePayload:
            return 0

    def _expanded(self, item: Addressed, packed: Payload | None) -> Payload | None:
        number = item.envelope.compression
        payload = packed
        if number and packed is not None:
            try:
                payload = self._seal.readers[number].decompress(packed, self._limit)
            except (UndecodablePayload, MemoryError):
                return None
        bounded = self._bounded(payload)
        return Verified(bounded) if self._verifies and bounded is not None else bounded

    def _bounded(self, payload: Payload | None) -> Payload | None:
        return payload if payload is not None and len(payload) <= self._limit else None
