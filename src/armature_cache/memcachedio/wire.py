"""The meta protocol as bytes: commands, and what servers answer, without any I/O.

It is that of Memcached 1.6 (protocol.txt, "Meta Commands"). Every command here has exactly one
answer, which is bounded in size; whatever else a server sends is a `WireError`, after which its
connection is of no use any more.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

LONGEST_NAME: Final = 250
"""Bytes of a name that Memcached accepts."""
LONGEST_TTL: Final = 30 * 86_400
"""Seconds from which on Memcached takes a lifetime for a moment in time."""
_LONGEST_LINE: Final = 4096
_LARGEST_ITEM: Final = 1024 * 1024 * 1024
_SPARE: Final = 64 * 1024

Keep = Callable[[bytes], bool]


class Command(NamedTuple):
    """A command for one of the servers, by its place among them.

    `keep` is there for a command whose answer is a list of lines: it says which of them to keep.
    A command for one `run` of the server is not sent to another: it is answered as if the item had
    another CAS value.
    """

    node: int
    data: bytes
    keep: Keep | None = None
    run: bytes = b""


class At(NamedTuple):
    """When an item was stored: a run of its server, and the CAS value that it was given in it.

    The CAS values of a run rise with every store, whatever the item.
    """

    run: bytes
    cas: int

    def precedes(self, other: At) -> bool:
        """Whether it is surely older than another."""
        return self.run != b"" and self.run == other.run and self.cas < other.cas


NOWHERE: Final = At(b"", 0)
_NO_RUN: Final = b"\0"


class Reply(NamedTuple):
    """The answer to a command.

    `code` is the server's word: HD or VA for yes, EN or NF for nothing there, EX for another CAS
    value, NS for not stored. `cas`, `ttl` (seconds left, -1 for no end) and `flags` are those of
    the item, where they were asked for. `run` is the run of the server that answered.
    """

    code: bytes
    value: bytes = b""
    cas: int = 0
    ttl: int = -1
    flags: int = 0
    lines: tuple[bytes, ...] = ()
    run: bytes = b""

    @property
    def at(self) -> At:
        """When the item was stored."""
        return At(self.run, self.cas)

    @property
    def done(self) -> bool:
        """Whether the server has done what it was told, or found what it was asked for."""
        return self.code in _DONE


_DONE: Final = frozenset((b"HD", b"VA", b"MN", b"OK", b"END", b"STORED"))
_PLAIN: Final = frozenset((b"HD", b"EN", b"NF", b"NS", b"EX", b"MN", b"OK", b"STORED"))
_NUMBERS: Final = {99: 0, 116: 1, 102: 2}  # c, t, f


class WireError(Exception):
    """A server said what is no answer to the command; `text` is what it said."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


# -- commands --------------------------------------------------------------------------------


def fetch(
    node: int, name: bytes, *, value: bool = True, vivify: int = 0, touch: int = -1
) -> Command:
    """Read an item, with CAS value, seconds left and flags.

    With `vivify` a missing one is put there, empty, for so many seconds; `touch` gives it so many
    seconds from now on.
    """
    more = b" N%d" % vivify if vivify else b""
    if touch >= 0:
        more += b" T%d" % touch
    return Command(node, b"mg %b%b c t f%b\r\n" % (name, b" v" if value else b"", more))


def store(
    node: int,
    name: bytes,
    value: bytes,
    *,
    ttl: int = 0,
    flags: int = 0,
    over: At | None = None,
    add: bool = False,
) -> Command:
    """Store an item, and get its CAS value: always, over a CAS value, or where there is none."""
    guard, run = _guard(over)
    if add:
        guard = b" ME"
    head = b"ms %b %d T%d F%d c%b\r\n" % (name, len(value), ttl, flags, guard)
    return Command(node, b"%b%b\r\n" % (head, value), run=run)


def remove(node: int, name: bytes, *, over: At | None = None) -> Command:
    """Delete an item, if it has this CAS value."""
    guard, run = _guard(over)
    return Command(node, b"md %b%b\r\n" % (name, guard), run=run)


def _guard(over: At | None) -> tuple[bytes, bytes]:
    return (b"", b"") if over is None else (b" C%d" % over.cas, over.run or _NO_RUN)


def nothing(node: int) -> Command:
    """A command that does nothing but being answered."""
    return Command(node, b"mn\r\n")


def login(node: int, username: str, password: str) -> Command:
    """Name and password, as a server that was started with `--auth-file` wants them."""
    secret = f"{username} {password}".encode()
    return Command(node, b"set login 0 0 %d\r\n%b\r\n" % (len(secret), secret))


def settings(node: int) -> Command:
    """Ask for the limit of an item's size."""
    return Command(node, b"stats settings\r\n", lambda line: line.startswith(b"STAT item_size_max"))


