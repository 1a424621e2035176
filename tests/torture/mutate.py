"""Deliberate mistakes, patched into the library of the workers: the checker must see each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from armature_cache._time import boottime as now
from armature_cache.clocks import redis as clocks_redis
from armature_cache.clocks.redis import RedisClock
from armature_cache.clocks.redis_sync import RedisSync
from armature_cache.clocks.replica import Replica
from armature_cache.clocks.server_replica import ServerReplica
from armature_cache.entry import Entry
from armature_cache.redisio import scripts
from armature_cache.redisio.aio import AsyncPort
from armature_cache.redisio.blocking import BlockingPort
from armature_cache.redisio.port import Script
from armature_cache.stores.joining import Passenger
from armature_cache.stores.memory import InMemoryCache
from armature_cache.stores.single import SingleMethods
from tests.torture import memcached


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
    asks = "string.match(s.info, 'run_id:(%w+)') or 'unknown'"

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


def _forget_failures() -> None:
    """Neither dead here at once, nor sent again."""
    replica: Any = ServerReplica
    replica.hold = lambda self, tags, keys, now: []
    replica.owe = lambda self, job: None


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


def _merge_only_own() -> None:
    """Take in nothing but the new sequence after an invalidation of one's own."""
    module: Any = clocks_redis
    read = module.read_bump
    module.read_bump = lambda reply: read(reply)._replace(tags={}, keys={})


def _trust_from_reply() -> None:
    replica: Any = ServerReplica
    merge = replica.merge

    def late(self: Any, delta: Any, synced_at: float | None) -> Any:
        return merge(self, delta, synced_at and now())

    replica.merge = late


def _join_old_sync() -> None:
    sync: Any = RedisSync
    join = sync._join_sync

    async def once(self: Any, *, alone: bool) -> None:
        if not alone or not self._syncs:
            await join(self, alone=alone)

    sync._join_sync = once


def _swapped_by_key() -> None:
    replica: Any = Replica
    judge = replica.judge

    def by_key(self: Any, *args: Any, swapped: bool = False, **options: Any) -> Any:
        return judge(self, *args, **options)

    replica.judge = by_key


def _soft_is_nothing() -> None:
    replica: Any = Replica
    replica._soft_moments = lambda self, tags, asof: iter(())


def _soft_is_forever() -> None:
    entry: Any = Entry
    entry.stale_for = lambda self, now: 0.0


def _wait_for_nobody() -> None:
    clock: Any = RedisClock

    async def settle(self: Any) -> None:
        return None

    clock.settle = settle


class Mutation(NamedTuple):
    """A mistake, and the faults or the topology that bring it to light, where not any do."""

    make: Callable[[], None]
    faults: str = "all"
    topology: str = "standalone"
    memcached: bool = False
    """Whether it is one of the store on Memcached; the others are of the store on Redis."""


MUTATIONS: dict[str, Mutation] = {
    "asof-at-write": Mutation(_asof_at_write),
    "ignore-key-clock": Mutation(_ignore_key_clock),
    "trust-forever": Mutation(_trust_forever, "lose hints; kill subscribers"),
    "no-run-id": Mutation(_no_run_id, "restart from snapshot, a stranger first"),
    "join-any": Mutation(_join_any),
    "forget-failures": Mutation(_forget_failures, "partition; lose replies"),
    "deaf-to-tags": Mutation(_deaf_to_tags),
    "count-twice": Mutation(_count_twice, "lose replies; cut; kill connections"),
    "no-strong": Mutation(_no_strong),
    "merge-only-own": Mutation(_merge_only_own),
    "trust-from-reply": Mutation(_trust_from_reply, "delay"),
    "join-old-sync": Mutation(_join_old_sync, "delay"),
    "soft-is-nothing": Mutation(_soft_is_nothing),
    "soft-is-forever": Mutation(_soft_is_forever),
    "wait-for-nobody": Mutation(_wait_for_nobody, "lose hints; delay hints"),
    "swapped-by-key": Mutation(_swapped_by_key, "none", "cluster"),
    **{name: Mutation(make, memcached=True) for name, make in memcached.MUTATIONS.items()},
}


def mutate(name: str | None) -> None:
    """Make one mistake in this process."""
    if name is not None:
        MUTATIONS[name].make()
