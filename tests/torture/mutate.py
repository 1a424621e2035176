"""Deliberate mistakes, patched into the library of the workers: the checker must see each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from armature_cache.clocks.redis import RedisClock
from armature_cache.clocks.replica import Replica
from armature_cache.redisio import scripts
from armature_cache.redisio.aio import AsyncPort
from armature_cache.redisio.blocking import BlockingPort
from armature_cache.redisio.port import Script
from armature_cache.stores.joining import Passenger
from armature_cache.stores.memory import InMemoryCache
from armature_cache.stores.single import SingleMethods


def _asof_at_write() -> None:
    methods: Any = SingleMethods
    store = methods._store

    async def late(self: Any, drafts: Sequence[Any]) -> None:
        for draft in drafts:
            if draft.stamp is not None:
                draft.stamp = self.clock.replica.stamp()
        await store(self, drafts)

    methods._store = late


def _ignore_key_clock() -> None:
    replica: Any = Replica
    replica._key_bumped = lambda self, key, asof, pending: False


def _trust_forever() -> None:
    clock: Any = RedisClock
    memory: Any = InMemoryCache
    adopt = memory.adopt
    clock.trusted = lambda self, bound: bool(self.replica.epoch)
    memory.adopt = lambda self, clock, bound: adopt(self, clock, float("inf"))


def _no_run_id() -> None:
    asks = "string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') or 'unknown'"

    async def later(self: Any, connection: Any, *rest: Any) -> str:
        return "same"

    library: Any = scripts
    prior = scripts.SYNC
    text = Script.__init__.__globals__["_SCRIPTS"][prior.sha]
    assert asks in text
    library.SYNC = Script(text.replace(asks, "'same'"))
    aio: Any = AsyncPort
    blocking: Any = BlockingPort
    aio._run_id = later
    blocking._run_id = lambda self, connection, *rest: "same"


def _join_any() -> None:
    passenger: Any = Passenger
    passenger.may_join = passenger.may_have = lambda self, flight: True


def _no_pending() -> None:
    replica: Any = Replica
    replica.hold = lambda self, tags, keys: []


def _deaf_to_tags() -> None:
    replica: Any = Replica
    merge = replica.merge

    def deaf(self: Any, delta: Any, synced_at: float | None) -> Any:
        return merge(self, delta._replace(tags={}), synced_at)

    replica.merge = deaf


def _count_twice() -> None:
    for port, name in ((BlockingPort, "send_now"), (AsyncPort, "send")):
        _always_retry(port, name)


def _always_retry(port: Any, name: str) -> None:
    send = getattr(port, name)

    def again(self: Any, commands: Any, *, retry: bool = True) -> Any:
        return send(self, commands)

    setattr(port, name, again)


def _no_strong() -> None:
    clock: Any = RedisClock
    ensure, read = clock.ensure, clock.read

    async def lazy(self: Any, bound: float, *, strong: bool = False) -> None:
        await ensure(self, bound)

    async def lazily(self: Any, commands: Any, bound: float, *, strong: bool) -> Any:
        return await read(self, commands, bound, strong=False)

    clock.ensure, clock.read = lazy, lazily


MUTATIONS: dict[str, Callable[[], None]] = {
    "asof-at-write": _asof_at_write,
    "ignore-key-clock": _ignore_key_clock,
    "trust-forever": _trust_forever,
    "no-run-id": _no_run_id,
    "join-any": _join_any,
    "no-pending": _no_pending,
    "deaf-to-tags": _deaf_to_tags,
    "count-twice": _count_twice,
    "no-strong": _no_strong,
}


def mutate(name: str | None) -> None:
    """Make one mistake in this process."""
    if name is not None:
        MUTATIONS[name]()
