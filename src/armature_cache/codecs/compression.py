"""Compressors: fewer bytes of a payload, never more than asked for on the way back."""

from __future__ import annotations

import importlib
import threading
from typing import TYPE_CHECKING, Any, Final, Protocol

from armature_cache.errors import ConfigError, UndecodablePayload

if TYPE_CHECKING:
    from zstandard import ZstdCompressor, ZstdDecompressor

THRESHOLD: Final = 1024
"""Bytes below which nothing is compressed, unless told otherwise."""

_SIZE: Final = 4
_MOST_LZ4: Final = 0x7E00_0000
_BEST_LZ4_RATIO: Final = 255
_LEVELS_ZSTD: Final = (-100, 22)
_LEVELS_LZ4: Final = (0, 12)


class Compressor(Protocol):
    """Makes payloads smaller; safe to share between threads."""

    code: int
    """The compressor's number in the envelope, 1 to 255; those from 128 on are for users."""

    name: str

    threshold: int
    """Bytes below which it is not tried."""

    def compress(self, payload: bytes | memoryview) -> bytes:
        """The payload in fewer bytes; a longer result is thrown away."""
        ...

    def size(self, packed: bytes | memoryview) -> int:
        """How many bytes `decompress` would give, by what the packed ones say.

        Raises `UndecodablePayload` where they say nothing.
        """
        ...

    def decompress(self, packed: bytes | memoryview, limit: int) -> bytes:
        """The payload, without ever holding more than `limit` bytes of it.

        Raises `UndecodablePayload` for anything else than a whole payload of that size.
        """
        ...


class Zstd:
    """Zstandard, for the best ratio at a few hundred MB a second; needs `armature-cache[zstd]`.

    `level` is from -100 (fastest) to 22 (smallest); payloads below `threshold` bytes stay as they
    are. Raises `ConfigError`.
    """

    code: int = 1
    name: str = "zstd"

    def __init__(self, level: int = 3, *, threshold: int = THRESHOLD) -> None:
        self._package = _imported("zstandard", self.name)
        self.level = _check_level(level, _LEVELS_ZSTD)
        self.threshold = _check_threshold(threshold)
        self._own = threading.local()

    def __repr__(self) -> str:
        return f"Zstd({self.level}, threshold={self.threshold})"

    def compress(self, payload: bytes | memoryview) -> bytes:
        return self._compressor().compress(payload)

    def size(self, packed: bytes | memoryview) -> int:
        try:
            size: int = self._package.frame_content_size(packed)
        except self._package.ZstdError:
            size = -1
        if size < 0:
            raise UndecodablePayload("not a zstd frame that tells its size")
        return size

    def decompress(self, packed: bytes | memoryview, limit: int) -> bytes:
        # A frame that is cut short makes zstd allocate a window beside the result: at most as much.
        size = _check_size(self.size(packed), limit)
        try:
            payload: bytes = self._decompressor().decompress(packed, allow_extra_data=False)
        except self._package.ZstdError:
            raise UndecodablePayload("a damaged zstd frame") from None
        return _whole(payload, size)

    def _compressor(self) -> ZstdCompressor:
        """This thread's: the package's objects are not to be shared."""
        own: ZstdCompressor | None = getattr(self._own, "compressor", None)
        if own is None:
            own = self._own.compressor = self._package.ZstdCompressor(level=self.level)
        return own

    def _decompressor(self) -> ZstdDecompressor:
        own: ZstdDecompressor | None = getattr(self._own, "decompressor", None)
        if own is None:
            own = self._own.decompressor = self._package.ZstdDecompressor()
        return own


class Lz4:
    """LZ4, the fastest to read at a smaller ratio; needs `armature-cache[lz4]`.

    `level` 0 is the fast mode, 1 to 12 take longer and give less; payloads below `threshold` bytes
    stay as they are. Raises `ConfigError`.
    """

    code: int = 2
    name: str = "lz4"

    def __init__(self, level: int = 0, *, threshold: int = THRESHOLD) -> None:
        self._block = _imported("lz4.block", self.name)
        self.level = _check_level(level, _LEVELS_LZ4)
        self.threshold = _check_threshold(threshold)
        self._how: dict[str, Any] = (
            {"mode": "high_compression", "compression": level} if level else {}
        )

    def __repr__(self) -> str:
        return f"Lz4({self.level}, threshold={self.threshold})"

    def compress(self, payload: bytes | memoryview) -> bytes:
        if len(payload) > _MOST_LZ4:
            return bytes(payload)
        packed: bytes = self._block.compress(payload, **self._how)
        return packed

    def size(self, packed: bytes | memoryview) -> int:
        size = int.from_bytes(packed[:_SIZE], "little")
        if size > _BEST_LZ4_RATIO * len(packed):
            raise UndecodablePayload("not an lz4 block of the size that it tells")
        return size

    def decompress(self, packed: bytes | memoryview, limit: int) -> bytes:
        size = _check_size(self.size(packed), limit)
        try:
            payload: bytes = self._block.decompress(packed)
        except (self._block.LZ4BlockError, ValueError):
            raise UndecodablePayload("a damaged lz4 block") from None
        return _whole(payload, size)


def _imported(package: str, name: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError:
        raise ConfigError(
            f"compression with {name} needs the package {package.partition('.')[0]}: "
            f"pip install 'armature-cache[{name}]'",
            field="compress",
        ) from None


def _check_level(level: int, bounds: tuple[int, int]) -> int:
    low, high = bounds
    if not isinstance(level, int) or isinstance(level, bool) or not low <= level <= high:
        raise ConfigError(f"level is an integer from {low} to {high}, not {level!r}", field="level")
    return level


def _check_threshold(threshold: int) -> int:
    if not isinstance(threshold, int) or isinstance(threshold, bool) or threshold < 1:
        raise ConfigError(
            f"threshold is a number of bytes, at least 1, not {threshold!r}", field="threshold"
        )
    return threshold


def _check_size(size: int, limit: int) -> int:
    if not 0 < size <= limit:
        raise UndecodablePayload(f"it would have {size} bytes, and {limit} are the limit")
    return size


def _whole(payload: bytes, size: int) -> bytes:
    if len(payload) != size:
        raise UndecodablePayload("it has another size than it tells")
    return payload
