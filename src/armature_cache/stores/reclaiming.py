"""Reclaiming: what was invalidated leaves the server before its lifetime ends, in the background.

To take off a dead value is what eviction may do to any value at any time, so nothing depends on
it. Tombstones stay. A value is only taken off if it is still the one that was judged.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final

from redis.exceptions import RedisError

from armature_cache import envelope
from armature_cache._runtime.background import Errands, pause
from armature_cache._runtime.ready import run_ready
from armature_cache.clocks.digest import hardly
from armature_cache.clocks.judgement import Verdict
from armature_cache.errors import BackendError, ClosedError
from armature_cache.redisio import scripts
from armature_cache.redisio.port import checked
from armature_cache.stores.redis_listing import RedisListing, decoded, pairs
from armature_cache.stores.shared_entries import PAGE

if TYPE_CHECKING:
    from armature_cache.redisio.connect import ThreadPort

logger = logging.getLogger("armature_cache")

MOST_QUEUED: Final = 1000
"""Tags that wait for it at the most; the values of further ones end with their lifetime."""
_LINGER: Final = 5.0
"""Seconds for which the thread and its connection wait for more."""
_REST: Final = 0.005
"""Seconds between two pages: readers come first."""


class Reclaimer:
    """The thread of one store that sweeps behind its invalidations."""

    def __init__(self, make: Callable[[], tuple[RedisListing, ThreadPort] | None]) -> None:
        self._make = make
        self._errands = Errands("armature-cache-reclaim", self._work, most=MOST_QUEUED)

    def want(self, tags: Iterable[str]) -> None:
        """Sweep what carries these tags. What is stale only softly is still of use."""
        self._errands.give(tag for tag in tags if hardly(tag) == tag)

    def close(self) -> None:
        """No more."""
        self._errands.close()

    def _work(self, errands: Errands) -> None:
        made = self._make()
        if made is None:
            return
        store, port = made
        try:
            while (tag := errands.next(_LINGER)) is not None:
                self._sweep_now(store, tag)
        finally:
            port.close_now()

    def _sweep_now(self, store: RedisListing, tag: str) -> None:
        try:
            run_ready(sweep(store, tag, lambda: self._errands.closed))
        except ClosedError:
            pass
        except (BackendError, RedisError, OSError) as error:
            logger.info(
                "values of a tag were not reclaimed, and end with their lifetime: %s", error
            )


async def sweep(store: RedisListing, tag: str, over: Callable[[], bool]) -> None:
    """Take off the dead values that the index of a tag lists, a page at a time."""
    indexes = store._names.indexes(tag)
    counts = await store._port.send([("ZCARD", index) for index in indexes])
    for index, count in zip(indexes, checked(counts, store._port.backend), strict=True):
        at = 0
        for _ in range(0, count, PAGE):
            if over():
                return
            at += await _sweep_page(store, index, at)
            pause(_REST)


async def _sweep_page(store: RedisListing, index: str, at: int) -> int:
    """Returns how many members of the page stay."""
    answer = await store._port.send([("ZRANGE", index, at, at + PAGE - 1, "WITHSCORES")])
    (reply,) = checked(answer, store._port.backend)
    scores = pairs(reply)
    keys = [key for key in map(decoded, scores) if key is not None]
    gone = await _take_off(store, keys)
    alive = {key.encode() for key in keys if key not in gone}
    await store._prune(index, scores, alive)
    return len(alive)


async def _take_off(store: RedisListing, keys: Sequence[str]) -> set[str]:
    """Unlink the dead values among these keys of one slot; all keys that have no value now."""
    raws = await store._raw_heads(keys)
    absent = {key for key, raw in zip(keys, raws, strict=True) if not raw}
    dead = {key: raw for key, raw in zip(keys, raws, strict=True) if _is_dead(store, key, raw)}
    if dead:
        heads = [raw[: envelope.HEADER_SIZE] for raw in dead.values()]
        command = scripts.RECLAIM([store._names.value(key) for key in dead], *heads)
        (taken,) = checked(await store._port.send([command]), store._port.backend)
        store.counters.reclaimed += int(taken)
    return absent | dead.keys()


def _is_dead(store: RedisListing, key: str, raw: bytes) -> bool:
    """Whether a value is dead for good: one of an epoch before may yet be inherited."""
    head, replica = envelope.parse_head(raw), store._replica
    if head is None or head.tombstone or (head.epoch != replica.epoch and replica.failover.replays):
        return False
    verdict = replica.judge(
        key, head.epoch, head.asof, head.tags, settled=True, swapped=head.swapped
    )
    return verdict is Verdict.DEAD
