"""A codec whose payloads are compressed, and encrypted or signed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal

from armature_cache.codecs.base import Codec
from armature_cache.codecs.compression import Compressor, Lz4, Zstd
from armature_cache.codecs.keyring import KeyRing
from armature_cache.codecs.msgpack import MessagePackCodec
from armature_cache.codecs.protection import Encryption, Protection, Signature
from armature_cache.errors import ConfigError

Compression = Compressor | Literal["zstd", "lz4"]
"""A compressor, or the name of one as it comes."""

_BY_NAME: Final[dict[str, Callable[[], Compressor]]] = {"zstd": Zstd, "lz4": Lz4}
_MOST_CODES: Final = 255


@dataclasses.dataclass(frozen=True, slots=True)
class Seal:
    """What happens to payloads between codec and store.

    `compressor` writes; `readers` are all that read, by their numbers. A store accepts what was
    written under a seal of the same kind, and nothing else.
    """

    compressor: Compressor | None = None
    readers: Mapping[int, Compressor] = dataclasses.field(default_factory=dict)
    protection: Protection | None = None


PLAIN: Final = Seal()


class SealedCodec:
    """A codec whose payloads are compressed, and encrypted or signed; given instead of a codec.

    `codec` is MessagePack unless told otherwise. `compress` is a compressor or its name, "zstd" or
    "lz4"; `reads` are others whose payloads are still read. `encrypt` and `sign` take a `KeyRing`
    each, and exclude one another: encryption authenticates, too.

    What a store reads is decided by this configuration alone: with `encrypt`, an entry that is not
    encrypted is a miss, whatever it says, and so on. Raises `ConfigError`.
    """

    __slots__ = ("codec", "seal")

    def __init__(
        self,
        codec: Codec | None = None,
        *,
        compress: Compression | None = None,
        reads: Iterable[Compression] = (),
        encrypt: KeyRing | None = None,
        sign: KeyRing | None = None,
    ) -> None:
        if isinstance(codec, SealedCodec):
            raise ConfigError("a SealedCodec takes a codec that is not sealed yet", field="codec")
        if encrypt is not None and sign is not None:
            raise ConfigError("encrypt authenticates as sign does; give one of them", field="sign")
        self.codec: Final[Codec] = MessagePackCodec() if codec is None else codec
        compressor = None if compress is None else _compressor(compress, "compress")
        readers = [_compressor(one, "reads") for one in reads]
        protection = seal_of(self.codec).protection
        if encrypt is not None:
            protection = Encryption(encrypt)
        elif sign is not None:
            protection = Signature(sign)
        self.seal: Final = Seal(compressor, _by_code(compressor, readers), protection)

    def __repr__(self) -> str:
        seal = self.seal
        parts = (type(self.codec).__name__, seal.compressor, type(seal.protection).__name__)
        return f"<SealedCodec {' '.join(str(part) for part in parts if part not in _NOTHING)}>"


_NOTHING: Final = (None, "NoneType")


def seal_of(codec: Codec | SealedCodec) -> Seal:
    """The seal that a codec brings along."""
    seal = getattr(codec, "seal", PLAIN)
    return seal if isinstance(seal, Seal) else PLAIN


def _compressor(given: Compression, field: str) -> Compressor:
    if isinstance(given, str):
        if given not in _BY_NAME:
            raise ConfigError(
                f"{field} is a compressor, or one of {sorted(_BY_NAME)}, not {given!r:.40}",
                field=field,
            )
        return _BY_NAME[given]()
    code = 0 if isinstance(given, type) else getattr(given, "code", 0)
    if not isinstance(code, int) or not 0 < code <= _MOST_CODES:
        raise ConfigError(
            f"{field} is a compressor with a code from 1 to {_MOST_CODES}, such as Zstd(), not "
            f"{type(given).__name__}",
            field=field,
        )
    return given


def _by_code(compressor: Compressor | None, others: Iterable[Compressor]) -> dict[int, Compressor]:
    found: dict[int, Compressor] = {}
    for one in (*others, *(() if compressor is None else (compressor,))):
        if type(found.get(one.code, one)) is not type(one):
            raise ConfigError(f"two compressors have the code {one.code}", field="reads")
        found[one.code] = one
    return found
