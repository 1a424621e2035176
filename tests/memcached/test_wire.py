"""The meta protocol as bytes: what is sent, and what servers may answer."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from armature_cache.memcachedio.wire import (
    At,
    Command,
    Decoder,
    Reply,
    WireError,
    dump,
    fetch,
    login,
    nothing,
    remove,
    settings,
    store,
)

RUN = b"0123456789abcdef"


def decoded(commands: list[Command], data: bytes, *, limit: int = 1000) -> list[Reply]:
    decoder = Decoder(commands, limit=limit, run=RUN)
    assert decoder.feed(data)
    return decoder.replies()


def test_commands_are_these_bytes() -> None:
    over = At(RUN, 7)
    assert fetch(0, b"k").data == b"mg k v c t f\r\n"
    assert fetch(0, b"k", value=False, vivify=90).data == b"mg k c t f N90\r\n"
    assert fetch(0, b"k", touch=5).data == b"mg k v c t f T5\r\n"
    assert store(0, b"k", b"ab").data == b"ms k 2 T0 F0 c\r\nab\r\n"
    assert store(0, b"k", b"", ttl=9, flags=1, over=over).data == b"ms k 0 T9 F1 c C7\r\n\r\n"
    assert store(0, b"k", b"a", add=True).data == b"ms k 1 T0 F0 c ME\r\na\r\n"
    assert remove(0, b"k").data == b"md k\r\n"
    assert remove(0, b"k", over=over).data == b"md k C7\r\n"
    assert nothing(3) == Command(3, b"mn\r\n")
    assert login(0, "u", "ü p").data == b"set login 0 0 6\r\nu \xc3\xbc p\r\n"


def test_answers_are_taken_apart() -> None:
    commands = [fetch(0, b"k")] * 3 + [store(0, b"k", b""), remove(0, b"k"), nothing(0)]
    data = b"VA 4 c5 t-1 f1 W\r\na\r\nb\r\nEN\r\nVA 0 f0 c6 t9\r\n\r\nHD c8\r\nNF\r\nMN\r\n"
    assert decoded(commands, data) == [
        Reply(b"VA", b"a\r\nb", 5, -1, 1, run=RUN),
        Reply(b"EN", run=RUN),
        Reply(b"VA", b"", 6, 9, 0, run=RUN),
        Reply(b"HD", cas=8, run=RUN),
        Reply(b"NF", run=RUN),
        Reply(b"MN", run=RUN),
    ]
    replies = decoded(commands, data)
    assert [reply.done for reply in replies] == [True, False, True, True, False, True]
    assert replies[0].at == At(RUN, 5)


def test_a_refusal_is_an_answer() -> None:
    (reply,) = decoded([store(0, b"k", b"")], b"SERVER_ERROR out of memory storing object\r\n")
    assert (reply.code, reply.value) == (b"SERVER_ERROR", b"out of memory storing object")
    assert not reply.done


def test_lists_end_as_their_servers_end_them() -> None:
    lines = b"key=a exp=-1\nkey=b exp=5\nEND\r\n"
    (reply,) = decoded([dump(0, lambda line: b"=b" in line)], lines)
    assert (reply.code, reply.lines) == (b"END", (b"key=b exp=5",))
    for said in (b"BUSY currently processing crawler request", b"ERROR not allowed"):
        (reply,) = decoded([dump(0, lambda line: True)], said + b"\r\n")
        assert (reply.code, reply.lines, reply.value) == (said.partition(b" ")[0], (), said)
    stats = b"STAT maxbytes 1\r\nSTAT item_size_max 1048576\r\nEND\r\n"
    (reply,) = decoded([settings(0)], stats)
    assert reply.lines == (b"STAT item_size_max 1048576",)


def test_a_command_for_another_run_is_not_sent() -> None:
    ours, theirs = At(RUN, 1), At(b"another run of it", 1)
    commands = [
        store(0, b"a", b"", over=theirs),
        fetch(0, b"b"),
        store(0, b"c", b"", over=ours),
        remove(0, b"d", over=At(b"", 1)),
    ]
    decoder = Decoder(commands, limit=10, run=RUN)
    assert decoder.data == commands[1].data + commands[2].data
    assert decoder.feed(b"EN\r\nHD c2\r\n")
    assert [reply.code for reply in decoder.replies()] == [b"EX", b"EN", b"HD", b"EX"]
    assert Decoder(commands[:1], limit=10, run=RUN).complete


def test_a_value_beyond_the_limit_is_left_out() -> None:
    spare = 64 * 1024
    commands = [fetch(0, b"a"), fetch(0, b"b")]
    size = 10 + spare + 1
    data = b"VA %d c3\r\n%b\r\nVA 1 c4\r\nx\r\n" % (size, b"v" * size)
    for step in (1 << 20, 4096, 7):
        decoder = Decoder(commands, limit=10, run=RUN)
        for at in range(0, len(data), step):
            decoder.feed(data[at : at + step])
        assert [(one.value, one.cas) for one in decoder.replies()] == [(b"", 3), (b"x", 4)]


@pytest.mark.parametrize(
    "garbage",
    [
        b"ERROR\r\n",
        b"CLIENT_ERROR bad data chunk\r\n",
        b"HTTP/1.1 400 Bad Request\r\n",
        b"+PONG\r\n",
        b"HD\n",
        b"\r\n",
        b"VA\r\n",
        b"VA x c1\r\n",
        b"VA -1 c1\r\n",
        b"VA 99999999999 c1\r\n",
        b"VA 1 cx\r\na\r\n",
        b"VA 1 c1\r\nabc\r\n",
        b"x" * 5000,
        b"HD\r\nHD\r\n",
    ],
    ids=lambda raw: repr(raw[:12]),
)
def test_garbage_is_an_error(garbage: bytes) -> None:
    with pytest.raises(WireError) as caught:
        Decoder([fetch(0, b"k")], limit=1000).feed(garbage)
    assert len(caught.value.text) < 200


WORDS = st.sampled_from((b"HD", b"EN", b"NF", b"NS", b"EX", b"MN"))
VALUES = st.binary(max_size=40)
NUMBERS = st.integers(0, 2**64 - 1)


@st.composite
def exchanges(draw: st.DrawFn) -> tuple[bytes, list[Reply]]:
    data, replies = b"", []
    for _ in range(draw(st.integers(1, 5))):
        if draw(st.booleans()):
            value, cas = draw(VALUES), draw(NUMBERS)
            data += b"VA %d c%d t5\r\n%b\r\n" % (len(value), cas, value)
            replies.append(Reply(b"VA", value, cas, 5, run=RUN))
        else:
            word = draw(WORDS)
            data += word + b"\r\n"
            replies.append(Reply(word, run=RUN))
    return data, replies


@given(exchanges(), st.lists(st.integers(1, 20), min_size=1))
def test_answers_may_come_in_any_pieces(
    exchange: tuple[bytes, list[Reply]], sizes: list[int]
) -> None:
    data, replies = exchange
    decoder = Decoder([fetch(0, b"k")] * len(replies), limit=1000, run=RUN)
    at = turn = 0
    while at < len(data):
        assert not decoder.complete
        size = sizes[turn % len(sizes)]
        decoder.feed(data[at : at + size])
        at, turn = at + size, turn + 1
    assert decoder.complete
    assert decoder.replies() == replies


@given(st.lists(st.binary(max_size=60), max_size=5))
def test_whatever_comes_is_an_answer_or_an_error(pieces: list[bytes]) -> None:
    decoder = Decoder([fetch(0, b"k"), dump(0, lambda line: True)], limit=100)
    with contextlib.suppress(WireError):
        for piece in pieces:
            decoder.feed(piece)
