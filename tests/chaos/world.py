"""A source, caches over a chaotic L2, and callers; and what must hold of what they got.

The source has a version of each key, which every change raises. A value says its key, its version,
and when it was read from the source. What was invalidated must not be returned to anybody who asks
afterwards, whatever goes wrong, nothing may be returned for longer than the policy says, and
nothing may be left when all have gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import math
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final, NamedTuple

from armature_cache import (
    BackendError,
    InMemoryCache,
    InvalidationError,
    LoadTimeout,
    PartialLoadError,
    TaggedCache,
    TieredCache,
    TieredCacheConfig,
)
from armature_cache._time import TimeSource
from armature_cache.testing import Chaos, ChaosCache, Garbage
from tests.chaos.programs import KEYS, POLICIES, TTLS, WINDOWS, Act, Load, Program
from tests.contract.faces import DEADLINE, Face, drive

SLACK: Final = 0.5
"""Seconds that loads and what goes wrong may add to the age of a value, in virtual time."""

Wait = Callable[[float], Awaitable[None]]


class Boom(Exception):
    """What a failing source raises."""


class Value(NamedTuple):
    key: str
    version: int
    read_at: float


class Softened(NamedTuple):
    """A soft invalidation: everything below this version is stale since then."""

    version: int
    at: float


class Asked(NamedTuple):
    """What a caller may get: no version below `least`, nothing read before `since`."""

    least: int
    since: float


class World:
    """Caches over one L2, and the source of their values; `wait` lets seconds pass."""

    def __init__(self, program: Program, time: TimeSource, wait: Wait, *, blocking: bool) -> None:
        self.program = program
        self.time = time
        self._wait = wait
        self._blocking = blocking
        self.chaos = _chaos(program)
        self.l2 = InMemoryCache(time=time)
        far = ChaosCache(self.l2, self.chaos)
        config = TieredCacheConfig(breaker_pause=0.05, **program.tiers)
        self.cores = [
            TaggedCache(TieredCache(InMemoryCache(time=time), far, config))
            for _ in range(program.caches)
        ]
        self.faces = [Face(core.sync() if blocking else core) for core in self.cores]
        self.versions = dict.fromkeys(KEYS, 0)
        self._dead = dict.fromkeys(KEYS, 0)
        self._soft: dict[str, list[Softened]] = {key: [] for key in KEYS}
        self._at_work: list[str] = []
        self._setting: list[str] = []
        self._lock = threading.Lock()
        self.loading: list[str] = []
        self.problems: list[str] = []

    # -- the source --------------------------------------------------------------------------

    async def load(self, act: Act, load: Load, key: str, *, inner: bool = False) -> Value:
        """What a loader does."""
        self.loading.append(key)
        try:
            value = Value(key, self.versions[key], self.time())
            if not inner:
                await self._meanwhile(act, load.inner, key)
            if load.ms:
                await self._wait(load.ms / 1000)
            if load.fails:
                raise Boom
            return value
        finally:
            self.loading.remove(key)

    async def _meanwhile(self, act: Act, what: str, key: str) -> None:
        if what == "invalidate":
            with contextlib.suppress(BackendError, InvalidationError):
                await self._invalidate(act, key, soft=False)
        elif what in {"own", "other"}:
            wanted = key if what == "own" else KEYS[(KEYS.index(key) + 1) % len(KEYS)]
            easy = dataclasses.replace(act, key=wanted, what="get_or_set", load=Load(1, False, ""))
            await self._get_or_set(easy, inner=True)

    # -- what callers do ---------------------------------------------------------------------

    def cache(self, act: Act) -> Face:
        return self.faces[act.who % len(self.faces)]

    async def do(self, act: Act) -> None:
        """Do what a caller does, and check what he gets."""
        what = act.what
        if what in {"delete", "set"} and len(self.faces) > 1:
            what = "invalidate"  # two L1s over one L2 in memory hear of tags alone
        try:
            if what in {"invalidate", "soften"}:
                await self._invalidate(act, act.key, soft=what == "soften")
            else:
                await getattr(self, f"_{what}")(act)
        except Exception as error:  # noqa: BLE001 - judged here
            self._check_error(act, error)

    async def _get_or_set(self, act: Act, *, inner: bool = False) -> None:
        cache, asked = self.cache(act), self.asks(act, act.key)

        async def load() -> Value:
            return await self.load(act, act.load, act.key, inner=inner)

        value = await cache.get_or_set(act.key, cache.loader(load), **self._options(act, act.key))
        self._check(act, asked, value, act.key)

    async def _get_or_set_many(self, act: Act) -> None:
        cache = self.cache(act)
        asked = {key: self.asks(act, key) for key in KEYS}

        async def load(keys: list[str]) -> dict[str, Value]:
            return {key: await self.load(act, act.load, key) for key in keys}

        values = await cache.get_or_set_many(
            KEYS, cache.loader(load), ttl=TTLS["a"], tags=lambda key: [f"tag-{key}", "all"],
            **POLICIES[act.policy],
        )  # fmt: skip
        for key, value in values.items():
            self._check(act, asked[key], value, key)

    async def _refresh(self, act: Act) -> None:
        cache = self.cache(act)
        asked = Asked(self.versions[act.key], self.time())

        async def load() -> Value:
            return await self.load(act, act.load, act.key)

        value = await cache.refresh(act.key, cache.loader(load), **self._options(act, act.key))
        self._check(act, asked, value, act.key)

    async def _get(self, act: Act) -> None:
        plain = dataclasses.replace(act, policy=0)
        asked = self.asks(plain, act.key)
        self._check(plain, asked, await self.cache(act).get(act.key), act.key)

    def _options(self, act: Act, key: str) -> dict[str, Any]:
        return {"ttl": TTLS[key], "tags": [f"tag-{key}", "all"], **POLICIES[act.policy]}

    # -- changes -----------------------------------------------------------------------------

    @contextlib.contextmanager
    def _changing(self, *keys: str, alone: bool = False) -> Iterator[dict[str, int]]:
        """New versions of keys, which are in no cache yet; of none, where somebody is in the way.

        A `set` says that its value is current when it arrives, so it has to be `alone`.
        """
        with self._lock:
            free = not any(key in self._setting or (alone and key in self._at_work) for key in keys)
            versions = {key: self.versions[key] + 1 for key in keys} if free else {}
            self.versions.update(versions)
            self._at_work += list(versions)
            self._setting += list(versions) if alone else []
        try:
            yield versions
        finally:
            with self._lock:
                for key in versions:
                    self._at_work.remove(key)
                    if alone:
                        self._setting.remove(key)

    def _is_dead(self, versions: dict[str, int]) -> None:
        """Whoever asks from now on gets these versions, or later ones."""
        with self._lock:
            for key, version in versions.items():
                self._dead[key] = max(self._dead[key], version)

    async def _invalidate(self, act: Act, key: str, *, soft: bool) -> None:
        with self._changing(key) as versions:
            if not versions:
                return
            if not (soft or self._blocking):
                self._is_dead(versions)  # from the start of the call; no other can run before it
            try:
                await self.cache(act).invalidate_tag(f"tag-{key}", soft=soft)
            finally:
                if soft:
                    self._soft[key].append(Softened(versions[key], self.time()))
                else:
                    self._is_dead(versions)

    async def _delete(self, act: Act) -> None:
        with self._changing(act.key) as versions:
            try:
                await self.cache(act).delete(act.key)
            finally:
                self._is_dead(versions)

    async def _set(self, act: Act) -> None:
        key = act.key
        with self._changing(key, alone=True) as versions:
            if not versions:
                return
            value = Value(key, versions[key], self.time())
            options = {"ttl": TTLS[key], "tags": [f"tag-{key}", "all"], "as_of": None}
            try:
                await self.cache(act).set(key, value, **options)
            finally:
                self._is_dead(versions)

    async def _clear(self, act: Act) -> None:
        with self._changing(*KEYS) as versions:
            if versions:
                await self.cache(act).clear()
                self._is_dead(versions)

    # -- what callers may get ----------------------------------------------------------------

    def asks(self, act: Act, key: str) -> Asked:
        """What is the least that one who asks now may get."""
        now = self.time()
        grace = max(POLICIES[act.policy].get(window, 0.0) for window in WINDOWS)
        soft = [change.version for change in list(self._soft[key]) if now - change.at >= grace]
        ttl = max(TTLS[key] or math.inf, TTLS["a"] or 0.0)
        longest = math.inf if self._blocking else ttl + grace + SLACK
        return Asked(max(self._dead[key], *soft, 0), now - longest)

    def _check(self, act: Act, asked: Asked, value: object, key: str) -> None:
        if value is None or isinstance(value, Garbage):
            return
        if not isinstance(value, Value) or value.key != key:
            self.problems.append(f"{act} got {value!r}")
        elif value.version < asked.least:
            self.problems.append(f"{act} got {value}, older than version {asked.least}")
        elif value.read_at < asked.since:
            self.problems.append(f"{act} got {value}, read before {asked.since}")

    def _check_error(self, act: Act, error: Exception) -> None:
        allowed: tuple[type[Exception], ...] = (BackendError, InvalidationError)
        if act.what == "get":
            allowed = ()
        elif act.what in {"get_or_set", "get_or_set_many", "refresh"}:
            easy = "fallback" in POLICIES[act.policy] and act.what == "get_or_set"
            allowed = () if easy else (Boom, LoadTimeout, PartialLoadError)
        if not isinstance(error, allowed):
            self.problems.append(f"{act} got {error!r}")

    # -- what is left ------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether loads or writes go on in the background."""
        return bool(self.loading or any(map(len, self._flights)))

    @property
    def _flights(self) -> list[Any]:
        stores = [*self.cores, *(getattr(face.store, "_core", face.store) for face in self.faces)]
        return list({id(each._flights): each._flights for each in stores}.values())

    async def calm(self) -> None:
        """Let nothing go wrong any more, and have a last contact with L2."""
        self.chaos.calm()
        await self.faces[0].ping()

    def leftovers(self) -> dict[str, int]:
        """What has to be nothing once all callers have gone."""
        left = {
            "flights": sum(map(len, self._flights)),
            "looks": sum(len(each._looks) for each in self._flights),
            "claims": len(self.l2._claims) if self.program.claims else 0,
            "bells": len(self.l2._bells),
            "hanging": self.chaos.hanging,
            "loading": len(self.loading),
            "held": len(self.l2.clock.replica._pending),
            "owed": self.faces[0].stats().pending_invalidations,
        }
        return {name: number for name, number in left.items() if number}


