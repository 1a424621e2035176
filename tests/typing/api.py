"""What type checkers see of decorated functions; checked by mypy --strict and pyright."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, assert_type

from armature_cache import Advice, CacheRegistry, sync
from armature_cache.decorator import (
    AsyncBatchFunction,
    AsyncCachedFunction,
    BatchFunction,
    CachedFunction,
    FunctionStats,
    cache,
    cache_batch,
    cache_invalidate,
    cache_update,
    cached,
    set_default_cache,
)
from armature_cache.scopes import request_scope
from armature_cache.stores.memory import InMemoryCache
from armature_cache.stores.tagged import TaggedCache

store = TaggedCache(InMemoryCache())
plain_store = sync.TaggedCache(sync.InMemoryCache())


@dataclass(frozen=True)
class User:
    id: int
    name: str


@cache
def area(width: int, height: float = 1.0) -> float:
    return width * height


@cache()
def nothing() -> None: ...


@cache(ttl=300, key="user:{user_id}", tags=["users", "user:{user_id}"], using=store)
async def get_user(user_id: int, *, fresh: bool = False) -> User | None:
    return None if fresh else User(user_id, "Ada")


@cached(plain_store, tag="users")
def get_name(user: User) -> str:
    return user.name


def is_real(user_id: int) -> bool:
    return user_id > 0


@cache(when=is_real, unless=lambda user: user is None, consistency="strong")
async def find_user(user_id: int) -> User | None:
    return User(user_id, "Ada")


def is_short(name: str) -> bool:
    return len(name) < 9


@cache(scope="both", unless=is_short, using=plain_store)
def long_name(user_id: int, *, upper: bool = False) -> str:
    return f"{user_id}{upper}"


@cache_update(key=get_user, unless=lambda user: user is None)
async def rename(user_id: int, name: str) -> User:
    return User(user_id, name)


@cache_update(key="user:{result.id}", tags=["users", "user:{result.id}"], using=plain_store)
def create(name: str, *, team: str = "a") -> User:
    return User(len(team), name)


@cache_invalidate(tags="user:{user_id}", keys=[get_user, "name:{user_id}"], when=is_real)
async def delete_user(user_id: int) -> None: ...


@cache_batch(key="user:{user_id}", tags=["users", "user:{user_id}"], ttl=60, using=store)
async def get_users(user_ids: list[int]) -> dict[int, User]:
    return {user_id: User(user_id, "Ada") for user_id in user_ids}


@cache_batch(window=0.005, max_size=50, using=plain_store)
def get_names(ids: Sequence[str]) -> Mapping[str, str | Exception]:
    return {each: each for each in ids}


@cache_batch(absent=None)
async def maybe_users(ids: list[int]) -> dict[int, User | Exception]:
    return {each: LookupError(each) for each in ids}


class Batches:
    @cache_batch(ttl=60)
    async def load(self, ids: list[int]) -> dict[int, User]:
        return {each: User(each, "Ada") for each in ids}

    @cache_batch(absent=0)
    def sizes(self, names: list[str]) -> dict[str, int]:
        return {name: len(name) for name in names}

    @cache_batch()
    @staticmethod
    async def helper(ids: list[int]) -> dict[int, str]:
        return {each: str(each) for each in ids}

    @cache_batch()
    @classmethod
    async def of_class(cls, ids: list[int]) -> dict[int, str]:
        return dict.fromkeys(ids, cls.__name__)

    @cache_update(key=get_user)
    async def rename(self, user_id: int, name: str) -> User:
        return User(user_id, name)

    @cache_invalidate(tags="users")
    @classmethod
    def forget(cls, name: str) -> int:
        return len(name)

    @staticmethod
    @cache_invalidate(tags="users")
    def forget_too(name: str) -> int:
        return len(name)


class Service:
    def __init__(self) -> None:
        self.cache = store

    @cache(ttl=60)
    async def load(self, user_id: int) -> User:
        return User(user_id, "Ada")

    @cache
    def size(self, unit: str = "B") -> int:
        return len(unit)

    @classmethod
    @cache
    def build(cls, name: str) -> User:
        return User(1, name)

    @cache
    @classmethod
    def build_too(cls, name: str) -> User:
        return User(1, name)

    @classmethod
    @cache(ttl=60)
    async def find(cls, name: str) -> User:
        return User(1, name)

    @staticmethod
    @cache
    def helper(number: int) -> str:
        return str(number)

    @cache
    @staticmethod
    def helper_too(number: int) -> str:
        return str(number)


def plain_functions() -> None:
    assert_type(area(1), float)
    assert_type(area(width=1, height=2.0), float)
    assert_type(area.invalidate(1), bool)
    assert_type(area.refresh(1, 2.0), float)
    assert_type(area.key_for(1), str)
    assert_type(area.tags_for(1), tuple[str, ...])
    assert_type(area.stats(), FunctionStats)
    assert_type(area.stats().hits, int)
    assert_type(get_name(User(1, "Ada")), str)
    nothing()
    area("1")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    area.invalidate("1")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    area.key_for()  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    str(area.other)  # type: ignore[attr-defined] # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownArgumentType]


async def coroutine_functions() -> None:
    assert_type(await get_user(1), User | None)
    assert_type(await get_user.invalidate(1), bool)
    assert_type(await get_user.refresh(user_id=1), User | None)
    assert_type(get_user.key_for(1), str)
    assert_type(get_user.stats(), FunctionStats)
    await get_user("1")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    await get_user(1, True)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]


async def methods(service: Service) -> None:
    assert_type(await service.load(1), User)
    assert_type(await service.load.invalidate(1), bool)
    assert_type(await Service.load.invalidate(service, 1), bool)
    assert_type(await Service.load(service, user_id=1), User)
    assert_type(service.load.key_for(1), str)
    assert_type(service.size(), int)
    assert_type(service.size.refresh("kB"), int)
    assert_type(Service.size(service), int)
    assert_type(Service.build("Ada"), User)
    assert_type(service.build("Ada"), User)
    assert_type(Service.build.invalidate("Ada"), bool)
    assert_type(Service.build_too("Ada"), User)
    assert_type(service.build_too("Ada"), User)
    assert_type(Service.build_too.invalidate("Ada"), bool)
    assert_type(await Service.find("Ada"), User)
    assert_type(await Service.find.invalidate("Ada"), bool)
    assert_type(Service.helper(1), str)
    assert_type(service.helper(1), str)
    assert_type(Service.helper_too(1), str)
    assert_type(service.helper_too(1), str)
    assert_type(service.helper_too.invalidate(1), bool)
    await service.load("1")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    service.size(1)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


async def conditions_and_requests() -> None:
    assert_type(await find_user(1), User | None)
    assert_type(long_name(1, upper=True), str)
    assert_type(long_name.refresh(1), str)
    async with request_scope():
        assert_type(long_name(1), str)
    with request_scope(max_entries=10):
        assert_type(long_name(1), str)
    await find_user("1")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    cache(when=3)  # type: ignore[call-overload] # pyright: ignore[reportArgumentType]
    cache(unless=lambda: True)  # type: ignore[arg-type,misc] # pyright: ignore[reportArgumentType]
    cache(scope="forever")  # type: ignore[call-overload] # pyright: ignore[reportArgumentType]
    cache(consistency="weak")  # type: ignore[call-overload] # pyright: ignore[reportArgumentType]


async def writing_functions(service: Batches) -> None:
    """Their types stay what they were."""
    assert_type(await rename(1, "Ada"), User)
    assert_type(await rename(user_id=1, name="Ada"), User)
    assert_type(create("Ada", team="b"), User)
    await delete_user(1)
    assert_type(await service.rename(1, "Ada"), User)
    assert_type(await Batches.rename(service, 1, "Ada"), User)
    assert_type(Batches.forget("a"), int)
    assert_type(service.forget("a"), int)
    assert_type(Batches.forget_too("a"), int)
    await rename("1", "Ada")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    create(team="b")  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    cache_update(ttl=3)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    cache_invalidate(keys=3)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


async def batches(service: Batches) -> None:
    assert_type(await get_users(1), User)
    assert_type(await get_users.many([1, 2]), dict[int, User])
    assert_type(await get_users.many({1, 2}), dict[int, User])
    assert_type(await get_users.invalidate(1), bool)
    assert_type(await get_users.invalidate_many([1]), int)
    assert_type(await get_users.refresh(1), User)
    assert_type(get_users.key_for(1), str)
    assert_type(get_users.tags_for(1), tuple[str, ...])
    assert_type(get_users.stats(), FunctionStats)
    assert_type(get_names("a"), str)
    assert_type(get_names.many(["a"]), dict[str, str])
    assert_type(get_names.refresh("a"), str)
    assert_type(await maybe_users(1), User | None)
    assert_type(await maybe_users.many([1]), dict[int, User | None])
    assert_type(await service.load(1), User)
    assert_type(await service.load.many([1]), dict[int, User])
    assert_type(await service.load.invalidate(1), bool)
    assert_type(service.load.key_for(1), str)
    assert_type(await Batches.load(service, 1), User)
    assert_type(await Batches.load.many(service, [1]), dict[int, User])
    assert_type(service.sizes("a"), int)
    assert_type(service.sizes.many(["a"]), dict[str, int])
    assert_type(await Batches.helper(1), str)
    assert_type(await service.helper.many([1]), dict[int, str])
    assert_type(await Batches.of_class(1), str)
    assert_type(await Batches.of_class.many([1]), dict[int, str])
    await get_users("1")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    await get_users([1])  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    await get_users.many(["1"])  # type: ignore[list-item] # pyright: ignore[reportArgumentType]
    service.sizes(1)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


def as_values() -> None:
    five: Callable[[int], Coroutine[Any, Any, User]] = get_users
    six: AsyncBatchFunction[int, User] = get_users
    seven: BatchFunction[str, str] = get_names
    assert_type([five, six, seven].__len__(), int)
    one: Callable[[int], float] = area
    two: CachedFunction[[User], str] = get_name
    three: Callable[[int], Coroutine[Any, Any, User | None]] = get_user
    four: AsyncCachedFunction[..., User | None] = get_user
    assert_type([one, two, three, four].__len__(), int)


def options() -> None:
    set_default_cache(store)
    set_default_cache(plain_store)
    set_default_cache(None)
    cache(ttl="300")  # type: ignore[call-overload] # pyright: ignore[reportArgumentType]
    cache(using=3)  # type: ignore[call-overload] # pyright: ignore[reportArgumentType]
    set_default_cache(3)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


caches = CacheRegistry.from_mapping({"default": {"url": "memory://"}}, profiles={"short": {}})


@caches.cached("short", tags="users")
async def borrowed(user_id: int) -> User:
    return User(user_id, "Ada")


@caches.cached()
def borrowed_too(user: User) -> str:
    return user.name


async def registries() -> None:
    assert_type(await borrowed(1), User)
    assert_type(borrowed_too(User(1, "Ada")), str)
    assert_type(caches["default"], TaggedCache)
    assert_type(caches.sync(), sync.TaggedCache)
    assert_type(store.sync(), sync.TaggedCache)
    assert_type(await caches["default"].advise(), tuple[Advice, ...])
    caches.cached(ttl="1h")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    await borrowed("1")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
