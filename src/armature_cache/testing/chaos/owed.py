"""Invalidations that chaos kept from a store: dead here at once, and sent with the next contact."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from armature_cache.stores.primitives import EntryStore


class Job(NamedTuple):
    """Tags and keys that are dead in this process, by `marks` in its replica."""

    tags: tuple[str, ...]
    keys: tuple[str, ...]
    marks: list[bytes]


class Owed:
    """What a store has not been told yet; shared by the faces of one wrapper."""

    def __init__(self) -> None:
        self._jobs: list[Job] = []
        self._keys: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return sum(len(job.tags) + len(job.keys) for job in list(self._jobs))

    def is_dead(self, key: str) -> bool:
        """Whether a key is still to be deleted."""
        return self._keys[key] > 0

    def hold(self, store: EntryStore, tags: Sequence[str], keys: Sequence[str]) -> Job:
        """Let tags and keys be dead in this process, until the job is settled."""
        _, known_tags, known_keys = store._rooted(tuple(tags), tuple(keys))
        marks = store.clock.replica.hold(known_tags, known_keys, store.time())
        with self._lock:
            self._keys.update(keys)
        return Job(tuple(tags), tuple(keys), marks)

    def owe(self, job: Job) -> None:
        """Let a job be sent with the next contact."""
        with self._lock:
            self._jobs.append(job)

    def settle(self, store: EntryStore, job: Job) -> None:
        """Let a job go: the store knows."""
        store.clock.replica.drop(job.marks)
        with self._lock:
            self._keys.subtract(job.keys)
            self._keys += Counter()  # forget those that are not owed any more

    async def send(self, store: EntryStore) -> None:
        """Tell the store of all that is owed; what fails stays owed."""
        while self._jobs:
            with self._lock:
                if not self._jobs:
                    return
                job = self._jobs.pop(0)
            try:
                await store._invalidate_and_remove(job.tags, job.keys)
            except BaseException:
                self.owe(job)
                raise
            self.settle(store, job)
