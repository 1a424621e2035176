"""The port that the Redis store and clock talk through, and what passes through it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple, Protocol

from armature_cache.errors import (
    AuthenticationFailed,
    BackendError,
    BackendTimeout,
    BackendUnavailable,
    ConfigError,
    StaleTopology,
)

try:
    from redis import exceptions as redis_errors
except ImportError:
    raise ConfigError(
        "Redis support needs redis-py: pip install 'armature-cache[redis]'", field="url"
    ) from None

_pack: Any
try:
    from hiredis import pack_command as _pack
except ImportError:
    _pack = None

_LARGE: Final = 16_384
Argument = bytes | str | int
Command = tuple[Argument, ...]

RUN_ID: Final = "<run_id>"
"""Stands for the run_id of the server at the other end of whichever connection is used."""

_SCRIPTS: dict[str, str] = {}


class Script:
    """A Lua script, called by its digest and sent whole only where the server lacks it.

    With `when_full` it runs on a server that has no memory left, too.
    """

    def __init__(self, text: str, *, when_full: bool = False) -> None:
        text = f"#!lua flags=allow-oom\n{text}" if when_full else text
        self.sha: Final = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        _SCRIPTS[self.sha] = text

    def __call__(self, keys: Sequence[Argument], *arguments: Argument) -> Command:
        """The command that runs the script."""
        return ("EVALSHA", self.sha, len(keys), *keys, *arguments)


def placed(commands: Sequence[Command], run_id: str) -> list[Command]:
    """The commands, with the run_id where a script's first argument asks for it."""
    return [
        (*command[: 3 + int(command[2])], run_id, *command[4 + int(command[2]) :])
        if command[0] in {"EVALSHA", "EVAL"} and command[3 + int(command[2])] is RUN_ID
        else command
        for command in commands
    ]


def taught(commands: Sequence[Command]) -> list[Command]:
    """The same script calls, of which the first of each script carries its text."""
    known: set[Argument] = set()
    calls = []
    for command in commands:
        calls.append(command if command[1] in known else whole(command))
        known.add(command[1])
    return calls


def whole(command: Command) -> Command:
    """The same script call, carrying its text; another command as it is."""
    if command[0] != "EVALSHA":
        return command
    return ("EVAL", _SCRIPTS[str(command[1])], *command[2:])


PACE: Final = 100
"""Replies of a pipeline for which a server has the time of one operation."""
_PAGE: Final = 500
"""Commands of a pipeline that are sent together at the most."""
_PAGE_BYTES: Final = 4 * 1024 * 1024
"""Bytes of arguments that are, unless a single command has more."""


def paged(commands: Sequence[Command]) -> Iterator[Sequence[Command]]:
    """A pipeline in parts, each to be answered before the next is sent.

    A server reads what is sent no faster than it runs it: all at once would have to be taken in the
    time of one operation.
    """
    start = size = 0
    for at, command in enumerate(commands):
        own = sum(len(argument) for argument in command if argument.__class__ is bytes)
        if at - start == _PAGE or (size + own > _PAGE_BYTES and at > start):
            yield commands[start:at]
            start, size = at, 0
        size += own
    yield commands[start:]


class Answer(NamedTuple):
    """The replies to one pipeline, and where and when they come from.

    A command that the server refused has its error as its reply. `run_id` is that of the server
    that answered the first command, `runs` those of all that answered. `sent_at` is when the
    pipeline was sent, `received_at` when the last reply was there, in seconds of the port's time
    source.
    """

    replies: list[Any]
    run_id: str
    sent_at: float
    received_at: float
    runs: frozenset[str]


class Port(Protocol):
    """Sends pipelines to one server."""

    backend: str
    """The server's address, without secrets."""
    closed: bool

    async def send(self, commands: Sequence[Command], *, retry: bool = True) -> Answer:
        """Send a pipeline on one connection and return its replies.

        A lost connection is tried once more with a new one unless `retry` is false; a timeout
        is not. Raises `BackendError`.
        """
        ...

    async def runs(self) -> frozenset[str]:
        """The run_ids of all primaries, where there are several; empty for a single one."""
        ...

    async def aclose(self) -> None:
        """Close every connection of this port."""
        ...


