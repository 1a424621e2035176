"""A proxy between caches and their server that can be told to misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import enum
from typing import Final

_CHUNK: Final = 65_536


class Trouble(enum.Enum):
    """What a proxy does to its connections."""

    NONE = "none"
    SILENT = "paused"
    SLOW = "slowed to 2 s"
    GARBAGE = "answers garbage"
    REFUSING = "refuses connections"


class TroubledProxy:
    """One port whose connections lead to a server, with one trouble at a time."""

    def __init__(self, host: str, port: int) -> None:
        self._target = host, port
        self._trouble = Trouble.NONE
        self._changed = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> int:
        """Listen; the port."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def begin(self, trouble: Trouble) -> None:
        """Have this trouble from now on."""
        self._trouble = trouble
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        if trouble is Trouble.REFUSING:
            for writer in list(self._writers):
                writer.transport.abort()

    async def stop(self) -> None:
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._trouble is Trouble.REFUSING:
            writer.transport.abort()
            return
        try:
            there = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, there[1]}
        for source, sink, is_reply in ((reader, there[1], False), (there[0], writer, True)):
            task = asyncio.create_task(self._pump(source, sink, is_reply=is_reply))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, is_reply: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(_CHUNK):
                while self._trouble is Trouble.SILENT:
                    await self._changed.wait()
                if self._trouble is Trouble.SLOW and is_reply:
                    await asyncio.sleep(2)
                if self._trouble is Trouble.GARBAGE and is_reply:
                    data = bytes(byte ^ 0x55 for byte in data)
                sink.write(data)
                await sink.drain()
        self._writers.discard(sink)
        sink.close()
