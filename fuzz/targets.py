"""The targets: each takes any bytes, and raises `Broken` where a law does not hold.

Any other exception is a finding, too. The same targets are run by Hypothesis in tests/fuzz and by
atheris in `make fuzz`.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import struct
import zlib
from collections.abc import Callable
from typing import Any, Final

import codec_shapes as shapes
from codec_support import same

from armature_cache import envelope
from armature_cache._runtime.blocking import BLOCKING
from armature_cache._runtime.ready import run_ready
from armature_cache.address import mask_url, parse_address, parse_memcached
from armature_cache.codecs.base import Codec
from armature_cache.codecs.compression import Lz4, Zstd
from armature_cache.codecs.json import JsonCodec
from armature_cache.codecs.keyring import KeyRing
from armature_cache.codecs.msgpack import MessagePackCodec
from armature_cache.codecs.pickle import PickleCodec
from armature_cache.codecs.sealed import SealedCodec
from armature_cache.config import CacheConfig
from armature_cache.envelope import Envelope, Flag
from armature_cache.errors import (
    CacheKeyError,
    ConfigError,
    UndecodablePayload,
    UnsupportedValue,
)
from armature_cache.keys import Template
from armature_cache.memcachedio import frame, wire
from armature_cache.stores.sealing import Addressed, Sealing

Target = Callable[[bytes], None]

LIMIT: Final = 1 << 20
KEY: Final = "user:1"
KEYS: Final = KeyRing({7: bytes(range(32))})
MARK: Final = "s3cr3tw0rd"


class Broken(AssertionError):
    """A law does not hold."""


def _law(*, holds: bool, law: str) -> None:
    if not holds:
        raise Broken(law)


# -- envelopes -------------------------------------------------------------------------------


def mended(key: str, raw: bytes) -> bytes:
    """An envelope whose checks are right, so that what is behind them is reached."""
    if len(raw) < envelope.HEADER_SIZE:
        return raw
    asof, epoch = struct.unpack_from(">QQ", raw, envelope.STAMP_AT)
    tags, etag = struct.unpack_from(">IH", raw, 64)
    seal = {16: 28, 32: 32}.get(raw[3] & 48, 0) if raw[3] & ~71 else 0
    start = envelope.HEADER_SIZE + tags + etag
    end = len(raw) if not raw[3] & Flag.COUNTER else min(start + seal, len(raw))
    crc = zlib.crc32(raw[76:end], zlib.crc32(raw[24:72], zlib.crc32(key.encode(), raw[3])))
    stamp = envelope.pack_stamp(asof, epoch)
    return b"AC\x01" + raw[3:4] + stamp + raw[24:72] + crc.to_bytes(4, "big") + raw[76:]


def envelopes(data: bytes) -> None:
    for raw in (data, mended(KEY, data)):
        envelope.read_stamp(raw)
        head = envelope.parse_head(raw)
        parsed = envelope.parse(KEY, raw)
        if parsed is None:
            continue
        _law(holds=head is not None, law="what is parsed has a head")
        _law(holds=head is not None and head.tags == parsed.tags, law="the head has its tags")
        again = envelope.parse(KEY, envelope.build(KEY, parsed))
        _law(holds=again == parsed, law="what is parsed is built and parsed again")
        _law(holds=envelope.parse(KEY + "x", raw) is None, law="it belongs to its key")


# -- codecs ----------------------------------------------------------------------------------

TYPES: Final[tuple[Any, ...]] = (
    None, str, int, float, bytes, list, dict, set[int], list[shapes.Point], dict[str, Any],
    shapes.Household, shapes.Person, shapes.Email, shapes.Frozen, dt.datetime, shapes.Pair,
    shapes.Cat | shapes.Dog, shapes.Colour, shapes.Loose, tuple[int, ...] | None, shapes.Secretive,
)  # fmt: skip


def _decoded(codec: Any, data: bytes) -> None:
    as_type = TYPES[data[0] % len(TYPES)]
    type_id = (0, 1, codec.type_id(as_type or str), codec.type_id(shapes.Household))[data[0] % 4]
    payload = data[1:]
    try:
        value = codec.decode(payload, type_id, as_type)
    except UndecodablePayload:
        return
    if as_type is not None:
        return
    try:
        encoded = codec.encode(value)
    except UnsupportedValue:
        return
    again = codec.decode(encoded.payload, encoded.type_id)
    _law(holds=same(again, value), law="what was decoded and is stored again comes back")


def msgpack(data: bytes) -> None:
    if data:
        _decoded(_MSGPACK, data)


def json(data: bytes) -> None:
    if data:
        _decoded(_JSON, data)


_MSGPACK: Final = MessagePackCodec()
_JSON: Final = JsonCodec()


# -- seals -----------------------------------------------------------------------------------

SEALS: Final[dict[str, Codec | SealedCodec]] = {
    "plain": MessagePackCodec(),
    "packed": SealedCodec(compress="zstd", reads=["lz4"]),
    "signed": SealedCodec(sign=KEYS, compress="lz4"),
    "encrypted": SealedCodec(encrypt=KEYS, compress="zstd"),
    "pickle": PickleCodec(KEYS),
}
_STORES: Final = {
    name: Sealing(codec, namespace="ns", limit=LIMIT, runtime=BLOCKING)
    for name, codec in SEALS.items()
}


def _authentic(name: str, value: object, tags: tuple[str, ...]) -> tuple[bytes, bytes]:
    """An entry as it is stored under one of the seals, and its payload."""
    store = _STORES[name]
    payload = store.codec.encode(value).payload
    whole = Envelope(
        5, 6, codec=store.codec.code, tags=tags, created=1, fresh_until=2, dead_at=3,
        payload=payload,
    )  # fmt: skip
    (closed,) = run_ready(store.close([Addressed(KEY, whole)]))
    return closed.stamped(5, 6), payload


_ENTRIES: Final = [
    _authentic(name, value, tags)
    for name in SEALS
    for value in ("short", ["a text "] * 400)
    for tags in ((), ("a", "b"))
]
AUTHENTIC: Final = [raw for raw, _ in _ENTRIES]


def _meaning(raw: bytes, payload: bytes) -> tuple[bytes, bytes]:
    """All of an entry that a reader goes by; nonces differ from one run to the next."""
    parsed = envelope.parse(KEY, raw)
    return (b"" if parsed is None else envelope.facts(parsed)), payload


_GENUINE: Final = {_meaning(raw, payload) for raw, payload in _ENTRIES}


def seals(data: bytes) -> None:
    for raw in (data, mended(KEY, data)):
        for store in _STORES.values():
            (parsed,) = run_ready(store.parse([KEY], [raw]))
            if parsed is None:
                continue
            (payload,) = run_ready(store.open([Addressed(KEY, parsed)]))
            if payload is None:
                continue
            _law(holds=len(payload) <= LIMIT, law="no payload is longer than the limit")
            if store.protected and not parsed.tombstone:
                meaning = _meaning(raw, bytes(payload))
                _law(holds=meaning in _GENUINE, law="nothing is forged")
            try:
                store.codec.decode(payload, parsed.type_id)
            except UndecodablePayload:
                continue


def compressed(data: bytes) -> None:
    for compressor in _COMPRESSORS:
        try:
            payload = compressor.decompress(data, LIMIT)
        except UndecodablePayload:
            continue
        _law(holds=len(payload) == compressor.size(data) <= LIMIT, law="sizes are as told")
        again = compressor.decompress(compressor.compress(payload), LIMIT)
        _law(holds=again == payload, law="what was decompressed and compressed comes back")


_COMPRESSORS: Final = (Zstd(), Lz4())


# -- Memcached -------------------------------------------------------------------------------


def frames(data: bytes) -> None:
    """What is around an entry on Memcached: as it comes, and with its check mended."""
    for raw in (data, _framed(data)):
        parsed = frame.parse(raw)
        if parsed is not None:
            _law(holds=frame.build(parsed) == raw, law="a frame has one form")
        frame.is_later(raw)


def _framed(data: bytes) -> bytes:
    """The same under a head that is in order."""
    raw = b"AM\1\0" + data[:8].ljust(8, b"\0") + bytes(4) + data[8:]
    count, size = struct.unpack_from(">HH", raw, 4)
    check = zlib.crc32(raw[16 : 16 + 16 * count + size], zlib.crc32(raw[:16]))
    return raw[:12] + check.to_bytes(4, "big") + raw[16:]


ASKED: Final = (
    wire.fetch(0, b"k"),
    wire.store(0, b"k", b"v", over=wire.At(b"run", 7)),
    wire.settings(0),
    wire.dump(0, lambda line: line.startswith(b"key=a")),
    wire.nothing(0),
)


def answers(data: bytes) -> None:
    """What a server of Memcached says to some commands: at once, or byte by byte."""
    _law(holds=_heard(data, len(data) or 1) == _heard(data, 1), law="pieces do not matter")


def _heard(data: bytes, size: int) -> list[wire.Reply] | None:
    decoder = wire.Decoder(ASKED, limit=100, run=b"run")
    try:
        for at in range(0, len(data), size):
            if decoder.feed(data[at : at + size]):
                return decoder.replies() if at + size >= len(data) else None
    except wire.WireError:
        return None
    return []


# -- texts -----------------------------------------------------------------------------------


@dataclasses.dataclass
class _User:
    id: str
    name: str


def templates(data: bytes) -> None:
    """`template NUL text NUL text`: two calls with different arguments never share a key."""
    parts = data.decode("utf-8", "surrogateescape").split("\0")
    source, first, second, *_ = (*parts, "", "", "")
    for option in ("key", "tags"):
        try:
            template = Template(source, ["a", "user"], option=option)
        except ConfigError as error:
            _law(holds=error.field == option, law="the error names the option")
            continue
        calls = [(first, second), (second, first), (first, first), (first + second, "")]
        texts: dict[str, set[tuple[str, ...]]] = {}
        for one, other in calls:
            user = _User(other, one)
            arguments: dict[str, object] = {"a": one, "user": user if "." in source else other}
            try:
                text = template.fill(arguments)
            except CacheKeyError:
                continue
            used = tuple(
                value for name, value in (("a", one), ("user", other)) if template.names(name)
            )
            texts.setdefault(text, set()).add(used)
            _law(holds="\0" not in text or option == "tags", law="no NUL gets into a key")
        injective = option == "key" and "." not in source
        if injective:
            _law(holds=all(len(used) == 1 for used in texts.values()), law="keys are injective")


def addresses(data: bytes) -> None:
    """A URL, with a password in it where a line break stands; or before the whole."""
    text = data.decode("utf-8", "surrogateescape")
    before, line, after = text.partition("\n")
    url = f"{before}://u:{MARK}{after}" if line else before
    in_the_path = url.startswith("unix:///")
    _address(url, secret="@" in after and not in_the_path)
    _address(f"u:{MARK}@{text}", secret=True)


def _address(url: str, *, secret: bool) -> None:
    try:
        if url.startswith("memcached"):
            address = parse_memcached(url)
            config = CacheConfig.memcached(url)
        else:
            address = parse_address(url)
            config = CacheConfig.redis(url)
        shown = [repr(address), address.shown, repr(config)]
    except ConfigError as error:
        _law(holds=error.field is not None, law="the error names the field")
        shown = [str(error)]
    shown.append(mask_url(url))
    if secret:
        _law(holds=not any(MARK in each for each in shown), law="no secret is shown")


TARGETS: Final[dict[str, Target]] = {
    "envelopes": envelopes,
    "msgpack": msgpack,
    "json": json,
    "seals": seals,
    "compressed": compressed,
    "frames": frames,
    "answers": answers,
    "templates": templates,
    "addresses": addresses,
}
