"""What type checkers see of decorated functions; checked by mypy --strict and pyright."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, assert_type

from armature_cache import Advice, CacheRegistry, sync
from armature_cache.decorator import (
    AsyncCachedFunction,
    CachedFunction,
    FunctionStats,
    cache,
    cached,
    set_default_cache,
)
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


def as_values() -> None:
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
