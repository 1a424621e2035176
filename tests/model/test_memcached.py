"""The Memcached protocol: every scenario holds; every mutation is caught."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.model.memcached.model import check
from tests.model.memcached.scenarios import MUTATIONS, SCENARIOS

# They visit every state there is.
pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario_holds(name: str) -> None:
    result = check(SCENARIOS[name], max_states=100_000)
    assert result.ok, result.explain()


@pytest.mark.parametrize(("mutation", "name"), MUTATIONS.items())
def test_mutation_is_caught(mutation: str, name: str) -> None:
    scenario = SCENARIOS[name]
    mutated = replace(scenario, mutations=scenario.mutations | {mutation})
    result = check(mutated, max_states=100_000)
    assert not result.ok, f"{name} holds without the rule behind {mutation!r}"
