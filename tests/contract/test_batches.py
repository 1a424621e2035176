"""Functions of many keys: single calls at the same time are one look and one run.

How many threads come within a window is a matter of chance, so under the sync face runs are only
compared by what they were asked for, unless the window closes when it is full.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from armature_cache import NotLoaded, PartialLoadError, UnsupportedValue, cache_batch
from tests.contract.faces import Face, eventually
from tests.contract.stacks import Kit

LONG = 60.0


class Rows:
    """A function of many keys that notes its runs; with `full` keys each, if that is said."""

    def __init__(self, face: Face, *, full: int = 0, **options: Any) -> None:
        self.runs: list[list[int]] = []
        self.face = face
        self.began, self.gate = face.gate(), face.gate()
        self.gate.open()
        self.version = 1

        async def get_rows(numbers: list[int]) -> dict[int, Any]:
            self.runs.append(sorted(numbers))
            version = self.version
            self.began.open()
            await self.gate.passed()
            return {number: self.row(number, version) for number in numbers if number < 100}

        if face.store.supports_tags:
            options = {"tags": ["rows", "row:{number}"], **options}
        if full:
            options = {"max_size": full, **({} if face.awaited else {"window": LONG}), **options}
        made: Any = cache_batch(using=face.store, key="row:{number}", **options)
        self.get = face.made(made, get_rows)

    def row(self, number: int, version: int) -> Any:
        return LookupError(number) if number == 13 else f"{number} v{version}"

    def wait(self) -> None:
        """Let runs wait."""
        self.began, self.gate = self.face.gate(), self.face.gate()

    def ran(self, *runs: list[int]) -> bool:
        """Whether these were the runs; under the sync face, these keys."""
        if self.face.awaited:
            return self.runs == [*runs]
        return sorted(_flat(self.runs)) == sorted(_flat(runs))

    async def __call__(self, number: int) -> Any:
        try:
            return await self.face.run(self.get(number))
        except (LookupError, UnsupportedValue) as error:
            return error

    async def all(self, *numbers: int) -> list[Any]:
        return await self.face.together([lambda n=number: self(n) for number in numbers])  # type: ignore[misc]


def _flat(runs: Iterable[list[int]]) -> list[int]:
    return [number for run in runs for number in run]


@pytest.fixture
def rows(cache: Face) -> Rows:
    return Rows(cache)


async def test_calls_at_the_same_time_are_one_run(cache: Face, rows: Rows):
    assert await rows.all(1, 2, 3, 2) == ["1 v1", "2 v1", "3 v1", "2 v1"]
    assert rows.ran([1, 2, 3])
    assert await cache.get("row:2") == "2 v1"
    assert await rows.all(2, 3, 4) == ["2 v1", "3 v1", "4 v1"]
    assert rows.ran([1, 2, 3], [4])


async def test_a_window_closes_when_it_is_full(cache: Face):
    rows = Rows(cache, full=3)
    assert await rows.all(1, 2, 3) == ["1 v1", "2 v1", "3 v1"]
    assert rows.runs == [[1, 2, 3]]


async def test_several_at_once(cache: Face, rows: Rows):
    await rows(2)
    found = await cache.run(rows.get.many([3, 2, 1, 3, 200]))
    assert list(found.items()) == [(3, "3 v1"), (2, "2 v1"), (1, "1 v1")]
    assert rows.runs == [[2], [1, 3, 200]]
    assert await cache.run(rows.get.many(iter([]))) == {}
    assert await cache.run(rows.get.invalidate_many([1, 2, 50])) == 2
    assert await cache.get_many(["row:1", "row:2", "row:3"]) == {"row:3": "3 v1"}
    assert await cache.run(rows.get.invalidate(3)) is True


async def test_what_is_stored_is_one_look(on_redis: Face, kit: Kit):
    """Fifty keys that another process has stored: single calls, few commands."""
    numbers = range(50)
    rows = Rows(on_redis, full=50)
    await kit.open(far=True).set_many({f"row:{n}": f"{n} v0" for n in numbers}, as_of=None)
    await on_redis.get("nothing")

    before = kit.calls("get", "mget")
    assert await rows.all(*numbers) == [f"{n} v0" for n in numbers]
    assert rows.runs == []
    assert kit.calls("get", "mget") - before <= 2


async def test_a_hit_does_not_wait_for_the_load_of_others(shared: Face, kit: Kit):
    await kit.open(far=True).set("row:1", "there", as_of=None)
    rows = Rows(shared, full=2)
    rows.wait()

    async def hit() -> Any:
        found = await rows(1)
        rows.gate.open()
        return found

    assert await shared.together([hit, lambda: rows(2)]) == ["there", "2 v1"]
    assert rows.runs == [[2]]


async def test_errors_are_those_of_their_keys(cache: Face, rows: Rows):
    one, bad, absent = await rows.all(1, 13, 200)
    assert one == "1 v1"
    assert type(bad) is LookupError
    assert isinstance(absent, NotLoaded)
    assert absent.key == 200
    assert await cache.get_many(["row:1", "row:13", "row:200"]) == {"row:1": "1 v1"}
    with pytest.raises(PartialLoadError) as caught:
        await cache.run(rows.get.many([2, 13, 1]))
    assert caught.value.values == {2: "2 v1", 1: "1 v1"}
    assert [*caught.value.errors] == [13]
    assert await cache.get("row:2") == "2 v1"


async def test_an_error_of_the_function_is_that_of_all(cache: Face):
    async def fail(numbers: list[int]) -> dict[int, str]:
        raise LookupError(sorted(numbers))

    get = cache.made(cache_batch(using=cache.store, key="row:{number}"), fail)
    await cache.set("row:3", "there", as_of=None)

    async def call(number: int) -> Any:
        try:
            return await cache.run(get(number))
        except LookupError as error:
            return str(error)

    found = await cache.together([lambda n=n: call(n) for n in (1, 2, 3)])  # type: ignore[misc]
    assert found[2] == "there"
    assert "1" in found[0]
    assert "2" in found[1]
    if cache.awaited:
        assert found[:2] == ["[1, 2]", "[1, 2]"]
        assert get.stats().errors == 1
    with pytest.raises(LookupError, match="4"):
        await cache.run(get.many([3, 4]))


async def test_a_value_that_cannot_be_stored_is_the_affair_of_its_key(shared: Face):
    rows = Rows(shared)
    rows.row = lambda number, version: object() if number == 2 else number  # type: ignore[method-assign]
    one, two, three = await rows.all(1, 2, 3)
    assert (one, three) == (1, 3)
    assert isinstance(two, UnsupportedValue)


async def test_absent_keys_have_a_value(cache: Face):
    rows = Rows(cache, absent=None)
    assert await rows.all(1, 200) == ["1 v1", None]
    assert await rows.all(1, 200) == ["1 v1", None]
    assert rows.ran([1, 200])
    assert await cache.run(rows.get.many([200, 300])) == {200: None, 300: None}


async def test_values_that_are_not_stored(cache: Face):
    rows = Rows(cache, unless=lambda row: row.startswith("2 "))
    assert await rows.all(1, 2) == ["1 v1", "2 v1"]
    assert await cache.get_many(["row:1", "row:2"]) == {"row:1": "1 v1"}


async def test_a_run_takes_so_many_keys(cache: Face):
    rows = Rows(cache, max_size=3)
    assert len(await rows.all(*range(7))) == 7
    assert max(map(len, rows.runs)) <= 3
    assert sorted(number for run in rows.runs for number in run) == [*range(7)]
    rows.runs.clear()
    assert len(await cache.run(rows.get.many(range(20, 28)))) == 8
    assert sorted(map(len, rows.runs)) == [2, 3, 3]


async def test_a_part_that_fails_leaves_the_others(cache: Face):
    async def fail(numbers: list[int]) -> dict[int, int]:
        if 3 in numbers:
            raise LookupError
        return {number: number for number in numbers}

    get = cache.made(cache_batch(using=cache.store, key="n:{number}", max_size=2), fail)
    with pytest.raises(LookupError):
        await cache.run(get.many([1, 2, 3, 4]))
    assert await cache.get_many(["n:1", "n:2", "n:3"]) == {"n:1": 1, "n:2": 2}


async def test_keys_that_others_load_are_not_loaded_again(cache: Face, rows: Rows):
    began, gate = cache.gate(), cache.gate()

    async def load() -> str:
        began.open()
        await gate.passed()
        return "single"

    async def single() -> Any:
        return await cache.get_or_set("row:1", cache.loader(load))

    async def batch() -> Any:
        await began.passed()
        return await cache.run(rows.get.many([1, 2]))

    async def release() -> None:
        await rows.began.passed()
        gate.open()

    found = await cache.together([single, batch, release])
    assert found[:2] == ["single", {1: "single", 2: "2 v1"}]
    assert rows.runs == [[2]]


async def test_an_invalidation_of_one_key_meanwhile(tagged: Face):
    rows = Rows(tagged, full=2)
    rows.wait()

    async def invalidate() -> None:
        await rows.began.passed()
        rows.version = 2
        await tagged.invalidate_tag("row:2")
        rows.gate.open()

    async def call(number: int) -> Any:
        return await rows(number)

    works: Any = [lambda: call(1), lambda: call(2), invalidate]
    assert (await tagged.together(works))[:2] == ["1 v1", "2 v1"]
    assert await tagged.run(rows.get.many([1, 2])) == {1: "1 v1", 2: "2 v2"}
    assert rows.runs == [[1, 2], [2]]
    assert await tagged.get_tags_for_key("row:1") == ["row:1", "rows"]


async def test_stale_values_are_renewed_behind_the_callers(kit: Kit, cache: Face):
    rows = Rows(cache, ttl=0.05, stale_while_revalidate=LONG)
    await rows.all(1, 2)
    await kit.expired(cache, "row:1", 0.05)
    await kit.expired(cache, "row:2", 0)
    rows.version = 2
    assert await rows.all(1, 2) == ["1 v1", "2 v1"]

    async def renewed() -> bool:
        return await rows.all(1, 2) == ["1 v2", "2 v2"]

    await eventually(renewed, "stale values are loaded again")


async def test_refresh_of_one_key(cache: Face, rows: Rows):
    await rows.all(1, 2)
    rows.version = 2
    assert await cache.run(rows.get.refresh(1)) == "1 v2"
    assert await rows.all(1, 2) == ["1 v2", "2 v1"]
    assert rows.get.key_for(1) == "row:1"
    if cache.store.supports_tags:
        assert rows.get.tags_for(1) == ("rows", "row:1")


async def test_strong_reads_of_a_batch(shared: Face, kit: Kit):
    far = kit.open(far=True)
    rows = Rows(shared, consistency="strong")
    for turn in range(3):
        await far.set("row:1", turn, as_of=None)
        assert await rows.all(1, 1) == [turn, turn]
