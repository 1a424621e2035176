"""Loads under chaos, cancelled, timed out and invalidated in every order that Hypothesis finds."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings

from armature_cache._runtime.background import crew
from armature_cache._time import boottime
from armature_cache.testing import FakeTime
from tests.chaos.programs import Program, programs
from tests.chaos.virtual import run_virtually
from tests.chaos.world import World, run_tasks, run_threads
from tests.contract.faces import DEADLINE, drive

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True, scope="module")
def quiet() -> Iterator[None]:
    """Chaos is told in the log, thousands of times."""
    logger = logging.getLogger("armature_cache")
    before, logger.disabled = logger.disabled, True
    yield
    logger.disabled = before


async def _settled(world: World) -> None:
    """Wait for what goes on in the background."""
    for _ in range(500):
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if not others and not world.busy:
            return
        await asyncio.sleep(0.01)
    world.problems.append(f"tasks are left: {asyncio.all_tasks()}")


@settings(max_examples=400)
@given(program=programs())
def test_tasks(program: Program):
    clock = FakeTime()

    async def main() -> World:
        world = World(program, clock, asyncio.sleep, blocking=False)
        await run_tasks(program, world)
        await _settled(world)
        await world.calm()
        return world

    world = run_virtually(main(), clock, program.seed)
    assert world.problems == []
    assert world.leftovers() == {}


async def _wait(seconds: float) -> None:
    threading.Event().wait(seconds)  # of a thread: nothing else runs on this one's loop


@pytest.fixture
def eager() -> Iterator[None]:
    """Let threads take turns as often as can be."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(program=programs(spans=(5, 40), most=12, slow=(0, 0, 1, 3, 10)))
def test_threads(eager: None, program: Program):
    world = World(program, boottime, _wait, blocking=True)
    run_threads(program, world)
    give_up_at = boottime() + DEADLINE
    while (world.busy or crew._at_work) and boottime() < give_up_at:
        time.sleep(0.001)
    drive(world.calm())
    assert world.problems == []
    assert world.leftovers() == {}
    assert crew._at_work == 0
