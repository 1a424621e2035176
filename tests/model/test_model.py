"""Every scenario holds; every mutation of the protocol is caught."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.model.checker import BoundExceeded, explore
from tests.model.model import check
from tests.model.scenarios import HAZARDS, MUTATIONS, SCENARIOS

# They visit every state there is.
pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario_holds(name: str) -> None:
    result, _ = check(SCENARIOS[name], max_states=100_000)
    assert result.ok, result.explain()


@pytest.mark.parametrize(("mutation", "name"), MUTATIONS.items())
def test_mutation_is_caught(mutation: str, name: str) -> None:
    scenario = SCENARIOS[name]
    mutated = replace(scenario, mutations=scenario.mutations | {mutation})
    result, _ = check(mutated, max_states=100_000)
    assert not result.ok, f"{name} holds without the rule behind {mutation!r}"


@pytest.mark.parametrize("name", HAZARDS)
def test_known_hazard_is_still_there(name: str) -> None:
    """What the protocol does not promise; documented, so it must stay true."""
    result, _ = check(HAZARDS[name])
    assert not result.ok


def test_checker_finds_the_shortest_trace() -> None:
    def count(n: int) -> list[tuple[str, int]]:
        return [("one", n + 1), ("two", n + 2)]

    result = explore(0, count, lambda n: "five" if n == 5 else None)
    assert result.labels()[1:] == ["one", "two", "two"]
    assert "VIOLATED: five" in result.explain()


def test_checker_reduces_by_symmetry() -> None:
    def swap(pair: tuple[int, int]) -> list[tuple[str, tuple[int, int]]]:
        a, b = pair
        return [("a", (min(a + 1, 3), b)), ("b", (a, min(b + 1, 3)))]

    whole = explore((0, 0), swap, lambda _: None)
    half = explore((0, 0), swap, lambda _: None, canonical=lambda p: tuple(sorted(p)))
    assert (whole.states, half.states) == (16, 10)


def test_checker_refuses_to_pass_a_cut_search() -> None:
    with pytest.raises(BoundExceeded):
        explore(0, lambda n: [("up", n + 1)], lambda _: None, max_states=10)
