"""The end of a forked worker: it kills itself in the middle of a write, as the OOM killer would."""

from __future__ import annotations

import inspect
import os
import random
import signal
from collections.abc import Sequence
from typing import Any, Final

from armature_cache.redisio import scripts
from armature_cache.redisio.aio import AsyncPort
from armature_cache.redisio.blocking import BlockingPort
from armature_cache.redisio.port import Command

_SECOND_STEPS: Final = {scripts.PLACE.sha, scripts.BURY.sha, scripts.SAME.sha}
_SCRIPTS: Final = {"EVALSHA", "EVAL"}


def doom(rng: random.Random, *, clustered: bool) -> None:
    """Let this process die at one of its next writes: before it is sent, or before the reply.

    On a Cluster it dies between the two steps of a write.
    """
    left, after = rng.randint(1, 6), rng.random() < 0.4

    def meets(commands: Sequence[Command]) -> bool:
        nonlocal left
        wanted = [
            command
            for command in commands
            if command[0] in _SCRIPTS and (not clustered or command[1] in _SECOND_STEPS)
        ]
        left -= len(wanted)
        return bool(wanted) and left <= 0

    for kind in (AsyncPort, BlockingPort):
        _patch(kind, meets, after=after and not clustered)


def _patch(kind: Any, meets: Any, *, after: bool) -> None:
    talk, send = kind._talk, "send_packed_command"

    def dying(self: Any, connection: Any, commands: Sequence[Command], *rest: Any) -> Any:
        if meets(commands):
            if not after:
                os.kill(os.getpid(), signal.SIGKILL)
            _die_when_sent(connection, send)
        return talk(self, connection, commands, *rest)

    kind._talk = dying


def _die_when_sent(connection: Any, name: str) -> None:
    sending = getattr(connection, name)

    def sent(*args: Any, **kwargs: Any) -> Any:
        done = sending(*args, **kwargs)
        if not inspect.isawaitable(done):
            os.kill(os.getpid(), signal.SIGKILL)
            return None

        async def finish() -> None:
            await done
            os.kill(os.getpid(), signal.SIGKILL)

        return finish()

    setattr(connection, name, sent)