def _chaos(program: Program) -> Chaos:
    chaos = Chaos(program.seed, hang_timeout=0.04, **program.rates)
    chaos.set("fetch", "probe", "list", hang_timeout=0.02)
    if program.claims:
        chaos.set("claim", "release", fail=0.0, hang=0.0, lose=0.0)
    return chaos


async def run_tasks(program: Program, world: World) -> None:
    """Run all callers as tasks, each cancelled when its patience is over."""
    start = world.time()

    async def caller(act: Act) -> None:
        await asyncio.sleep(start + act.starts(program.span) - world.time())
        task = asyncio.ensure_future(world.do(act))
        if act.patience is None or act.patience >= 0:
            patience = None if act.patience is None else act.patience / 1000
            await asyncio.wait((task,), timeout=patience)
        else:
            for _ in range(-act.patience):
                await asyncio.sleep(0)
        cancelled = not task.done() and task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            if not cancelled:
                world.problems.append(f"{act} was cancelled by others")

    await asyncio.gather(*map(caller, program.acts))


def run_threads(program: Program, world: World) -> None:
    """Run all callers as threads."""
    start = world.time()

    def caller(act: Act) -> None:
        time.sleep(max(0.0, start + act.starts(program.span) - world.time()))
        drive(world.do(act))

    threads = [threading.Thread(target=caller, args=(act,)) for act in program.acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
        if thread.is_alive():
            world.problems.append("a thread does not end")
