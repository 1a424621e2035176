"""Conditions: on the arguments, where a call goes past the cache, and on the result."""

from __future__ import annotations

from typing import Any

import pytest

from armature_cache import load_context
from armature_cache.decorator import FunctionStats, cache, cache_batch, cache_update
from armature_cache.errors import ConfigError
from tests.contract.faces import Face


class Service:
    limit = 10

    def __init__(self) -> None:
        self.runs = 0

    def __cache_key__(self) -> str:
        return "service"

    @cache(when=lambda self, a: a < self.limit)
    def method(self, a: int) -> int:
        self.runs += 1
        return a


async def test_calls_that_are_turned_away_go_past_the_cache(face: Face):
    runs: list[Any] = []

    async def read(a: int, *, fresh: bool = False) -> int:
        runs.append(a)
        return a

    made = face.made(cache(using=face.store, when=lambda fresh, a: not fresh and a > 0), read)
    for a, fresh in ((1, False), (1, False), (1, True), (-1, False), (-1, False)):
        assert await face.run(made(a, fresh=fresh)) == a
    assert runs == [1, 1, -1, -1]
    assert made.stats() == FunctionStats(hits=1, misses=1, errors=0)
    assert await face.run(made.refresh(-1)) == -1
    assert await face.run(made.invalidate(-1)) is True


def test_a_condition_may_ask_what_a_method_is_called_on():
    service = Service()
    assert [service.method(a) for a in (1, 1, 11, 11)] == [1, 1, 11, 11]
    assert service.runs == 3


@pytest.mark.parametrize(
    "when",
    [
        lambda b, /: b,
        lambda **every: every["b"],
        lambda a, other=1, *, b: b and other == 1,
    ],
    ids=["by position", "all of them", "with a default of its own"],
)
async def test_ways_to_name_arguments(face: Face, when: Any):
    async def read(a: int, b: bool = True) -> object:
        return object()

    made = face.made(cache(using=face.store, when=when), read)
    assert await face.run(made(1)) is await face.run(made(1))
    assert await face.run(made(1, False)) is not await face.run(made(1, b=False))


async def test_results_that_are_not_stored(face: Face):
    runs: list[Any] = []

    async def read(a: int) -> int | None:
        runs.append(a)
        return a if a > 0 else None

    made = face.made(cache(using=face.store, unless=lambda found: found is None), read)
    for a in (1, 1, 0, 0):
        await face.run(made(a))
    assert runs == [1, 0, 0]
    assert await face.run(made.refresh(0)) is None
    assert await face.run(made.invalidate(0)) is False


async def test_a_value_that_was_not_modified_is_judged_like_a_new_one(face: Face):
    judged: list[Any] = []

    def judge(found: object) -> bool:
        judged.append(found)
        return False

    async def read() -> Any:
        context = load_context()
        return context.not_modified() if context.has_stale_value else "first"

    made = face.made(cache(using=face.store, unless=judge), read)
    assert await face.run(made()) == await face.run(made.refresh()) == "first"
    assert judged == ["first", "first"]


async def test_an_error_in_a_condition_is_the_callers(face: Face):
    async def read(a: int) -> int:
        return a

    made = face.made(cache(using=face.store, when=lambda a: 1 / a > 0), read)
    with pytest.raises(ZeroDivisionError):
        await face.run(made(0))
    made = face.made(cache(using=face.store, unless=lambda found: 1 / found > 9), read)
    with pytest.raises(ZeroDivisionError):
        await face.run(made(0))


async def awaited(a: int) -> bool:
    return True


WRONG: dict[str, dict[str, Any]] = {
    "is a function": {"when": 3},
    "is a function that": {"unless": "never"},
    "names 'other', which is no parameter; there are: a": {"when": lambda other: True},
    "takes arguments by name": {"when": lambda *args: True},
    "always true": {"when": awaited},
    "is always true": {"unless": awaited},
    "takes one argument": {"unless": lambda: True},
    "takes one argument, the result": {"unless": lambda a, b: True},
    "cannot be read": {"when": iter},
    'consistency is "bounded"': {"consistency": "weak"},
    'scope is "shared", "request"': {"scope": "forever"},
    "ttl has no effect": {"scope": "request", "ttl": 3},
    "stale_for has no effect": {"scope": "request", "stale_for": 3},
    "type has no effect": {"scope": "request", "type": int},
    "consistency has no effect": {"scope": "request", "consistency": "strong"},
}


@pytest.mark.parametrize("message", WRONG)
def test_what_is_refused_when_decorating(message: str):
    with pytest.raises(ConfigError, match=message) as caught:

        @cache(**WRONG[message])
        def function(a: int) -> int:
            return a

    assert caught.value.field in WRONG[message]


def test_conditions_of_the_other_decorators_are_checked_too():
    with pytest.raises(ConfigError, match="takes one argument"):
        cache_batch(unless=lambda: True)  # type: ignore[arg-type,misc]
    with pytest.raises(ConfigError, match="names 'other'"):

        @cache_update(key="k:{a}", when=lambda other: True)
        def function(a: int) -> int:
            return a


def test_a_builtin_may_judge_a_result():
    @cache(unless=bool)
    def function(a: int) -> int:
        return a

    assert function(1) == 1