def packed(connection: Any, commands: Sequence[Command]) -> list[bytes]:
    """The bytes of a pipeline; by hiredis where it is there, in a tenth of the time.

    Large arguments are better left to redis-py, which does not copy them.
    """
    if _pack is None or any(_has_large(command) for command in commands):
        chunks: list[bytes] = connection.pack_commands(commands)
        return chunks
    return list(map(_pack, commands))


def _has_large(command: Command) -> bool:
    return any(argument.__class__ is bytes and len(argument) > _LARGE for argument in command)


def lacking(commands: Sequence[Command], replies: list[Any]) -> list[int]:
    """Which commands were refused because the server does not know their script."""
    return [
        place
        for place, reply in enumerate(replies)
        if isinstance(reply, redis_errors.NoScriptError) and commands[place][0] == "EVALSHA"
    ]


def demoted(replies: list[Any]) -> bool:
    """Whether a replica answered: the address may lead to its primary by now."""
    return any(isinstance(reply, redis_errors.ReadOnlyError) for reply in replies)


def checked(answer: Answer, backend: str) -> list[Any]:
    """The replies, or the first error among them, translated."""
    for reply in answer.replies:
        if isinstance(reply, Exception):
            raise translate(reply, backend) from reply
    return answer.replies


def translate(error: BaseException, backend: str) -> BackendError:
    """The error of this library for one of redis-py or the socket."""
    text = str(error).partition(" : <")[0]  # without what redis-py's sentinels look like
    if _is_of_tls(text, backend):
        return BackendUnavailable(f"{backend} {_TLS_ADVICE}: {text}", backend=backend)
    for kinds, starts, kind, advice in _TRANSLATIONS:
        if isinstance(error, kinds) or text.startswith(starts):
            return kind(f"{backend} {advice}: {text}", backend=backend)
    return BackendUnavailable(f"{backend} answered: {text}", backend=backend)


def _is_of_tls(text: str, backend: str) -> bool:
    """redis-py tells of it in words alone."""
    files = "No such file" in text or "Permission denied" in text
    return "[SSL" in text or (files and backend.startswith("rediss"))


_TLS_ADVICE: Final = (
    "failed at TLS; check ssl_ca_certs, ssl_certfile and ssl_keyfile, and the names in the "
    "server's certificate"
)
_TRANSLATIONS: Final[
    tuple[tuple[tuple[type[BaseException], ...], tuple[str, ...], type[BackendError], str], ...]
] = (
    (
        (redis_errors.AuthenticationError, redis_errors.NoPermissionError),
        (
            "WRONGPASS",
            "NOAUTH",
            "NOPERM",
            "invalid username-password",
            "ACL failure in script",
            "The user executing the script",
        ),
        AuthenticationFailed,
        "refused the user, the password, or a right; check the url and the ACL",
    ),
    (
        (redis_errors.TimeoutError, TimeoutError),
        (),
        BackendTimeout,
        "did not answer in time; look at its load, or raise operation_timeout",
    ),
    (
        (redis_errors.AskError,),  # MovedError is one
        ("CROSSSLOT",),
        StaleTopology,
        "is a node of a cluster; use redis+cluster:// in the url",
    ),
    (
        (),
        ("No master found",),
        BackendUnavailable,
        "knows no primary of that name; check it and the sentinels, or wait for a failover",
    ),
    (
        (),
        ("unknown command 'SENTINEL'",),
        BackendUnavailable,
        "is no sentinel; name the sentinels, or use redis:// for the data server",
    ),
    (
        (),
        ("unknown command 'EVALSHA'",),
        BackendUnavailable,
        "runs no scripts; if it is a sentinel, use redis+sentinel://host:port/service",
    ),
    (
        (redis_errors.ReadOnlyError,),
        ("NOREPLICAS", "READONLY"),
        StaleTopology,
        "is not a primary that accepts writes; point the url at the primary",
    ),
    (
        (redis_errors.OutOfMemoryError,),
        ("OOM",),
        BackendUnavailable,
        "is out of memory; raise maxmemory, or set a volatile-* eviction policy",
    ),
    (
        (redis_errors.ConnectionError, OSError),
        (),
        BackendUnavailable,
        "cannot be reached; check that the server runs and that the url is right",
    ),
)


def run_id_of(info: bytes | str) -> str:
    """The run_id in the answer to `INFO server`."""
    text = info.decode() if isinstance(info, bytes) else info
    for line in text.splitlines():
        if line.startswith("run_id:"):
            return line[7:].strip()
    return "unknown"
