"""Decorators of functions that write: what is cached afterwards, here and in other processes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from armature_cache.decorator import cache, cache_invalidate, cache_update
from armature_cache.errors import CacheKeyError
from tests.contract.faces import Face, eventually
from tests.contract.stacks import Kit

GONE = "gone"


class Table:
    """A table of the source, and functions that read and write it."""

    def __init__(self, face: Face) -> None:
        self.rows = {1: "one", 2: "two"}
        self.reads = 0
        self.gate, self.written = face.gate(), face.gate()
        self.gate.open()
        tagged = face.store.supports_tags
        tags: dict[str, Any] = {"tags": ["users", "user:{user_id}"]} if tagged else {}
        self._face = face

        async def get(user_id: int) -> str:
            self.reads += 1
            return self.rows[user_id]

        async def put(user_id: int, name: str) -> str:
            self.rows[user_id] = name
            self.written.open()
            await self.gate.passed()
            return name

        self.reader = face.made(cache(using=face.store, key="user:{user_id}", **tags), get)
        self.put = put
        self.writer = face.made(cache_update(key=self.reader), put)

    async def read(self, user_id: int) -> str:
        found: str = await self._face.run(self.reader(user_id))
        return found

    async def write(self, user_id: int, name: str) -> object:
        return await self._face.run(self.writer(user_id, name))

    def wait(self) -> None:
        """Let a write wait between its commit and its return."""
        self.gate, self.written = self._face.gate(), self._face.gate()


@pytest.fixture
def table(cache: Face) -> Table:
    return Table(cache)


async def test_a_result_takes_the_place_of_what_is_cached(cache: Face, table: Table):
    assert await table.read(1) == "one"
    assert await table.write(1, "uno") == "uno"
    assert await cache.get("user:1") == "uno"
    assert await table.read(1) == "uno"
    assert table.reads == 1


async def test_a_result_is_stored_where_nothing_was(cache: Face, table: Table):
    await table.write(2, "due")
    assert await table.read(2) == "due"
    assert table.reads == 0


async def test_other_processes_see_an_update(shared: Face, kit: Kit):
    table = Table(shared)
    far = kit.open(far=True)
    await table.read(1)
    assert await far.get("user:1") == "one"
    await table.write(1, "uno")

    async def seen() -> bool:
        return bool(await far.get("user:1") == "uno")

    await eventually(seen, "an update reaches another process")
    assert await far.get("user:1", consistency="strong") == "uno"


async def test_a_load_that_began_before_an_update_does_not_win(cache: Face, table: Table):
    began, gate = cache.gate(), cache.gate()

    async def slow() -> str:
        old = table.rows[1]
        began.open()
        await gate.passed()
        return old

    async def read() -> object:
        return await cache.get_or_set("user:1", cache.loader(slow), lock_timeout=0)

    async def write() -> object:
        await began.passed()
        outcome = await table.write(1, "uno")
        gate.open()
        return outcome

    assert await cache.together([read, write]) == ["one", "uno"]
    assert await cache.get("user:1", GONE) == "uno"


async def _overtaken(face: Face, table: Table, meanwhile: Any) -> None:
    """Do something between the commit of a write and its return."""
    table.wait()

    async def other() -> object:
        await table.written.passed()
        await meanwhile()
        table.gate.open()
        return None

    outcome = await face.together([lambda: table.write(1, "uno"), other])
    assert outcome[0] == "uno"


async def test_of_two_updates_at_once_the_later_commit_is_read(cache: Face, table: Table):
    """The first one returns last, and does not know of the other."""
    await table.read(1)
    second = Table(cache)
    second.rows = table.rows
    await _overtaken(cache, table, lambda: second.write(1, "second"))
    assert table.rows[1] == "second"
    assert await cache.get("user:1", GONE) in {"second", GONE}
    assert await table.read(1) == "second"


async def test_an_invalidation_meanwhile_wins(tagged: Face):
    table = Table(tagged)

    async def change() -> None:
        table.rows[1] = "newer"
        await tagged.invalidate_tag("user:1")

    await _overtaken(tagged, table, change)
    assert await tagged.get("user:1", GONE) == GONE
    assert await table.read(1) == "newer"


async def test_a_delete_and_a_load_of_the_old_row_meanwhile(cache: Face, table: Table):
    """The load is newer than the delete, so the update has to make its key invalid once more."""
    began, gate = cache.gate(), cache.gate()

    async def slow() -> str:
        began.open()
        await gate.passed()
        return "one"

    async def read() -> object:
        await table.written.passed()
        await cache.delete("user:1")
        return await cache.get_or_set("user:1", cache.loader(slow), lock_timeout=0)

    async def finish() -> object:
        await began.passed()
        table.gate.open()
        return None

    table.wait()
    table_done = cache.gate()

    async def write() -> object:
        await table.write(1, "uno")
        table_done.open()
        return None

    async def let_go() -> object:
        await table_done.passed()
        gate.open()
        return None

    await cache.together([write, read, finish, let_go])
    assert await cache.get("user:1", GONE) in {"uno", GONE}
    assert await table.read(1) == "uno"


async def test_an_update_that_stores_nothing_deletes(cache: Face, table: Table):
    put = cache.made(
        cache_update(key=table.reader, unless=lambda name: name == "secret"), table.put
    )
    await table.read(1)
    await cache.run(put(1, "secret"))
    assert await cache.get("user:1", GONE) == GONE
    assert await table.read(1) == "secret"
    await cache.run(put(1, "open"))
    assert await cache.get("user:1") == "open"


async def test_an_update_that_fails_may_delete(cache: Face, table: Table):
    async def fail(user_id: int) -> str:
        table.rows[user_id] = "written"
        raise LookupError

    careless = cache.made(cache_update(key=table.reader), fail)
    careful = cache.made(cache_update(key=table.reader, on_error=True), fail)
    await table.read(1)
    with pytest.raises(LookupError):
        await cache.run(careless(1))
    assert await table.read(1) == "one"
    with pytest.raises(LookupError):
        await cache.run(careful(1))
    assert await table.read(1) == "written"


async def test_a_value_that_cannot_be_stored_deletes_and_is_told(shared: Face):
    table = Table(shared)

    async def put(user_id: int, name: object) -> Any:
        table.rows[user_id] = "written"
        return name

    made = shared.made(cache_update(key="user:{user_id}", using=shared.store), put)
    await table.read(1)
    with pytest.raises(Exception, match="value"):
        await shared.run(made(1, object()))
    assert await table.read(1) == "written"


async def test_tags_of_the_result(tagged: Face):
    async def create(name: str) -> dict[str, str]:
        return {"name": name}

    made = tagged.made(
        cache_update(key="named:{name}", tags=["users", "user:{name}"], using=tagged.store), create
    )
    await tagged.run(made("ada"))
    assert await tagged.get("named:ada") == {"name": "ada"}
    assert await tagged.get_tags_for_key("named:ada") == ["user:ada", "users"]
    await tagged.invalidate_tag("user:ada")
    assert await tagged.get("named:ada") is None


# -- invalidations ----------------------------------------------------------------------------


async def test_tags_and_keys_are_invalidated_after_the_call(tagged: Face):
    table = Table(tagged)
    await tagged.set("count", 2)
    await tagged.set("other", 1, tags="user:2")
    seen = []

    async def rename(user_id: int, name: str) -> None:
        seen.append(await tagged.get("user:1", GONE))
        table.rows[user_id] = name

    made = tagged.made(
        cache_invalidate(tags="user:{user_id}", keys="count", using=tagged.store), rename
    )
    await table.read(1)
    await tagged.run(made(1, "uno"))
    assert seen == ["one"]
    assert await tagged.get_many(["user:1", "count", "other"]) == {"other": 1}
    assert await table.read(1) == "uno"


async def test_before_and_after(tagged: Face):
    table = Table(tagged)
    seen = []

    async def rename(user_id: int, name: str) -> None:
        seen.append(await tagged.get("user:1", GONE))
        await table.read(user_id)  # a reader between the two
        table.rows[user_id] = name

    options: dict[str, Any] = {"tags": "user:{user_id}", "using": tagged.store}
    both = tagged.made(cache_invalidate(before=True, **options), rename)
    early = tagged.made(cache_invalidate(before=True, after=False, **options), rename)
    await table.read(1)
    await tagged.run(both(1, "uno"))
    assert await table.read(1) == "uno"
    await tagged.run(early(1, "eins"))
    assert await table.read(1) == "uno", "what the reader stored between"
    assert seen == [GONE, GONE]


async def test_errors_and_conditions(tagged: Face):
    table = Table(tagged)

    async def rename(user_id: int, name: str) -> str:
        table.rows[user_id] = name
        if name == "bad":
            raise LookupError
        return name

    def made(**options: Any) -> Any:
        return tagged.made(
            cache_invalidate(tags="user:{user_id}", using=tagged.store, **options), rename
        )

    async def stays(function: Any, name: str) -> bool:
        await table.read(1)
        try:
            await tagged.run(function(1, name))
        except LookupError:
            assert name == "bad"
        return bool(await tagged.get("user:1", GONE) != GONE)

    assert await stays(made(), "bad") is True
    assert await stays(made(on_error=True), "bad") is False
    assert await stays(made(on_error=True), "good") is False
    assert await stays(made(when=lambda name: name != "same"), "same") is True
    assert await stays(made(when=lambda name: name != "same"), "other") is False
    assert await stays(made(unless=lambda result: result == "same"), "same") is True
    assert await stays(made(unless=lambda result: result == "same"), "other") is False
    assert await stays(made(unless=lambda result: True, before=True), "same") is False


async def test_an_error_of_a_condition_or_a_template_loses_no_invalidation(tagged: Face):
    """The function has written by then: what is known to be old goes, and the caller is told."""
    table = Table(tagged)

    async def rename(user_id: int, name: str) -> str:
        table.rows[user_id] = name
        return name

    def broken(result: str) -> bool:
        raise LookupError(result)

    using: Any = {"using": tagged.store}
    ways: list[tuple[Any, type[Exception]]] = [
        (cache_invalidate(tags="user:{user_id}", unless=broken, **using), LookupError),
        (cache_invalidate(tags=["users", "of:{result.id}"], **using), CacheKeyError),
        (cache_invalidate(keys=[table.reader, "of:{result.id}"], **using), CacheKeyError),
        (cache_update(key=table.reader, unless=broken), LookupError),
        (cache_update(key="user:{user_id}", tags="of:{result.id}", **using), CacheKeyError),
    ]
    for turn, (decorator, error) in enumerate(ways):
        await table.read(1)
        with pytest.raises(error) as caught:
            await tagged.run(tagged.made(decorator, rename)(1, f"name {turn}"))
        assert caught.value.__notes__ == ["The function itself has returned."]
        assert await table.read(1) == f"name {turn}"


async def test_soft_invalidations(tagged: Face):
    async def change() -> None: ...

    made = tagged.made(cache_invalidate(tags="t", soft=True, using=tagged.store), change)

    async def fail() -> str:
        raise LookupError

    await tagged.set("k", "old", tags="t")
    await tagged.run(made())
    assert await tagged.get("k", GONE) == GONE
    stale = await tagged.get_or_set("k", tagged.loader(fail), tags="t", stale_for=60)
    assert stale == "old"


async def test_the_result_names_what_is_invalidated(tagged: Face):
    class Row:
        id = 7

    async def change() -> Row:
        return Row()

    made = tagged.made(
        cache_invalidate(tags="user:{result.id}", keys="key:{result.id}", using=tagged.store),
        change,
    )
    await tagged.set("a", 1, tags="user:7")
    await tagged.set("key:7", 1)
    await tagged.run(made())
    assert await tagged.get_many(["a", "key:7"]) == {}


async def test_an_invalidation_costs_one_round_trip(
    tagged: Face, shared: Face, on_redis: Face, kit: Kit
):
    part = tagged.namespace("a part")
    of_part = part.made(cache(using=part.store, key="k:{number}"), _number)

    async def change(number: int) -> None: ...

    made = tagged.made(
        cache_invalidate(
            tags=["t", "u:{number}"], keys=["a:{number}", "b", of_part], using=tagged.store
        ),
        change,
    )
    await tagged.set("a:1", 1)
    assert await part.run(of_part(1)) == 1
    await tagged.set("c", 1, tags="u:1")
    assert await kit.fewest("evalsha", lambda: tagged.run(made(1))) == 1
    assert await tagged.get_many(["a:1", "c"]) == {}
    assert await part.get("k:1") is None


async def _number(number: int) -> int:
    return number


async def test_blocks_take_invalidations_and_updates_over(tagged: Face):
    table = Table(tagged)

    async def forget(user_id: int) -> None: ...

    made = tagged.made(
        cache_invalidate(tags="user:{user_id}", keys="k", before=True, using=tagged.store), forget
    )

    async def block(*, fails: bool) -> None:
        await tagged.run(made(1))
        await table.write(2, "due")
        assert await tagged.get_many(["user:1", "user:2", "k"]) == {
            "user:1": "one", "user:2": "two", "k": 1,
        }  # fmt: skip
        if fails:
            raise LookupError

    async def within(*, fails: bool) -> None:
        deferred = tagged.store.deferred_invalidation()
        if tagged.awaited:
            async with deferred:
                await block(fails=fails)
        else:
            with deferred:
                await block(fails=fails)

    for user_id in (1, 2):
        await table.read(user_id)
    await tagged.set("k", 1)
    with pytest.raises(LookupError):
        await within(fails=True)
    assert await tagged.get("k") == 1
    table.rows[2] = "two"
    await within(fails=False)
    assert await tagged.get_many(["user:1", "user:2", "k"]) == {}
    assert await table.read(2) == "due"


async def test_an_update_survives_another_task_of_the_same_function(
    kit: Kit, cache: Face, table: Table
):
    """Many at once for different keys: none is in the way of another."""
    table.rows = dict.fromkeys(range(8), "old")
    await asyncio.gather(*(table.read(number) for number in range(8)))
    await cache.together([lambda n=n: table.write(n, f"new {n}") for n in range(8)])  # type: ignore[misc]
    found = await cache.get_many([f"user:{number}" for number in range(8)])
    new = {f"user:{number}": f"new {number}" for number in range(8)}
    assert found.items() <= new.items()
    assert found == new or kit.stack.coarse
