"""What the fuzzer starts from: for each target, inputs that get far."""

from __future__ import annotations

import datetime as dt
import itertools
import uuid
from decimal import Decimal

import codec_shapes as shapes

from armature_cache import envelope
from armature_cache.envelope import Envelope, Flag
from armature_cache.memcachedio import frame
from fuzz.targets import _COMPRESSORS, _JSON, _MSGPACK, AUTHENTIC, KEY, TYPES

VALUES = [
    None, 5, -(2**70), 1.5, "text", b"bytes", [1, [2, {"a": {3, 4}}]], {"a": 1, (1, 2): [None]},
    dt.datetime(2024, 1, 2, tzinfo=dt.timezone.utc), dt.timedelta(1), dt.date(2024, 1, 2),  # noqa: UP017
    uuid.UUID(int=7), Decimal("1.5"), bytearray(b"x"), frozenset({"a"}), (1, "a"),
    shapes.Known([shapes.Derived(1, 2)]), shapes.Suit.HEARTS, shapes.Pair(1, "x"),
]  # fmt: skip
TYPED = [
    (shapes.Point(1, 2), shapes.Point),
    (shapes.Household(shapes.Person(name="x"), [], shapes.Cat(9)), shapes.Household),
    ([shapes.Person(name="A")], list[shapes.Person]),
    (shapes.Dog(1.5), shapes.Cat | shapes.Dog),
]
TEMPLATES = [
    "user:{a}", "{a}:{user.id}", "{}:{}", "a{{b}}{a}", "{a}-{user}", "{user.name}/x", "{a:>5}",
]  # fmt: skip
URLS = [
    "redis://localhost:6379/0", "rediss://u:p@[::1]:1/2?ssl_ca_certs=x", "unix:///run/x?db=1",
    "redis+cluster://a:1,b:2", "redis+sentinel://a:1,b/name/3", "redis\n@host:1/0",
    "redis\n/x@host", "valkey\n?a@b", "unix\n@/x", "memory://",
    "memcached://a,b:2", "memcacheds\n@[::1]?ssl_cert_reqs=none", "memcached:///run/x",
]  # fmt: skip


def _payloads(codec: object) -> list[bytes]:
    encode = codec.encode  # type: ignore[attr-defined]
    found = []
    for value, as_type in [*((value, None) for value in VALUES), *TYPED]:
        try:
            payload = encode(value, as_type).payload
        except ValueError:
            continue
        found += [bytes([number]) + payload for number in range(len(TYPES))]
    return found


def seeds() -> dict[str, list[bytes]]:
    """The seeds of every target."""
    plain = [
        envelope.build(KEY, Envelope(1, 2, flags=flags, tags=tags, etag=etag, payload=b"-12"))
        for flags in (0, Flag.TOMBSTONE, Flag.COUNTER, Flag.NO_EXPIRY | Flag.SLIDING)
        for tags in ((), ("a", "é"))
        for etag in ("", "v1")
    ]
    texts = [b"", b"x", b"a text " * 500, bytes(10_000)]
    return {
        "envelopes": [*plain, *AUTHENTIC],
        "msgpack": _payloads(_MSGPACK),
        "json": _payloads(_JSON),
        "seals": [*plain, *AUTHENTIC],
        "compressed": [one.compress(text) for one in _COMPRESSORS for text in texts],
        "frames": [
            frame.build(frame.Frame((b"0123456789abcdef",) * tags, key, life, entry))
            for tags in (0, 1, 3)
            for key, life, entry in (("", 0, b""), ("a key", 60, plain[0]))
        ],
        "answers": [
            b"".join(each)
            for each in itertools.product(
                (b"EN\r\n", b"VA 3 c7 t-1 f1\r\nabc\r\n", b"VA 70000 c1\r\n"),
                (b"HD c9\r\n", b"EX\r\n", b"SERVER_ERROR out of memory\r\n"),
                (b"STAT item_size_max 1048576\r\nEND\r\n",),
                (b"key=a exp=-1\r\nkey=b exp=3\nEND\r\n", b"BUSY currently processing\r\n"),
                (b"MN\r\n", b"ERROR\r\n"),
            )
        ],
        "templates": [f"{source}\0x:y\0z".encode() for source in TEMPLATES],
        "addresses": [url.encode() for url in URLS],
    }
