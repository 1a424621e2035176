"""Reference policies, in the plainest form: each takes keys and a capacity and returns the hits.

SIEVE: Y. Zhang et al., NSDI 2024. S3-FIFO: J. Yang et al., SOSP 2023, with the defaults of
libCacheSim (small queue of 10 %, ghosts of 90 %, promotion at the second visit, three lives).
The optimum: L. A. Belady, "A Study of Replacement Algorithms", 1966.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict, deque
from collections.abc import Sequence


def lru(keys: Sequence[str], capacity: int) -> int:
    cache: OrderedDict[str, None] = OrderedDict()
    hits = 0
    for key in keys:
        if key in cache:
            hits += 1
            cache.move_to_end(key)
        else:
            if len(cache) == capacity:
                cache.popitem(last=False)
            cache[key] = None
    return hits


def lfu(keys: Sequence[str], capacity: int) -> int:
    counts: dict[str, int] = {}
    heap: list[tuple[int, int, str]] = []
    hits = 0
    for time, key in enumerate(keys):
        if key in counts:
            hits += 1
            counts[key] += 1
            continue
        while len(counts) == capacity:
            count, added, oldest = heapq.heappop(heap)
            if counts[oldest] == count:
                del counts[oldest]
            else:
                heapq.heappush(heap, (counts[oldest], added, oldest))
        counts[key] = 1
        heapq.heappush(heap, (1, time, key))
    return hits


def sieve(keys: Sequence[str], capacity: int) -> int:
    visited: dict[str, bool] = {}
    newer: dict[str, str | None] = {}
    older: dict[str, str | None] = {}
    head: str | None = None
    tail: str | None = None
    hand: str | None = None
    hits = 0
    for key in keys:
        if key in visited:
            hits += 1
            visited[key] = True
            continue
        if len(visited) == capacity:
            victim = hand or tail
            while victim is not None and visited[victim]:
                visited[victim] = False
                victim = newer[victim] or tail
            assert victim is not None
            after, before = newer.pop(victim), older.pop(victim)
            del visited[victim]
            hand = after
            if after is None:
                head = before
            else:
                older[after] = before
            if before is None:
                tail = after
            else:
                newer[before] = after
        visited[key] = False
        newer[key], older[key] = None, head
        if head is None:
            tail = key
        else:
            newer[head] = key
        head = key
    return hits


def s3fifo(keys: Sequence[str], capacity: int) -> int:
    small: deque[str] = deque()
    main: deque[str] = deque()
    ghosts: OrderedDict[str, None] = OrderedDict()
    visits: dict[str, int] = {}
    share = max(1, capacity // 10)
    hits = 0
    for key in keys:
        if key in visits:
            hits += 1
            visits[key] = min(visits[key] + 1, 3)
            continue
        returns = key in ghosts
        if returns:
            del ghosts[key]
        while len(visits) >= capacity:
            if len(small) >= share or not main:
                oldest = small.popleft()
                if visits[oldest] > 1:
                    visits[oldest] = 0
                    main.append(oldest)
                else:
                    del visits[oldest]
                    ghosts[oldest] = None
                    if len(ghosts) > capacity - share:
                        ghosts.popitem(last=False)
            else:
                oldest = main.popleft()
                if visits[oldest]:
                    visits[oldest] -= 1
                    main.append(oldest)
                else:
                    del visits[oldest]
        visits[key] = 0
        (main if returns else small).append(key)
    return hits


def optimum(keys: Sequence[str], capacity: int) -> int:
    never = len(keys)
    upcoming = [never] * never
    latest: dict[str, int] = {}
    for time in range(never - 1, -1, -1):
        upcoming[time] = latest.get(keys[time], never)
        latest[keys[time]] = time
    due: dict[str, int] = {}
    heap: list[tuple[int, str]] = []
    hits = 0
    for time, key in enumerate(keys):
        if key in due:
            hits += 1
        elif len(due) == capacity:
            furthest = -1
            while furthest < 0:
                when, victim = heapq.heappop(heap)
                if due.get(victim) == -when:
                    del due[victim]
                    furthest = -when
        due[key] = upcoming[time]
        heapq.heappush(heap, (-upcoming[time], key))
    return hits


REFERENCES = {"LRU": lru, "SIEVE": sieve, "S3-FIFO": s3fifo, "LFU": lfu}
