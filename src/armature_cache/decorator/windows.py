"""Windows: calls that come together, and are answered together."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from armature_cache._runtime.base import Runtime, Signal
from armature_cache.errors import NotLoaded
from armature_cache.flight import Joint
from armature_cache.stores.load_many import Answers, Errors, LoadMany

Ask = Callable[["Window", list[str]], Coroutine[Any, Any, Mapping[str, object]]]
"""Runs the function for the ids of these keys: values, or errors in their place."""


class Window:
    """Ids that are asked for together, by their keys.

    They are looked up first: who asked for one that is there does not wait for the load of the
    others. `asked` are the keys that the function was asked for, `raised` what it raised. Without
    `many` nothing is looked up, and nothing stored.
    """

    __slots__ = (
        "_ask",
        "_closed",
        "_full",
        "_loaded",
        "_looked",
        "_make",
        "_many",
        "_runtime",
        "_seconds",
        "asked",
        "ids",
        "raised",
        "tags",
    )

    def __init__(
        self, runtime: Runtime, ask: Ask, many: Callable[[Window], LoadMany] | None
    ) -> None:
        self._runtime = runtime
        self._ask = ask
        self._make = many
        self._many: LoadMany | None = None
        self._seconds = 0.0
        self._closed: Callable[[], None] | None = None
        self._full: Signal | None = None
        self._looked: Joint[Answers] = Joint(runtime, self._look)
        self._loaded: Joint[tuple[Answers, Errors]] = Joint(runtime, self._load)
        self.ids: dict[str, object] = {}
        self.tags: dict[str, tuple[str, ...]] = {}
        self.asked: set[str] = set()
        self.raised: list[Exception] = []

    def stay_open(self, seconds: float, closed: Callable[[], None]) -> None:
        """Wait for more calls before anything is looked up; 0 seconds are one turn of a loop."""
        self._seconds, self._closed = seconds, closed
        if seconds:
            self._full = self._runtime.signal()

    def add(self, key: str, asked: object, tags: tuple[str, ...]) -> None:
        """Ask for one more."""
        self.ids[key], self.tags[key] = asked, tags

    def fill(self) -> None:
        """Wait no longer: there are as many as go into one run."""
        if self._full is not None:
            self._full.give()

    @property
    def is_over(self) -> bool:
        """Whether it takes no more calls."""
        return self._looked.finished

    async def outcome(self, key: str) -> object:
        """The value of a key, or the error in its place; `NotLoaded` if it was left out."""
        found = await self._looked.join()
        if key in found:
            return found[key]
        values, errors = await self._loaded.join()
        if key in errors:
            raise errors[key]
        if key not in values:
            raise not_loaded(self.ids[key])
        return values[key]

    async def outcomes(self) -> tuple[Answers, Errors]:
        """The values of all keys that have one, and the errors."""
        found = await self._looked.join()
        if len(found) == len(self.ids):
            return found, {}
        values, errors = await self._loaded.join()
        return {**found, **values}, errors

    async def _look(self) -> Answers:
        if self._closed is not None:
            try:
                await self._wait()
            finally:
                self._closed()
        if self._make is None:
            return {}
        self._many = self._make(self)
        return await self._many.look(list(self.ids))

    async def _wait(self) -> None:
        if self._full is None:
            await self._runtime.sleep(0)
        else:
            await self._full.wait(self._seconds)

    async def _load(self) -> tuple[Answers, Errors]:
        if self._many is not None:
            return await self._many.load()
        keys = list(self.ids)
        try:
            answers = await self._ask(self, keys)
        except Exception as error:  # noqa: BLE001 - what the function raises
            return {}, dict.fromkeys(keys, error)
        errors = {key: value for key, value in answers.items() if isinstance(value, Exception)}
        return {key: value for key, value in answers.items() if key not in errors}, errors


def not_loaded(asked: object) -> NotLoaded:
    """The error for an id that a function has left out."""
    return NotLoaded(
        f"the function has no value for {asked!r:.100}; with absent=None (or another value), that "
        "is what such keys get, and it is cached",
        key=asked,
    )
