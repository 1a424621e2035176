"""Single flight: one load for all who want the same key at the same time.

It knows neither stores nor clocks. A flight carries the stamp of its load once that has begun;
a caller joins a flight only if that stamp is new enough for what the caller may know, and takes
what it found or made only if that was judged by no less.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, Protocol, TypeVar

from armature_cache import _forking
from armature_cache.flight import Flight, being_in, inside, waiting_for

if TYPE_CHECKING:
    from armature_cache._runtime.base import Runtime, Shared, Signal
    from armature_cache.entry import Entry

T = TypeVar("T")
_Slot = tuple[int, int, str]

MOST_RESTING: Final = 10_000
"""Keys of failed loads that are remembered, at the most."""
_LONGEST_LOOK: Final = 60.0


class Outcome(NamedTuple, Generic[T]):
    """What a flight brought."""

    value: T


Outcomes = dict[str, Outcome[T] | Exception]
"""What a load of several keys brought; nothing for a key that its loader left out."""


class Batch(Generic[T]):
    """One load of several keys under way, each of which others may wait for."""

    def __init__(self) -> None:
        self.flights: dict[str, Flight[T]] = {}
        self.awaited: list[Flight[Any]] = []

    shared: Shared[Outcomes[T]]

    def add(self, path: str, tags: tuple[str, ...]) -> Flight[T]:
        """The flight of one of its keys."""
        flight: Flight[T] = Flight(path, tags)
        flight.shared = _Part(self.shared, path)
        flight.awaited = self.awaited
        self.flights[path] = flight
        return flight


class _Part(Generic[T]):
    """One key's part of a load of several."""

    def __init__(self, whole: Shared[Outcomes[T]], key: str) -> None:
        self._whole = whole
        self._key = key
        self.launch, self.cancel = whole.launch, whole.cancel

    @property
    def begun(self) -> bool:
        return self._whole.begun

    @property
    def finished(self) -> bool:
        return self._whole.finished

    async def join(self, patience: float | None = None) -> T:
        outcome = (await self._whole.join(patience)).get(self._key)
        if isinstance(outcome, Exception):
            raise outcome
        if outcome is None:
            raise LeftOut
        return outcome.value


class LeftOut(Exception):
    """A loader of several keys has left out one that another caller waited for."""


class Caller(Protocol):
    """One who wants a value now; `tags` are those of the entry that his flight would make."""

    tags: tuple[str, ...]

    async def catch_up(self) -> None:
        """Learn what he has to know before he judges a flight that others started."""
        ...

    def may_join(self, flight: Flight[Any]) -> bool:
        """Whether a flight under way will do."""
        ...

    def may_have(self, flight: Flight[Any]) -> bool:
        """Whether what a flight found or made will do, after he has joined it."""
        ...


Work = Callable[[Flight[T]], Coroutine[Any, Any, T]]
Patience = Callable[[], float] | None
"""How many seconds a caller goes on waiting; None: without end."""


