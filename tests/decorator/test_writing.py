"""Functions that write: every kind of callable, and what is refused when one is decorated."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import inspect
from typing import Any

import pytest

from armature_cache import CacheConfig, RedisCache
from armature_cache.decorator import cache, cache_batch, cache_invalidate, cache_update
from armature_cache.errors import CacheKeyError, ConfigError, InvalidTag, TagsNotSupported
from armature_cache.stores.memory import InMemoryCache
from armature_cache.stores.tagged import TaggedCache
from tests.contract.faces import Face


@dataclasses.dataclass
class User:
    id: int
    name: str


class Users:
    """A service whose methods read and write; every tenant has entries of its own."""

    rows: dict[int, str]

    def __init__(self, store: Any, tenant: str = "t") -> None:
        self.cache = store
        self.tenant = tenant
        self.rows = {1: "one"}

    def __cache_key__(self) -> str:
        return self.tenant

    @cache
    def get(self, user_id: int) -> str:
        """Read."""
        return self.rows[user_id]

    @cache(key="name:{user_id}", tags="names")
    def name(self, user_id: int) -> str:
        return self.rows[user_id]

    @cache_update(key=get)
    def put(self, user_id: int, name: str) -> str:
        """Write."""
        self.rows[user_id] = name
        return name

    @cache_update(key="name:{user_id}", tags="names")
    def put_name(self, user_id: int, name: str) -> str:
        self.rows[user_id] = name
        return name

    @cache_invalidate(keys=[get, name])
    def change(self, user_id: int, name: str) -> None:
        self.rows[user_id] = name

    @cache_invalidate(keys="name:{user_id}", tags="of {self.tenant}")
    def change_name(self, user_id: int, name: str) -> None:
        self.rows[user_id] = name


def test_methods(store: TaggedCache):
    plain = store.sync()
    red, blue = Users(plain, "red"), Users(plain, "blue")
    assert [red.get(1), blue.get(1), red.name(1), blue.name(1)] == ["one"] * 4
    assert red.put(1, "uno") == Users.put(red, 1, name="uno") == "uno"
    assert red.put_name(1, "eins") == "eins"
    assert [red.get(1), blue.get(1), red.name(1), blue.name(1)] == ["uno", "one", "eins", "one"]
    red.change(1, name="un")
    assert [red.get(1), blue.get(1), red.name(1)] == ["un", "one", "un"]
    plain.set("tagged", 1, tags="of red")
    red.change_name(1, "ichi")
    assert [red.get(1), red.name(1), plain.get("tagged")] == ["un", "ichi", None]


class Table:
    @cache(key="rows:{number}", ignore="cls")
    @classmethod
    def read(cls, number: int) -> str:
        return "read"

    @cache_update(key=read)
    @classmethod
    def above_class(cls, number: int) -> str:
        return f"{cls.__name__} {number}"

    @classmethod
    @cache_update(key=read)
    def below_class(cls, number: int) -> str:
        return f"{cls.__name__} below {number}"

    @cache_update(key="rows:{number}")
    @staticmethod
    def above_static(number: int) -> str:
        return f"static {number}"

    @staticmethod
    @cache_update(key="rows:{number}")
    def below_static(number: int) -> str:
        return f"static below {number}"

    @cache_update(key=read)
    def of_an_instance(self, number: int) -> str:
        return f"instance {number}"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("above_class", "Table 1"),
        ("below_class", "Table below 1"),
        ("above_static", "static 1"),
        ("below_static", "static below 1"),
        ("of_an_instance", "instance 1"),
    ],
)
def test_classmethods_and_staticmethods(name: str, expected: str):
    Table.read.invalidate(1)
    for target in (Table(),) if name == "of_an_instance" else (Table, Table()):
        assert getattr(target, name)(1) == expected
        assert Table.read(1) == expected


async def test_coroutine_methods(store: TaggedCache):
    class Service:
        def __init__(self) -> None:
            self.cache = store

        @cache(tags="user:{user_id}", ignore="self")
        async def get(self, user_id: int, lang: str = "en") -> str:
            return f"{user_id} {lang}"

        @cache_update(key=get)
        async def put(self, user_id: int, text: str) -> str:
            return text

        @cache_invalidate(tags="user:{user_id}")
        async def drop(self, user_id: int) -> int:
            return user_id

    service = Service()
    assert await service.put(1, "put") == "put"
    assert await service.get(1) == "put"
    assert await service.get(1, "de") == "1 de"
    assert await service.drop(1) == 1
    assert await service.get(1) == "1 en"
    assert inspect.iscoroutinefunction(Service.put)
    assert inspect.iscoroutinefunction(service.drop)


def test_others_see_the_original(store: TaggedCache):
    assert Users.put.__doc__ == "Write."
    assert Users.put.__qualname__ == "Users.put"
    assert str(inspect.signature(Users.put)) == "(self, user_id: 'int', name: 'str') -> 'str'"
    assert inspect.isfunction(Users.put)
    assert not inspect.iscoroutinefunction(Users.put)


async def test_an_entry_named_by_the_result(face: Face):
    created: list[str] = []

    async def create(name: str, tags: tuple[str, ...] = ()) -> User | None:
        created.append(name)
        return User(len(created), name) if name else None

    options: dict[str, Any] = {"using": face.store, "unless": lambda user: user is None}
    made = face.made(
        cache_update(key="user:{result.id}", tags=["users", "named:{result.name}"], **options),
        create,
    )
    user = await face.run(made("Ada"))
    assert await face.get("user:1") is user
    assert await face.get_tags_for_key("user:1") == ["named:Ada", "users"]
    assert await face.run(made("")) is None, "no result, no entry"
    del options["unless"]
    made = face.made(cache_update(key="user:{result.id}", **options), create)
    with pytest.raises(CacheKeyError, match=r"result\.id") as caught:
        await face.run(made(""))
    assert caught.value.__notes__ == ["The function itself has returned."]
    assert created == ["Ada", "", ""]


async def test_tags_that_the_result_does_not_give(face: Face):
    async def rename(user_id: int, name: str) -> User | None:
        return User(user_id, name) if name else None

    made = face.made(
        cache_update(key="user:{user_id}", tags="named:{result.name}", using=face.store), rename
    )
    await face.run(made(1, "Ada"))
    with pytest.raises(CacheKeyError, match=r"result\.name"):
        await face.run(made(1, ""))
    assert await face.get("user:1") is None, "the old entry is not right any more"


async def test_bad_arguments_are_refused_before_anything_is_written(face: Face):
    written: list[Any] = []

    async def write(session: object, name: str) -> str:
        written.append(name)
        return name

    made = [
        face.made(cache_update(key="k:{session}", using=face.store), write),
        face.made(cache_update(key="k", tags="{name}", using=face.store), write),
        face.made(cache_invalidate(tags="{name}", using=face.store), write),
        face.made(cache_invalidate(keys="k:{session}", using=face.store), write),
    ]
    errors: tuple[type[Exception], ...] = (CacheKeyError, InvalidTag, InvalidTag, CacheKeyError)
    for function, error in zip(made, errors, strict=True):
        with pytest.raises(error):
            await face.run(function(object(), ""))
        with pytest.raises(TypeError, match="argument"):
            await face.run(function())
    assert written == []


async def test_tags_need_a_store_with_tags(face: Face):
    bare: Any = InMemoryCache() if face.awaited else InMemoryCache().sync()
    written: list[int] = []

    async def write() -> int:
        written.append(1)
        return 1

    for decorator in (
        cache_update(key="k", tags="t", using=bare),
        cache_invalidate(tags="t", using=bare),
    ):
        with pytest.raises(TagsNotSupported):
            await face.run(face.made(decorator, write)())
    assert written == []
    await face.run(face.made(cache_invalidate(keys="k", using=bare), write)())
    assert await face.run(face.made(cache_update(key="k", using=bare), write)()) == 1
    assert await Face(bare).get("k") == 1


async def test_conditions_on_arguments(face: Face):
    async def write(user_id: int, name: str) -> str:
        return name

    made = face.made(
        cache_update(key="user:{user_id}", when=lambda name: name != "x", using=face.store), write
    )
    await face.run(made(1, "a"))
    await face.run(made(1, "x"))
    assert await face.get("user:1") == "a"


async def test_options_of_the_reader_hold(face: Face):
    async def read(user_id: int) -> str | None:
        raise AssertionError

    async def write(user_id: int, name: str | None) -> str | None:
        return name

    reader = face.made(
        cache(
            using=face.store, ttl=60, tags=["users", "user:{user_id}"], cache_none=False,
            stale_for=600, unless=lambda name: name == "secret",
        ),
        read,
    )  # fmt: skip
    made = face.made(cache_update(key=reader), write)
    key = reader.key_for(1)
    await face.run(made(1, "name"))
    assert await face.run(reader(1)) == "name"
    assert 59 < await face.ttl(key) <= 60
    assert await face.get_tags_for_key(key) == ["user:1", "users"]
    for name in (None, "secret"):
        await face.run(made(1, "name"))
        await face.run(made(1, name))
        assert await face.exists(key) is False


async def test_an_entry_of_a_batch(face: Face):
    async def read(user_ids: list[int]) -> dict[int, str]:
        return dict.fromkeys(user_ids, "read")

    async def write(user_id: int, name: str) -> str:
        return name

    users = face.made(cache_batch(using=face.store, tags="user:{user_id}"), read)
    put = face.made(cache_update(key=users), write)
    drop = face.made(cache_invalidate(keys=users, using=face.store), write)
    await face.run(put(1, "written"))
    assert await face.run(users.many([1, 2])) == {1: "written", 2: "read"}
    await face.run(drop(1, ""))
    assert await face.run(users(1)) == "read"


async def test_a_bound_method_as_the_key(store: TaggedCache):
    users = Users(store.sync())

    @cache_invalidate(keys=users.get, using=store.sync())
    def change(user_id: int) -> None: ...

    users.get(1)
    users.rows[1] = "new"
    change(1)
    assert users.get(1) == "new"


async def test_a_call_that_is_cancelled(store: TaggedCache):
    began = asyncio.Event()

    async def write(user_id: int) -> None:
        began.set()
        await asyncio.Event().wait()

    careless = cache_invalidate(tags="t", using=store)(write)
    careful = cache_invalidate(tags="t", on_error=True, using=store)(write)
    for function, left in ((careless, 1), (careful, None)):
        await store.set("k", 1, tags="t")
        began.clear()
        task = asyncio.create_task(function(1))
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await store.get("k") == left


async def test_a_call_that_is_never_awaited_to_its_end():
    """Nothing can be sent while it is closed: that would have to wait."""
    nowhere = TaggedCache(RedisCache(CacheConfig.redis("redis://127.0.0.1:1/0", hints=False)))

    @cache_invalidate(tags="t", on_error=True, using=nowhere)
    async def write() -> None:
        await asyncio.sleep(0)

    call = write()
    call.send(None)
    call.close()


async def test_decorators_above_one_another(face: Face):
    async def write(user_id: int, name: str) -> str:
        return name

    made = face.made(cache_update(key="user:{user_id}", using=face.store), write)
    made = cache_invalidate(tags="lists", keys="count", using=face.store)(made)
    await face.set("count", 1)
    await face.set("list", 1, tags="lists")
    await face.run(made(1, "a"))
    assert await face.get_many(["count", "list", "user:1"]) == {"user:1": "a"}


@cache
def reader(user_id: int) -> int:
    return user_id


@cache
def starred(*user_ids: int) -> int:
    return len(user_ids)


@cache(scope="request")
def of_requests(user_id: int) -> int:
    return user_id


@cache
async def awaited(user_id: int) -> int:
    return user_id


def unfit(value: Any) -> Any:
    """What type checkers refuse."""
    return value


def writer(user_id: int, name: str) -> None: ...


def stranger(other: int) -> None: ...


@pytest.mark.parametrize(
    ("decorate", "function", "message"),
    [
        (lambda: cache_update(key=reader), stranger, "has no parameter user_id; it has: other"),
        (lambda: cache_invalidate(keys=[reader]), stranger, "has no parameter user_id"),
        (lambda: cache_update(key=starred), writer, "takes any number"),
        (lambda: cache_update(key=awaited), writer, "other face"),
        (lambda: cache_invalidate(keys=["a", awaited]), writer, "other face"),
        (lambda: cache_update(key=Users.get), writer, "it is a method"),
        (lambda: cache_update(key=of_requests), writer, "keeps results for one request"),
        (lambda: cache_update(key=reader, ttl=3), writer, "ttl is that of"),
        (lambda: cache_update(key=reader, tags="t"), writer, "tags is that of"),
        (lambda: cache_update(key=reader, type=int), writer, "type is that of"),
        (lambda: cache_update(key=unfit(["a", "b"])), writer, "one key template or one"),
        (lambda: cache_update(key=unfit(3)), writer, "takes key templates and cached functions"),
        (lambda: cache_update(key="{nobody}"), writer, "is no parameter; there are: user_id, name"),
        (lambda: cache_update(key="{result.id}", on_error=True), writer, "on_error=True goes with"),
        (lambda: cache_invalidate(tags="{result}", before=True), writer, "before=True goes with"),
        (lambda: cache_invalidate(tags="{nobody}"), writer, "is no parameter"),
        (cache_invalidate, writer, "nothing to invalidate"),
        (lambda: cache_invalidate(tags="t", after=False), writer, "it would do nothing"),
        (
            lambda: cache_invalidate(tags="t", on_failure=unfit("cry")),
            writer,
            'on_failure is "log"',
        ),
        (lambda: cache_invalidate(tags="t", using=unfit(3)), writer, "using is a store"),
        (lambda: cache_update(key="k", using=TaggedCache(InMemoryCache())), writer, "store.sync"),
        (lambda: cache_update(key="k"), reader, "does not always run"),
        (lambda: cache_update(key="k"), User, "decorate a function"),
        (lambda: cache_update(key="k"), Users(None).put, "in the body of its class"),
        (lambda: cache_update(key="k"), functools.partial(writer, 1), "no name to make keys of"),
    ],
)
def test_what_is_refused_when_decorating(decorate: Any, function: Any, message: str):
    with pytest.raises(ConfigError, match=message) as caught:
        decorate()(function)
    assert caught.value.field


def test_a_tag_that_is_none():
    with pytest.raises(ConfigError, match="non-empty"):
        cache_invalidate(tags="")(writer)
    with pytest.raises(InvalidTag):
        cache_invalidate(tags="t" * 2000)(writer)


def test_a_parameter_called_result_is_an_argument(store: TaggedCache):
    plain = store.sync()

    @cache_invalidate(tags="old:{result}", before=True, using=plain)
    @cache_update(key="k:{result}", tags="t:{result}", on_error=True, using=plain)
    def write(result: int) -> str:
        return "written"

    plain.set("old", 1, tags="old:7")
    write(7)
    assert plain.get("k:7") == "written"
    assert plain.get_tags_for_key("k:7") == ["t:7"]
    assert plain.get("old") is None
