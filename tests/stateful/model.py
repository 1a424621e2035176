"""What a cache should hold, written down as plainly as possible.

One clock: every change that can make an entry invalid has a number `n`, and so has every entry.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import Final, NamedTuple

LEASE_LIFE: Final = 30.0
MAX_LOAD_TIME: Final = 60.0
_NEVER_HERE: Final = 1e12
"""On a server entries live by the time of the server, which no test waits for."""


class Moment(NamedTuple):
    """What was known when a value was read."""

    epoch: int
    n: int
    at: float


@dataclasses.dataclass
class Item:
    """A stored value."""

    value: object
    tags: frozenset[str]
    epoch: int
    n: int
    dead_at: float
    counter: bool = False


class Model:
    """Paths and tags are written out in full: a namespace is a prefix and a tag of its own.

    `shared` is a model of a store on a server: there counters change in place, and `expire` counts
    as a change.
    """

    def __init__(self, *, shared: bool) -> None:
        self.shared = shared
        self.now = 1000.0
        self.epoch = 1
        self.n = 1
        self.items: dict[str, Item] = {}
        self._keys: dict[str, int] = {}
        self._tags: dict[str, int] = {}
        self._soft: dict[str, list[tuple[int, float]]] = {}

    def moment(self) -> Moment:
        """What is known now."""
        return Moment(self.epoch, self.n, self.now)

    def alive(self, path: str) -> Item | None:
        """The valid entry that is not stale."""
        item = self.valid(path)
        return None if item is None or self._softened(item) else item

    def _softened(self, item: Item) -> list[float]:
        """When tags of an entry were invalidated softly since it was stored."""
        return [at for tag in item.tags for n, at in self._soft.get(tag, ()) if n > item.n]

    def fallbacks(self, path: str, grace: float, nothing: object) -> list[object]:
        """What a load that fails may be answered with, when there is nothing fresh.

        The grace begins with the latest soft invalidation, unless the entry was seen stale before.
        """
        item = self.valid(path)
        moments = self._softened(item) if item is not None else []
        if item is None or not moments or (not self.shared and self.now - max(moments) > grace):
            return [nothing]
        if self.shared or self.now - min(moments) <= grace:
            return [item.value] if not self.shared else [item.value, nothing]
        return [item.value, nothing]

    def valid(self, path: str) -> Item | None:
        """The entry, unless something has made it invalid."""
        item = self.items.get(path)
        if item is None or item.epoch != self.epoch or self.now >= item.dead_at:
            return None
        newest = max((self._tags.get(tag, 0) for tag in item.tags), default=0)
        return item if max(newest, self._keys.get(path, 0)) <= item.n else None

    def paths(self) -> set[str]:
        """Where there are valid entries."""
        return {path for path in self.items if self.alive(path) is not None}

    def end(self, ttl: float | None) -> float:
        """When an entry dies that is stored now."""
        return math.inf if ttl is None else self.now + (_NEVER_HERE if self.shared else ttl)

    def _newest(self, tag: str) -> int:
        """The last invalidation of a tag, hard or soft."""
        return max(self._tags.get(tag, 0), *(n for n, _ in self._soft.get(tag, [(0, 0.0)])))

    # -- changes -----------------------------------------------------------------------------

    def _bump(self, path: str) -> None:
        self.n += 1
        self._keys[path] = self.n

    def put(
        self,
        path: str,
        value: object,
        tags: Iterable[str],
        dead_at: float,
        *,
        counter: bool = False,
    ) -> None:
        """Store a value that is current now."""
        self._bump(path)
        self.items[path] = Item(value, frozenset(tags), self.epoch, self.n, dead_at, counter)

    def fill(
        self, path: str, value: object, tags: Iterable[str], dead_at: float, since: Moment
    ) -> None:
        """Store a value that was read at a moment, if nothing newer is known."""
        item = self.items.get(path)
        gone = item is None or self.now >= item.dead_at
        if since.epoch != self.epoch or self.now - since.at > MAX_LOAD_TIME:
            return
        if self._keys.get(path, 0) > since.n or (item and not gone and item.n > since.n):
            return
        fresh = Item(value, frozenset(tags), self.epoch, since.n, dead_at)
        if self.shared or max((self._tags.get(tag, 0) for tag in fresh.tags), default=0) <= since.n:
            self.items[path] = fresh

    def offer(
        self, path: str, value: object, tags: Iterable[str], dead_at: float, lease: Moment
    ) -> None:
        """Store a value after a miss, if nothing has happened to its key and tags since.

        Else it is gone, unless somebody who had missed it, too, has stored the same.
        """
        tags = list(tags)
        item = self.items.get(path)
        newest = max((self._newest(tag) for tag in tags), default=0)
        newest = max(newest, self._keys.get(path, 0))
        if item is not None and self.now < item.dead_at and item.epoch == self.epoch:
            newest = max(newest, item.n)
        if self.now - lease.at >= LEASE_LIFE or (lease.epoch == self.epoch and newest <= lease.n):
            self.put(path, value, tags, dead_at)
        elif not self._agrees(path, Item(value, frozenset(tags), self.epoch, lease.n, dead_at)):
            self.delete(path)

    def _agrees(self, path: str, offered: Item) -> bool:
        item = self.alive(path)
        if item is None or type(item.value) is not type(offered.value):
            return False
        if (item.value, item.tags) != (offered.value, offered.tags):
            return False
        ends_alike = math.isinf(item.dead_at) == math.isinf(offered.dead_at)
        return not self.shared or (item.n > offered.n and ends_alike and not item.counter)

    def delete(self, path: str) -> bool:
        """Whether there was something."""
        had = self.alive(path) is not None
        self._bump(path)
        self.items.pop(path, None)
        return had

    def invalidate(self, tags: Iterable[str]) -> None:
        """Everything with one of these tags is dead."""
        self.n += 1
        self._tags.update(dict.fromkeys(tags, self.n))

    def soften(self, tag: str) -> None:
        """Everything with this tag is stale from now on."""
        self.n += 1
        self._soft.setdefault(tag, []).append((self.n, self.now))

    def clear(self) -> None:
        """Everything is dead."""
        self.n += 1
        self.epoch += 1

    def expire(self, path: str, dead_at: float) -> bool:
        """A new lifetime for what is there."""
        item = self.alive(path)
        if item is None:
            return False
        if self.shared:
            self.put(path, item.value, item.tags, dead_at, counter=item.counter)
        else:
            item.dead_at = dead_at
        return True

    def increment(self, path: str, delta: int, tags: Iterable[str], dead_at: float) -> int | None:
        """The sum; None where there is no integer."""
        item = self.alive(path)
        if item is None:
            self.put(path, delta, tags, dead_at, counter=True)
            return delta
        if not isinstance(item.value, int):
            return None
        if self.shared and item.counter:
            item.value += delta
        else:
            self.put(path, item.value + delta, item.tags, item.dead_at, counter=True)
        return int(self.items[path].value)  # type: ignore[call-overload,no-any-return]