def dump(node: int, keep: Keep) -> Command:
    """Ask for the names of all items, of which `keep` chooses by their lines."""
    return Command(node, b"lru_crawler metadump hash\r\n", keep)


# -- answers ---------------------------------------------------------------------------------


@dataclasses.dataclass(slots=True)
class _Value:
    """A value that is on its way: how many bytes are missing of it, and the rest of the answer."""

    size: int
    reply: Reply
    kept: bool


class Decoder:
    """Takes apart what one run of a server sends in answer to some commands.

    `data` is what to send. A value of more than `limit` bytes is left out: it is as good as empty.
    """

    def __init__(self, commands: Sequence[Command], *, limit: int, run: bytes = b"") -> None:
        fitting = [command for command in commands if command.run in {b"", run}]
        self.data = b"".join(command.data for command in fitting)
        self._all = commands
        self._replies: list[Reply] = []
        self._commands = fitting
        self._limit = limit + _SPARE
        self._run = run
        self._buffer = bytearray()
        self._value: _Value | None = None
        self._lines: list[bytes] = []

    @property
    def complete(self) -> bool:
        """Whether all answers are there."""
        return len(self._replies) == len(self._commands)

    def replies(self) -> list[Reply]:
        """The answers to all commands, once they are complete."""
        if len(self._replies) == len(self._all):
            return self._replies
        answers = iter(self._replies)
        return [
            next(answers) if command.run in {b"", self._run} else Reply(b"EX", run=self._run)
            for command in self._all
        ]

    def feed(self, data: bytes) -> bool:
        """Take what came; whether all answers are there now. Raises `WireError`."""
        self._buffer += data
        at = 0
        while not self.complete:
            after = self._take_line(at) if self._value is None else self._take_value(at)
            if after < 0:
                break
            at = after
        del self._buffer[:at]
        if self.complete and self._buffer:
            raise WireError(f"more than was asked for: {_shown(bytes(self._buffer))}")
        return self.complete

    def _take_line(self, start: int) -> int:
        """Take the line that begins at `start`; where the next begins, -1 if it is not there."""
        buffer = self._buffer
        end = buffer.find(b"\n", start, start + _LONGEST_LINE)
        if end < 0:
            if len(buffer) - start >= _LONGEST_LINE:
                raise WireError("a line without end")
            return -1
        line = bytes(buffer[start:end])
        keep = self._commands[len(self._replies)].keep
        if keep is not None:  # some lists end their lines like this, some like everybody
            self._listed(line.removesuffix(b"\r"), keep)
        elif line.endswith(b"\r"):
            self._answered(line[:-1])
        else:
            raise WireError(_shown(line))
        return end + 1

    def _answered(self, line: bytes) -> None:
        code, _, rest = line.partition(b" ")
        if code == b"VA":
            size, _, rest = rest.partition(b" ")
            if not size.isdigit() or int(size) > _LARGEST_ITEM:
                raise WireError(_shown(line))
            reply = Reply(code, b"", *_numbers(rest, line), run=self._run)
            self._value = _Value(int(size), reply, kept=int(size) <= self._limit)
        elif code in _PLAIN:
            self._replies.append(Reply(code, b"", *_numbers(rest, line), run=self._run))
        elif code == b"SERVER_ERROR":
            self._replies.append(Reply(code, rest, run=self._run))
        else:
            raise WireError(_shown(line))

    def _take_value(self, start: int) -> int:
        """Take a value; where the next line begins, or the rest of what is left out."""
        value, buffer = self._value, self._buffer
        assert value is not None  # noqa: S101 - or this is not called
        if not value.kept and value.size:
            left_out = min(value.size, len(buffer) - start)
            value.size -= left_out
            return start + left_out if left_out else -1
        end = start + value.size
        if len(buffer) < end + 2:
            return -1
        if buffer[end : end + 2] != b"\r\n":
            raise WireError("a value that is longer than was said")
        self._replies.append(value.reply._replace(value=bytes(buffer[start:end])))
        self._value = None
        return end + 2

    def _listed(self, line: bytes, keep: Keep) -> None:
        word = line.partition(b" ")[0]
        if line == b"END" or word in {b"ERROR", b"CLIENT_ERROR", b"SERVER_ERROR", b"BUSY"}:
            lines, self._lines = tuple(self._lines), []
            self._replies.append(Reply(word, line, lines=lines, run=self._run))
        elif keep(line):
            self._lines.append(line)


def _numbers(words: bytes, line: bytes) -> tuple[int, int, int]:
    """CAS value, seconds left and flags."""
    found = [0, -1, 0]
    for word in words.split():
        place = _NUMBERS.get(word[0])
        if place is not None:
            try:
                found[place] = int(word[1:])
            except ValueError:
                raise WireError(_shown(line)) from None
    return found[0], found[1], found[2]


def _shown(raw: bytes) -> str:
    return repr(raw[:80])[1:]
