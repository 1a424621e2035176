"""Defects that chaos has found; each test fails on the code before its cure."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from armature_cache import (
    BackendError,
    InMemoryCache,
    InvalidationError,
    TaggedCache,
    TieredCache,
    TieredCacheConfig,
)
from armature_cache.testing import Chaos, ChaosCache, Delay, Fail, FakeTime, Hang, Lose
from armature_cache.testing.chaos import Outcome
from tests.chaos.virtual import run_virtually
from tests.contract.faces import Face, eventually

FACES = ("async", "sync")
each_face = pytest.mark.parametrize("face", FACES)


class Tiers:
    """Two tiers in memory, with chaos between them."""

    def __init__(self, face: str = "async", **tiers: Any) -> None:
        self.chaos = Chaos()
        self.l2 = InMemoryCache()
        far = ChaosCache(self.l2, self.chaos)
        core = TaggedCache(TieredCache(InMemoryCache(), far, TieredCacheConfig(**tiers)))
        self.cache: Any = core if face == "async" else core.sync()
        self.face = Face(self.cache)

    async def unclaimed(self) -> bool:
        return len(self.l2._claims) == 0


@each_face
async def test_a_deleted_key_is_not_served_by_a_first_tier(face: str):
    """L1 went on serving a key whose delete in L2 had failed."""
    tiers = Tiers(face)
    await tiers.face.set("k", 1)
    assert await tiers.face.get("k") == 1
    tiers.chaos.script("delete", [Fail()])
    with pytest.raises(InvalidationError):
        await tiers.face.delete("k")
    assert await tiers.face.get("k") is None


@each_face
async def test_a_value_whose_set_failed_is_not_served_as_it_was_before(face: str):
    """L1 went on serving what was there before."""
    tiers = Tiers(face)
    await tiers.face.set("k", 1)
    tiers.chaos.script("set", [Fail(late=True)])
    with pytest.raises(BackendError):
        await tiers.face.set("k", 2)
    assert await tiers.face.get("k") is None


async def test_what_was_deleted_meanwhile_is_not_promoted():
    """A read of L2 that was under way brought a deleted key back to L1, for good."""
    tiers = Tiers()
    far = tiers.l2
    await tiers.cache.set("k", 1)
    tiers.cache.store._near.discard(["k"])
    (entry,) = (await far._fetch(["k"], None, strong=False)).values()
    await tiers.cache.delete("k")
    tiers.cache.store._near.promote(entry)
    assert await tiers.cache.get("k") is None


@pytest.mark.parametrize("operation", ["claim", "release"])
@pytest.mark.parametrize("many", [False, True], ids=["one", "many"])
async def test_who_is_cancelled_gives_his_claim_up(operation: Any, many: bool):
    """A load that was cancelled around its claim left the claim, and others waited for its end."""
    tiers = Tiers(breaker_failures=100)
    outcomes = [Delay(0, Hang()), Delay(0)] if operation == "release" else [Delay(30, late=True)]
    tiers.chaos.script(operation, outcomes)
    tiers.chaos.script("fill", [Fail()])  # so that the claim is given up by itself
    call = (
        tiers.cache.get_or_set_many(["k", "l"], lambda keys: dict.fromkeys(keys, 1))
        if many
        else tiers.cache.get_or_set("k", lambda: 1)
    )
    load = asyncio.ensure_future(call)

    async def claimed() -> bool:
        at_it = tiers.chaos.hanging if operation == "release" else len(tiers.l2._claims)
        return at_it > 0

    await eventually(claimed, "a claim")
    load.cancel()
    with pytest.raises(asyncio.CancelledError):
        await load
    await eventually(tiers.unclaimed, "the end of the claim")
    assert await tiers.cache.get_or_set("k", lambda: 2) == 2


@each_face
async def test_a_claim_is_given_up_though_l2_is_spared(face: str):
    """A value could not be stored, and the breaker that opened kept the end of its claim."""
    tiers = Tiers(face, breaker_failures=1, breaker_pause=60)
    tiers.chaos.script("fill", [Fail()])
    assert await tiers.face.get_or_set("k", lambda: 1) == 1
    await eventually(tiers.unclaimed, "the end of the claim")


@each_face
async def test_a_value_that_is_lost_in_the_background_keeps_no_claim(face: str):
    """A loaded value that could not be stored in the background left the claim of its load."""
    tiers = Tiers(face, background_writes=True, breaker_failures=100)
    outcomes: tuple[Outcome, ...] = (Lose(), Fail())
    for number, outcome in enumerate(outcomes):
        tiers.chaos.script("fill", [outcome])
        assert await tiers.face.get_or_set(f"k{number}", lambda: 1) == 1
        await eventually(tiers.unclaimed, "the end of the claim")
    tiers.chaos.set("fill", lose=0.5)
    for turn in range(8):  # of which some store the first key and lose another
        keys = [f"{turn}-{number}" for number in range(4)]
        await tiers.face.get_or_set_many(keys, lambda keys: dict.fromkeys(keys, 1))
        await eventually(tiers.unclaimed, "the end of the claims")


def test_a_load_of_many_that_never_began_is_forgotten():
    """Whoever was cancelled between boarding and loading left flights that nobody led."""

    async def program(turns: int) -> None:
        tiers = Tiers()
        gate = asyncio.Event()

        async def load() -> int:
            await gate.wait()
            return 1

        first = asyncio.ensure_future(tiers.cache.get_or_set("a", load))
        await asyncio.sleep(0.01)
        many = asyncio.ensure_future(
            tiers.cache.get_or_set_many(["a", "b"], lambda keys: dict.fromkeys(keys, 2))
        )
        for _ in range(turns):
            await asyncio.sleep(0)
        many.cancel()
        await asyncio.wait((many,))
        assert not tiers.cache._flights.is_open("b"), turns
        gate.set()
        assert await first == 1
        assert len(tiers.cache._flights) == 0, turns

    for turns, seed in itertools.product(range(12), range(12)):
        run_virtually(program(turns), FakeTime(), seed)
