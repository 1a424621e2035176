"""One task or thread of a worker: it calls the cache and tells the journal what came of it."""

from __future__ import annotations

import asyncio
import dataclasses
import random
import time
import traceback
from collections.abc import Awaitable, Callable
from typing import Any, Final, Literal, NamedTuple

from armature_cache import BackendError, InvalidationError
from armature_cache._time import boottime as now
from tests.contract.faces import Face
from tests.torture.events import Claim, Closed, Closing, Commit, Read, Settled, Trouble
from tests.torture.journal import Journal
from tests.torture.space import SPACES, Truth, key_of, space_of

Said = Literal["acked", "unsent", "failed", "cancelled", "refused"]
_CANCELLED: Final = 0.02


class Outcome(NamedTuple):
    """How a call ended, and what it returned."""

    said: Said
    value: Any = None


@dataclasses.dataclass
class Hands:
    """What an operation works with."""

    cache: Face
    counts: Face
    truth: Truth
    journal: Journal
    rng: random.Random
    hints: bool
    strict: bool

    def __post_init__(self) -> None:
        inner = [self.cache.namespace(name) for name in SPACES[1:]]
        self.spaces = [self.cache, *inner]

    def place(self, obj: int) -> tuple[Face, str]:
        """Where an object is cached."""
        return self.spaces[space_of(obj)], key_of(obj)

    async def pause(self, seconds: float) -> None:
        """Wait, as this face does."""
        if self.cache.awaited:
            await asyncio.sleep(seconds)
        elif seconds:
            time.sleep(seconds)  # noqa: ASYNC251 - a thread drives this

    async def attempt(self, call: Awaitable[Any]) -> Outcome:
        """Make a call; under the async face it is sometimes cancelled."""
        limit = None
        if self.cache.awaited and self.rng.random() < _CANCELLED:
            limit = self.rng.uniform(0.0, 0.02)
        try:
            async with asyncio.timeout(limit) if limit is not None else _Nothing():
                return Outcome("acked", await call)
        except InvalidationError:
            return Outcome("unsent")
        except BackendError:
            return Outcome("failed")
        except TimeoutError:
            return Outcome("cancelled")
        except Exception:  # noqa: BLE001 - no operation may raise anything else
            self.journal.tell(Trouble, traceback.format_exc(limit=-8))
            return Outcome("failed")

    # -- the truth ---------------------------------------------------------------------------

    def commit(self, obj: int) -> int:
        """Make a new version current."""
        done = self.truth.commit(obj)
        self.journal.tell(Commit, obj, done.version, done.began)
        return done.version

    def value(self, obj: int, version: int) -> str:
        """What is cached for a version."""
        return f"{obj}:{version}"

    def load(self, obj: int) -> Callable[[], Any]:
        """A loader that reads the truth first, and is then slow."""
        slow = self._slowness()

        async def load() -> str:
            value = self.value(obj, self.truth.read(obj))
            await self.pause(slow)
            return value

        loader: Callable[[], Any] = self.cache.loader(load)
        return loader

    def _slowness(self) -> float:
        kind = self.rng.random()
        if kind < 0.6:
            return 0.0
        if kind < 0.85:
            return self.rng.uniform(0.0, 0.02)
        return self.rng.uniform(0.05, 0.3) if kind < 0.96 else self.rng.uniform(0.3, 1.2)

    # -- reads -------------------------------------------------------------------------------

    def saw(
        self, op: str, obj: int, value: Any, began: float, *, strong: bool, grace: float = 0.0
    ) -> int | None:
        """A read gave this value; the version in it."""
        version = None
        if value is not None:
            owner, _, number = str(value).partition(":")
            version = int(number)
            if int(owner) != obj or version > self.truth.read(obj):
                self.journal.tell(Trouble, f"{op} of object {obj} gave {value!r}")
        self.journal.tell(Read, op, obj, version, began, strong, self.hints, grace)
        return version

    # -- writes ------------------------------------------------------------------------------

    async def assert_current(
        self, op: str, versions: dict[int, int], call: Awaitable[Any], ttl: float
    ) -> Said:
        """A call that asserts that versions are current now."""
        token = self.journal.token()
        self.journal.tell(Claim, token, op, versions)
        outcome = await self.attempt(call)
        said = outcome.said
        if said == "acked":
            said = "refused" if outcome.value is False else "acked"
            self.journal.tell(Settled, token, said, ttl)
        else:
            self.journal.tell(Settled, token, "unknown", ttl)
        return said

    async def close(
        self, op: str, objects: tuple[int, ...], call: Awaitable[Any], reach: str = "bound"
    ) -> Said:
        """A call that makes everything older invalid. One that fails is dead here at once."""
        token = self.journal.token()
        since = self.journal.tell(Closing, token, op, objects)
        said = (await self.attempt(call)).said
        local = said in {"unsent", "cancelled"} and op != "clear"
        outcome = "acked" if said == "acked" else "unsent" if local else "unknown"
        self.journal.tell(Closed, token, since, outcome, reach)
        return said


class _Nothing:
    async def __aenter__(self) -> None:
        return None

    async def __aexit__(self, *_: object) -> None:
        return None


def began() -> float:
    """The moment at which a read begins."""
    return now()
