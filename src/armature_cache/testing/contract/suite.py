"""The contract as a class of tests, put together from its chapters."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any, ClassVar, Final

import pytest

from armature_cache.testing.contract import (
    changing,
    freshness,
    leases,
    life,
    lifetimes,
    loading,
    many,
    parts,
    processes,
    reading,
    soft,
    tags,
)
from armature_cache.testing.contract.faces import Face
from armature_cache.testing.contract.kit import Kit

_CHAPTERS: Final[tuple[ModuleType, ...]] = (
    reading,
    changing,
    lifetimes,
    many,
    parts,
    life,
    leases,
    loading,
    freshness,
    tags,
    soft,
    processes,
)


class StoreContract:
    """What every store promises, as tests for pytest; subclass it with the kit of a store.

    Each test runs on an event loop of its own, in both faces, with any plugin for coroutines or
    without one. Tests of tags, and of several processes, are there if the kit says that its stores
    have these.
    """

    kit_class: ClassVar[type[Kit] | None] = None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        kit = cls.kit_class
        if kit is None:
            return
        unfit = {"untagged"} if kit.tags else {"tagged"}
        unfit |= set() if kit.shared else {"shared"}
        for name in dir(cls):
            test = getattr(cls, name)
            if name.startswith("test_") and unfit & set(inspect.signature(test).parameters):
                setattr(cls, name, None)  # pytest leaves it out

    @pytest.fixture(params=["async", "sync"])
    def face(self, request: pytest.FixtureRequest) -> str:
        """The face that a test runs in."""
        return str(request.param)

    @pytest.fixture
    def kit(self, face: str) -> Kit:
        """Makes the stores of one test."""
        assert self.kit_class is not None, f"{type(self).__name__}.kit_class is not set"
        return self.kit_class(face)

    @pytest.fixture
    def cache(self, kit: Kit) -> Face:
        """A store."""
        return kit.open()

    @pytest.fixture
    def tagged(self, kit: Kit) -> Face:
        """A store that takes tags."""
        return kit.open()

    @pytest.fixture
    def untagged(self, kit: Kit) -> Face:
        """A store that does not take tags."""
        return kit.open()

    @pytest.fixture
    def shared(self, kit: Kit) -> Face:
        """A store whose data other processes share."""
        return kit.open()


def _driven(test: Callable[..., Any]) -> Callable[..., None]:
    """A test as a plain function, which closes all stores on the loop that they were used on."""
    signature = inspect.signature(test)
    takes_kit = "kit" in signature.parameters

    @functools.wraps(test)
    def run(*, kit: Kit, **given: object) -> None:
        async def whole() -> None:
            try:
                await (test(kit=kit, **given) if takes_kit else test(**given))
            finally:
                await kit.close()

        asyncio.run(whole())

    names = [*signature.parameters] if takes_kit else ["kit", *signature.parameters]
    keyword = inspect.Parameter.KEYWORD_ONLY
    run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(name, keyword) for name in names]
    )
    return run


for _chapter in _CHAPTERS:
    for _name, _test in list(vars(_chapter).items()):
        if _name.startswith("test_"):
            assert not hasattr(StoreContract, _name), _name
            setattr(StoreContract, _name, staticmethod(_driven(_test)))
