"""Random programs: what is done to a cache, step by step, and what each step answers."""

from __future__ import annotations

import datetime
import decimal
import math
import uuid
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import hypothesis.strategies as st

from armature_cache import CacheError
from tests.stateful.drivers import Driver

KEYS: Final = ("a", "b", "n", "ключ", "with space", "x" * 300)
TAGS: Final = ("t", "u", "тег", "t:1")
_TTLS: Final = (None, 1000.0, 90_000.0)
_ZONES: Final = st.sampled_from((None, datetime.UTC))
_SCALARS: Final = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False),
    st.text(max_size=6),
    st.binary(max_size=6),
    st.datetimes(timezones=_ZONES),
    st.uuids(),
    st.decimals(allow_nan=False, places=3),
)
_VALUES: Final = st.one_of(
    st.integers(-5, 5),
    st.recursive(
        _SCALARS,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)
        ),
        max_leaves=6,
    ),
    st.frozensets(st.integers(0, 9), max_size=3).map(set),
)
_WHO: Final = st.integers(0, 1)
_KEY: Final = st.sampled_from(KEYS)
_SOME: Final = st.lists(_KEY, max_size=4)
_TAGS: Final = st.lists(st.sampled_from(TAGS), max_size=3, unique=True)


_TRUSTING: Final = frozenset(
    ("increment", "decrement", "scan", "get_keys_by_tag", "get_tags_for_key", "list_tags")
)
"""What goes by what a cache knows, which may be as old as its bound."""


class Step(NamedTuple):
    """One call: through which of the caches, in which namespace, and of what."""

    who: int
    space: int
    name: str
    args: tuple[Any, ...] = ()
    kwargs: tuple[tuple[str, Any], ...] = ()


def _options(**options: Any) -> st.SearchStrategy[tuple[tuple[str, Any], ...]]:
    return st.fixed_dictionaries(options).map(lambda found: tuple(found.items()))


def _step(
    name: str, *args: st.SearchStrategy[Any], **options: st.SearchStrategy[Any]
) -> st.SearchStrategy[Step]:
    return st.builds(Step, _WHO, _WHO, st.just(name), st.tuples(*args), _options(**options))


_STORING: Final[dict[str, Any]] = {"tags": _TAGS, "ttl": st.sampled_from(_TTLS)}
_STRONG: Final[dict[str, Any]] = {"consistency": st.just("strong")}
_ITEMS: Final = st.dictionaries(_KEY, _VALUES, max_size=4)
STEPS: Final = st.one_of(
    _step("get", _KEY, st.just("nothing"), **_STRONG),
    _step("get_many", _SOME, **_STRONG),
    _step("exists", _KEY, **_STRONG),
    _step("exists_many", _SOME, **_STRONG),
    _step("ttl", _KEY, **_STRONG),
    _step("ttl_many", _SOME, **_STRONG),
    _step("get_tags_for_key", _KEY),
    _step("get_keys_by_tag", st.sampled_from(TAGS)),
    _step("list_tags"),
    _step("scan"),
    _step("set", _KEY, _VALUES, as_of=st.none(), **_STORING),
    _step("set_many", _ITEMS, as_of=st.none(), **_STORING),
    _step("add", _KEY, _VALUES, **_STORING),
    _step("increment", _KEY, st.integers(-3, 2**62)),
    _step("decrement", st.sampled_from(("n", "a"))),
    _step("expire", _KEY, st.sampled_from(_TTLS)),
    _step("delete", _KEY),
    _step("delete_many", _SOME),
    _step("invalidate_tag", st.sampled_from(TAGS), soft=st.booleans()),
    _step("invalidate_tags", _TAGS),
    _step("clear"),
    _step("get_or_set", _KEY, _VALUES, **_STORING, **_STRONG),
    _step("get_or_set_many", _SOME, _VALUES, **_STORING, **_STRONG),
    _step("refresh", _KEY, _VALUES, **_STORING),
)
PROGRAMS: Final = st.lists(STEPS, min_size=1, max_size=30)


def run(program: list[Step], drivers: list[Driver]) -> list[object]:
    """What each step answers, in a form that does not depend on where a cache keeps its entries."""
    answers: list[object] = []
    for step in program:
        driver = drivers[step.who % len(drivers)]
        loads: list[object] = []
        try:
            answer = _call(driver, step, loads)
        except CacheError as error:
            answer = type(error).__name__
        answers.append((step.name, _plain(step, answer), sorted(loads, key=repr)))
    return answers


def _call(driver: Driver, step: Step, loads: list[object]) -> object:
    space, kwargs = step.space, dict(step.kwargs)
    if step.name in _TRUSTING:
        driver(space, "exists", "nowhere", consistency="strong")
    if step.name == "scan":
        return [key for key in driver.scan(space) if "\0" not in key]
    if step.name in {"get_or_set", "refresh"}:
        key, value = step.args
        load = driver.loader(value, lambda: loads.append(key))
        if step.name == "refresh":  # a load, no invalidation: others may keep what they have
            driver(space, "delete", key)
        return driver(space, step.name, key, load, **kwargs)
    if step.name == "get_or_set_many":
        keys, value = step.args
        return driver(space, step.name, keys, _loader_of_many(driver, value, loads), **kwargs)
    return driver(space, step.name, *step.args, **kwargs)


def _loader_of_many(driver: Driver, value: object, loads: list[object]) -> Callable[..., Any]:
    def load(keys: list[str]) -> dict[str, object]:
        loads.extend(keys)
        return dict.fromkeys(keys, value)

    async def load_async(keys: list[str]) -> dict[str, object]:
        return load(keys)

    return load_async if driver.awaited else load


def _plain(step: Step, answer: object) -> object:
    if step.name == "ttl":
        return _lasts(answer)
    if step.name == "ttl_many" and isinstance(answer, dict):
        return {key: _lasts(left) for key, left in answer.items()}
    if step.name in {"get_tags_for_key", "get_keys_by_tag", "list_tags"}:
        return sorted(answer) if isinstance(answer, list | tuple | set) else answer
    return typed(answer)


def _lasts(left: object) -> object:
    """A lifetime that is left, by the hour: no two stores look at the same moment."""
    return round(left / 3600) if isinstance(left, float) and math.isfinite(left) else left


def typed(value: object) -> object:
    """A value with the types of its parts: `1`, `1.0` and `True` are equal, and not the same."""
    if isinstance(value, dict):
        return {key: typed(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return (type(value).__name__, [typed(part) for part in value])
    if isinstance(value, decimal.Decimal | uuid.UUID | datetime.datetime | float):
        return (type(value).__name__, str(value))
    return (type(value).__name__, value)
