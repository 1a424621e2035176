"""The fuzzer's targets under Hypothesis: a few hundred inputs of each kind, in every run.

`make fuzz` runs the same targets for as long as you like, guided by coverage.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.seeds import seeds
from fuzz.targets import TARGETS

pytestmark = pytest.mark.slow

SEEDS = seeds()
each_target = pytest.mark.parametrize("name", TARGETS)


@each_target
def test_every_seed(name: str):
    for seed in SEEDS[name]:
        TARGETS[name](seed)


@each_target
@given(data=st.binary(max_size=200))
def test_any_bytes(name: str, data: bytes):
    TARGETS[name](data)


@st.composite
def mutants(draw: st.DrawFn, name: str) -> bytes:
    """A seed that was cut, changed in places, or joined with another."""
    data = bytearray(draw(st.sampled_from(SEEDS[name])))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        how = draw(st.sampled_from(["change", "insert", "cut", "repeat", "join"]))
        if how == "change" and at < len(data):
            data[at] = draw(st.integers(0, 255))
        elif how == "insert":
            data[at:at] = draw(st.binary(max_size=8))
        elif how == "cut":
            del data[at : at + draw(st.integers(0, 20))]
        elif how == "repeat":
            data[at:at] = data[at : at + 20] * draw(st.integers(0, 20))
        else:
            data[at:] = draw(st.sampled_from(SEEDS[name]))[at:]
    return bytes(data)


@each_target
@settings(max_examples=300)
@given(data=st.data())
def test_mutants_of_seeds(name: str, data: st.DataObject):
    TARGETS[name](data.draw(mutants(name)))


TEXTS = st.text(alphabet=st.sampled_from("ab{}.:%~@/?[],=&#\0\n \ud800é0"), max_size=40)


@pytest.mark.parametrize("name", ["templates", "addresses"])
@settings(max_examples=500)
@given(text=TEXTS, start=st.sampled_from(["", "redis", "unix", "redis+sentinel", "{a}", "{user."]))
def test_texts_of_the_characters_that_matter(name: str, text: str, start: str):
    TARGETS[name](
        (start + text).encode(
            "utf-8", "surrogateescape" if "\ud800" not in text else "surrogatepass"
        )
    )
