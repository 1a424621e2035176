"""The source of chaos: decides what becomes of each operation, and counts what it did."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import weakref
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, Unpack

from armature_cache.errors import ConfigError
from armature_cache.testing.chaos.draws import Draws
from armature_cache.testing.chaos.outcomes import (
    CALM,
    OPERATIONS,
    Operation,
    Outcome,
    RateKeywords,
    check_operation,
    check_outcome,
    rates_of,
)
from armature_cache.testing.chaos.plan import NOTHING, Plan, drawn, scripted

if TYPE_CHECKING:
    from armature_cache._runtime.base import Signal
    from armature_cache.testing.faketime import FakeTime


class Follower(Protocol):
    """Something that has to know whether chaos may touch reads."""

    def _chaos_changed(self) -> None: ...


class Chaos:
    """What may go wrong with the stores that are wrapped in `ChaosCache(store, chaos)`.

    Nothing does, until `set` gives rates or `script` outcomes. By rates, the n-th operation of a
    kind on a key has the same outcome for the same seed, whichever tasks and threads it runs in:
    draws are made by seed, operation, key and how often both were met before. It remembers every
    key that it has met.

    `counts` says what was done. Safe to share between stores, threads, event loops and faces.

    Args:
        seed: What all draws depend on.
        time: A delay lets this time pass, for everybody, instead of waiting. Default: it waits.
        rates: The fields of `Rates`, for all operations; see `set`.
    """

    def __init__(
        self, seed: int | str = 0, *, time: FakeTime | None = None, **rates: Unpack[RateKeywords]
    ) -> None:
        self.seed = seed
        self.time = time
        self._draws = Draws(seed)
        self._lock = threading.RLock()
        self._rates = dict.fromkeys(OPERATIONS, CALM)
        self._scripts: dict[tuple[Operation, str | None], Iterator[Outcome]] = {}
        self._counts: Counter[tuple[Operation, str]] = Counter()
        self._hanging: dict[Signal, object] = {}
        self._calm = False
        self._pauses = 0
        self._followers: weakref.WeakSet[Follower] = weakref.WeakSet()
        self.set(**rates)

    def __repr__(self) -> str:
        done = Counter[str]()
        for (_, what), number in self._counts.items():
            done[what] += number
        told = ", ".join(f"{number} {what}" for what, number in sorted(done.items()))
        return f"<Chaos seed={self.seed!r}: {told or 'nothing yet'}>"

    # -- what goes wrong ---------------------------------------------------------------------

    def set(self, *operations: Operation, **rates: Unpack[RateKeywords]) -> None:
        """Change rates of these operations; of all, if none is named.

        Where none is named, `corrupt` goes for `fetch` only, and `lose` only for what any cache may
        lose: `fetch`, `probe`, `fill`, `claim`, `release` and `wake`. A lost `set`, `delete` or
        `invalidate` makes stale reads, so it has to be asked for by name. Raises `ConfigError`.
        """
        for operation in operations:
            check_operation(operation)
        with self._lock:
            changed = dict(self._rates)
            for operation in operations or OPERATIONS:
                wanted = rates_of(rates, operation, named=bool(operations))
                try:
                    changed[operation] = dataclasses.replace(self._rates[operation], **wanted)
                except TypeError as error:
                    raise ConfigError(str(error), field="rates") from None
            self._rates = changed
        self._tell()

    def script(
        self, operation: Operation, outcomes: Iterable[Outcome], *, key: str | None = None
    ) -> None:
        """Let the next calls of an operation have these outcomes, in the order in which they come.

        They go before rates and end when there are no more. With `key`, they are for calls that
        this key is among; with several tasks or threads that keeps the order certain. A script
        replaces the one before it. Raises `ConfigError`.
        """
        check_operation(operation)
        listed: Iterable[Outcome] = outcomes
        if isinstance(outcomes, Sequence):
            listed = [check_outcome(operation, outcome) for outcome in outcomes]
        with self._lock:
            self._scripts[operation, key] = iter(listed)
        self._tell()

    # -- when --------------------------------------------------------------------------------

    @property
    def active(self) -> bool:
        """Whether anything may go wrong now."""
        return not (self._calm or self._pauses)

    def calm(self) -> None:
        """Let nothing go wrong from now on, and release what hangs; until `resume`."""
        self._calm = True
        self._tell()
        self.release()

    def resume(self) -> None:
        """Let things go wrong again after `calm`."""
        self._calm = False
        self._tell()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Let nothing go wrong within the block, for nobody; what hangs goes on hanging."""
        with self._lock:
            self._pauses += 1
        self._tell()
        try:
            yield
        finally:
            with self._lock:
                self._pauses -= 1
            self._tell()

    def touches(self, operation: Operation) -> bool:
        """Whether anything may happen to an operation now."""
        if not self.active:
            return False
        scripted = any(known == operation for known, _ in self._scripts)
        return scripted or not self._rates[operation].calm

    # -- what hangs --------------------------------------------------------------------------

    @property
    def hanging(self) -> int:
        """How many operations hang now."""
        return len(self._hanging)

    def release(self, owner: object = None) -> int:
        """Let all go on that hang, in all threads and loops; returns how many did."""
        with self._lock:
            freed = [
                signal for signal, store in self._hanging.items() if owner is None or store is owner
            ]
            for signal in freed:
                del self._hanging[signal]
        for signal in freed:
            signal.give()
        return len(freed)

    @contextlib.contextmanager
    def holding(self, signal: Signal, owner: object) -> Iterator[None]:
        """Let an operation of a store hang within the block, until its signal is given."""
        with self._lock:
            self._hanging[signal] = owner
        try:
            yield
        finally:
            with self._lock:
                self._hanging.pop(signal, None)

    # -- what was done -----------------------------------------------------------------------

    @property
    def counts(self) -> Mapping[tuple[Operation, str], int]:
        """How often an operation had an outcome, by both.

        Outcomes are `passed`, `delayed`, `failed`, `hung`, `lost` and `corrupted`; each key of a
        call is `lost` or `corrupted` by itself.
        """
        with self._lock:
            return dict(self._counts)

    def count(self, what: str, *operations: Operation) -> int:
        """How often an outcome was had, by these operations, or by any."""
        return sum(
            number
            for (operation, outcome), number in self.counts.items()
            if outcome == what and (not operations or operation in operations)
        )

    # -- for stores --------------------------------------------------------------------------

    def follow(self, follower: Follower) -> None:
        """Tell a store whenever `touches` may be another."""
        self._followers.add(follower)

    def plan(self, operation: Operation, keys: Sequence[str]) -> Plan:
        """What becomes of a call."""
        if not self.active:
            return NOTHING
        plan = self._scripted(operation, tuple(keys))
        if plan is None:
            rates = self._rates[operation]
            plan = NOTHING if rates.calm else self._drawn(operation, keys)
        self._note(operation, plan)
        return plan

    def _scripted(self, operation: Operation, keys: tuple[str, ...]) -> Plan | None:
        if not self._scripts:
            return None
        ended = False
        with self._lock:
            for key in (*keys, None):
                script = self._scripts.get((operation, key))
                if script is None:
                    continue
                outcome = next(script, None)
                if outcome is not None:
                    place = self._draws.next("script", operation, *keys).place
                    return scripted(operation, check_outcome(operation, outcome), keys, place)
                del self._scripts[operation, key]
                ended = True
        if ended:
            self._tell()
        return None

    def _drawn(self, operation: Operation, keys: Sequence[str]) -> Plan:
        rates = self._rates[operation]
        whole = self._draws.next(operation, *sorted(keys))
        parts = dict.fromkeys(keys, whole)
        if len(keys) > 1 and (rates.lose or rates.corrupt):
            parts = {key: self._draws.next("part", operation, key) for key in keys}
        return drawn(operation, rates, whole, parts)

    def _note(self, operation: Operation, plan: Plan) -> None:
        done = {
            "delayed": int(plan.delay > 0 or plan.reply_delay > 0),
            "hung": int(plan.hang is not None),
            "failed": int(plan.error is not None),
            "lost": len(plan.lost),
            "corrupted": len(plan.corrupted),
        }
        with self._lock:
            if not any(done.values()):
                self._counts[operation, "passed"] += 1
            for what, number in done.items():
                if number:
                    self._counts[operation, what] += number

    def _tell(self) -> None:
        for follower in list(self._followers):
            follower._chaos_changed()