class Flights:
    """The looks and loads under way in this process, of one store and face."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._table: dict[_Slot, Flight[Any]] = {}
        self._looks: dict[_Slot, _Look] = {}
        self._lock = threading.Lock()
        self.rests = Rests()
        _forking.register(self)

    def fork_locks(self) -> tuple[_forking.Lock, ...]:
        """What may not be held while the process forks."""
        return (self._lock,)

    def after_fork(self) -> None:
        """A child has none of its parent's loads under way."""
        self._table.clear()
        self._looks.clear()

    def __len__(self) -> int:
        return len(self._table)

    def _slot(self, key: str) -> _Slot:
        return id(self), self._runtime.scope(), key

    def is_looking(self, key: str) -> bool:
        """Whether a caller of this scope is looking for a key."""
        return self._slot(key) in self._looks

    async def seen(self, key: str) -> Outcome[Entry | None] | None:
        """What the caller finds who is looking for a key; None if nobody is, or he gave up."""
        look = self._looks.get(self._slot(key))
        if look is None:
            return None
        signal = self._runtime.signal()
        look.waiting.append(signal)
        if not look.over:
            await signal.wait(_LONGEST_LOOK)
        return look.outcome

    async def look(self, key: str, find: Callable[[], Awaitable[Entry | None]]) -> Entry | None:
        """What `find` returns, for others who ask `seen` as well."""
        slot = self._slot(key)
        look = self._looks[slot] = _Look()
        try:
            found = await find()
            look.outcome = Outcome(found)
            return found
        finally:
            look.over = True
            if self._looks.get(slot) is look:
                del self._looks[slot]
            for signal in look.waiting:
                signal.give()

    def is_open(self, key: str) -> bool:
        """Whether a load of this key is under way, for callers of this scope."""
        return self._open(self._slot(key)) is not None

    async def run(self, key: str, work: Work[T], caller: Caller, patience: Patience = None) -> T:
        """The outcome of `work`, shared with everyone who wants `key` now.

        A load that asks for its own key runs by itself. Raises `Overdue` when the caller loses
        patience; the flight goes on then.
        """
        slot = self._slot(key)
        caught_up = False
        while True:
            if self._is_circular(slot):
                return await work(Flight(key, caller.tags, alone=True))
            fresh: Flight[T] = Flight(key, caller.tags)
            flight = self._enter(
                slot, fresh, work, caller if caught_up else None, apart=patience is not None
            )
            if flight is None:
                await caller.catch_up()
                caught_up = True
                continue
            try:
                outcome = await self._wait(slot, flight, patience)
            except LeftOut:
                continue
            if flight is fresh or caller.may_have(flight):
                return outcome

    async def join(self, key: str, caller: Caller, patience: Patience) -> Outcome[Any] | None:
        """The outcome of the load under way, if there is one that will do for the caller.

        Not that of one in the background: there is something better to return than its error.
        """
        slot = self._slot(key)
        flight = self._open(slot)
        if flight is None or flight.launched:
            return None
        await caller.catch_up()
        flight = self._open(slot)
        if flight is None or not caller.may_join(flight) or self._is_circular(slot):
            return None
        try:
            outcome = await self._wait(slot, flight, patience)
        except LeftOut:
            return None
        return Outcome(outcome) if caller.may_have(flight) else None

    def board(
        self,
        tags: Mapping[str, tuple[str, ...]],
        work: Callable[[Batch[T]], Coroutine[Any, Any, Outcomes[T]]],
        *,
        apart: bool,
    ) -> Batch[T]:
        """Load several keys by one work, but those that are being loaded.

        `tags` are those of the entries, by key.
        """
        batch: Batch[T] = Batch()
        batch.shared = self._runtime.shared(lambda: self._lead_all(batch, work), apart=apart)
        with self._lock:
            for key, named in tags.items():
                slot = self._slot(key)
                if self._open(slot) is None and not self._is_circular(slot):
                    self._table[slot] = batch.add(key, named)
        return batch

    async def _lead_all(
        self, batch: Batch[T], work: Callable[[Batch[T]], Coroutine[Any, Any, Outcomes[T]]]
    ) -> Outcomes[T]:
        try:
            with being_in(*batch.flights.values()):
                return await work(batch)
        finally:
            for key, flight in batch.flights.items():
                self._leave(self._slot(key), flight)

    def disembark(self, batch: Batch[T]) -> None:
        """Forget a load of several keys that is over, or that nobody has begun."""
        if batch.shared.finished or not batch.shared.begun:
            for key, flight in batch.flights.items():
                self._leave(self._slot(key), flight)

    def launch(self, key: str, work: Work[T], tags: tuple[str, ...]) -> bool:
        """Load in the background; False if a load is under way, or there is no room."""
        slot = self._slot(key)
        flight: Flight[T] = Flight(key, tags, launched=True)
        with self._lock:
            if self._open(slot) is not None:
                return False
            flight.shared = self._runtime.shared(lambda: self._lead(slot, flight, work))
            self._table[slot] = flight
        if flight.shared.launch():
            return True
        self._leave(slot, flight)
        return False

    def cancel(self) -> None:
        """Cancel the loads of this scope that nobody waits for, where that can be done."""
        scope = self._runtime.scope()
        for (_, place, _), flight in list(self._table.items()):
            if place == scope:
                flight.shared.cancel()

    def _is_circular(self, slot: _Slot) -> bool:
        """Whether to wait for this load would be to wait for oneself."""
        around = inside()
        if not around:
            return False
        if any(flight.key == slot[2] for flight in around):
            return True
        flight = self._open(slot)
        return flight is not None and flight.leads_to(around)

    def _open(self, slot: _Slot) -> Flight[Any] | None:
        flight = self._table.get(slot)
        if flight is None or flight.shared.finished:
            return None
        return flight

    async def _wait(self, slot: _Slot, flight: Flight[T], patience: Patience) -> T:
        try:
            with waiting_for(flight):
                return await flight.shared.join(None if patience is None else patience())
        finally:
            if flight.shared.finished:
                self._leave(slot, flight)

    def _enter(
        self, slot: _Slot, fresh: Flight[T], work: Work[T], caller: Caller | None, *, apart: bool
    ) -> Flight[T] | None:
        """The flight to wait for; None if there is one that the caller cannot judge yet."""
        with self._lock:
            flight: Flight[T] | None = self._open(slot)
            if flight is not None:
                if caller is None:
                    return None
                if caller.may_join(flight):
                    return flight
            fresh.shared = self._runtime.shared(lambda: self._lead(slot, fresh, work), apart=apart)
            self._table[slot] = fresh
            return fresh

    async def _lead(self, slot: _Slot, flight: Flight[T], work: Work[T]) -> T:
        try:
            with being_in(flight):
                return await work(flight)
        finally:
            self._leave(slot, flight)

    def _leave(self, slot: _Slot, flight: Flight[Any]) -> None:
        with self._lock:
            if self._table.get(slot) is flight:
                del self._table[slot]


class _Look:
    """One caller's search for a key, and those who wait for what he finds."""

    __slots__ = ("outcome", "over", "waiting")

    def __init__(self) -> None:
        self.waiting: list[Signal] = []
        self.outcome: Outcome[Entry | None] | None = None
        self.over = False


class Rests:
    """Keys whose load has failed, and until when it is not tried again."""

    def __init__(self) -> None:
        self._until: OrderedDict[str, float] = OrderedDict()
        self._lock = _forking.leaf_lock()

    def note(self, key: str, until: float) -> None:
        """Let a key rest."""
        with self._lock:
            self._until[key] = until
            self._until.move_to_end(key)
            while len(self._until) > MOST_RESTING:
                self._until.popitem(last=False)

    def holds(self, key: str, now: float) -> bool:
        """Whether a key is to rest now."""
        until = self._until.get(key)
        return until is not None and now < until

    def end(self, key: str) -> None:
        """A load of a key has succeeded."""
        if key in self._until:
            with self._lock:
                self._until.pop(key, None)
