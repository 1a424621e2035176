"""TCP proxies between workers and servers, in a process of their own: delays, holes and cuts.

A proxy that is closed or in a hole keeps what was sent; it arrives when the hole ends, also when
the sender has hung up meanwhile, as on a real network.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from multiprocessing.connection import Connection
from typing import Any, Final, NamedTuple

HOST: Final = "127.0.0.1"
_CHUNK: Final = 65_536


class Rule(NamedTuple):
    """How one proxy treats what passes.

    `delay` is in seconds; `up` and `down` say whether anything passes that way. Messages to
    subscribers are delayed by `hint_delay` more, and lost without `hints`.
    """

    delay: float = 0.0
    up: bool = True
    down: bool = True
    hints: bool = True
    hint_delay: float = 0.0


class Order(NamedTuple):
    """Change the rule of a proxy; `cut` closes its connections."""

    proxy: int
    rule: Rule
    cut: bool = False


class Proxy:
    """One listening port whose connections lead to one server."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self.rule = Rule()
        self._changed = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self) -> int:
        """Open the port; its number."""
        self._server = await asyncio.start_server(self._accept, HOST, 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def obey(self, order: Order) -> None:
        """Change the rule from now on."""
        self.rule = order.rule
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        if order.cut:
            for writer in self._writers:
                writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            there = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            self._writers.discard(writer)
            return
        self._writers.add(there[1])
        subscribed = asyncio.Event()
        for source, sink, up in ((reader, there[1], True), (there[0], writer, False)):
            task = asyncio.create_task(self._pump(source, sink, subscribed, up=up))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        subscribed: asyncio.Event,
        *,
        up: bool,
    ) -> None:
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def read() -> None:
            data = b"-"
            while data:
                try:
                    data = await source.read(_CHUNK)
                except OSError:
                    data = b""
                queue.put_nowait((loop.time(), data))

        reading = asyncio.create_task(read())
        try:
            with contextlib.suppress(OSError):
                while (item := await queue.get())[1]:
                    since, data = item
                    if up and b"SUBSCRIBE" in data:
                        subscribed.set()
                    hint = subscribed.is_set() and not up and b"message" in data
                    await self._hold(since, up=up, hint=hint)
                    if hint and not self.rule.hints:
                        continue
                    sink.write(data)
                    await sink.drain()
        finally:
            reading.cancel()
            self._writers.discard(sink)
            sink.close()

    async def _hold(self, since: float, *, up: bool, hint: bool) -> None:
        loop = asyncio.get_running_loop()
        while True:
            changed, rule = self._changed, self.rule
            delay = rule.delay + (rule.hint_delay if hint else 0.0)
            left = since + delay - loop.time()
            is_open = rule.up if up else rule.down
            if is_open and left <= 0:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left if is_open else None):
                    await changed.wait()


async def _serve(pipe: Connection[Any, Any], targets: list[tuple[str, int]]) -> None:
    proxies = [Proxy(target) for target in targets]
    pipe.send([await proxy.listen() for proxy in proxies])
    ended = asyncio.Event()

    def receive() -> None:
        try:
            order = pipe.recv()
        except (EOFError, OSError):
            asyncio.get_running_loop().remove_reader(pipe.fileno())
            ended.set()
            return
        if isinstance(order, Order):
            proxies[order.proxy].obey(order)

    asyncio.get_running_loop().add_reader(pipe.fileno(), receive)
    await ended.wait()


def main(pipe: Connection[Any, Any], targets: list[tuple[str, int]]) -> None:
    """The process: it sends the ports, then takes orders until its owner hangs up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(pipe, targets))
