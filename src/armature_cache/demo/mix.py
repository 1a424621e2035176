"""The synthetic workload: mixed reads and updates of a shop, a few things far more than most."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from armature_cache import TieredCacheConfig
from armature_cache.demo.database import CATEGORIES, Product, ShopDatabase, User, create_shop
from armature_cache.demo.services import ProductService, UserService, open_tiers
from armature_cache.demo.watch import note_query
from armature_cache.demo.workload import Operation, Read, Update, Version

_FILE: Final = "shop.sqlite"
_BATCH: Final = 1000

_SHARES: Final = {
    "get_user": 70.0,
    "get_product": 24.0,
    "list_category": 5.0,
    "update_user": 0.6,
    "update_price": 0.39,
    "invalidate_category": 0.009,
    "invalidate_all_users": 0.001,
}


@dataclasses.dataclass(frozen=True)
class ShopMix:
    """Users and products read and updated; the nth of each 1/n as often as the first."""

    users: int = 2000
    products: int = 500
    seed: int = 7
    user_service: type[UserService] = UserService
    product_service: type[ProductService] = ProductService

    @property
    def title(self) -> str:
        return f"{self.users} users and {self.products} products, about 1 % updates"

    def create(self, folder: Path) -> int:
        create_shop(folder / _FILE, self.users, self.products)
        return self.users + self.products

    def open(self, folder: Path, url: str, namespace: str, tiers: TieredCacheConfig) -> ShopSession:
        return ShopSession(self, folder, url, namespace, tiers)


class ShopSession:
    """The two services of one worker."""

    def __init__(
        self, mix: ShopMix, folder: Path, url: str, namespace: str, tiers: TieredCacheConfig
    ) -> None:
        self.mix = mix
        self.database = ShopDatabase(folder / _FILE, note_query)
        self.cache = open_tiers(url, namespace, tiers)
        self.users = mix.user_service(self.database, self.cache)
        self.products = mix.product_service(self.database, self.cache)

    def operations(self, rank: int, workers: int) -> Iterator[Operation]:
        """An endless mix."""
        draw = random.Random(self.mix.seed * workers + rank)
        users = _zipf(draw, self.mix.users)
        products = _zipf(draw, self.mix.products)
        categories = _zipf(draw, len(CATEGORIES))
        kinds, shares = list(_SHARES), list(_SHARES.values())
        for count in itertools.count():
            if count % _BATCH == 0:
                batch = draw.choices(kinds, shares, k=_BATCH)
            match batch[count % _BATCH]:
                case "get_user":
                    yield self._get_user(next(users))
                case "get_product":
                    yield self._get_product(next(products))
                case "list_category":
                    yield self._list_category(CATEGORIES[next(categories) - 1])
                case "update_user":
                    yield Update(functools.partial(self._update_user, next(users), count))
                case "update_price":
                    yield Update(functools.partial(self._update_price, next(products), count))
                case "invalidate_category":
                    category = CATEGORIES[next(categories) - 1]
                    yield Update(functools.partial(self.products.invalidate_category, category))
                case _:
                    yield Update(self.users.invalidate_all_users)

    def _get_user(self, user_id: int) -> Read:
        return Read(functools.partial(self.users.get_user, user_id), self._user_seen)

    def _get_product(self, product_id: int) -> Read:
        return Read(functools.partial(self.products.get_product, product_id), self._product_seen)

    def _list_category(self, category: str) -> Read:
        return Read(functools.partial(self.products.list_category, category), self._list_seen)

    async def _update_user(self, user_id: int, count: int) -> Version:
        version = await self.users.update_user(user_id, f"User {user_id}, renamed {count}")
        return Version(user_id - 1, version)

    async def _update_price(self, product_id: int, cents: int) -> Version:
        version = await self.products.update_price(product_id, cents)
        return Version(self.mix.users + product_id - 1, version)

    def _user_seen(self, user: User) -> list[Version]:
        return [Version(user.id - 1, user.version)]

    def _product_seen(self, product: Product) -> list[Version]:
        return [Version(self.mix.users + product.id - 1, product.version)]

    def _list_seen(self, products: list[Product]) -> list[Version]:
        return [seen for product in products for seen in self._product_seen(product)]

    async def truth(self, number: int) -> int:
        found: User | Product | None
        if number < self.mix.users:
            found = await self.database.query_user(number + 1)
        else:
            found = await self.database.query_product(number - self.mix.users + 1)
        if found is None:
            raise LookupError(f"object {number} is not in the database")
        return found.version

    async def aclose(self) -> None:
        try:
            await self.cache.aclose()
        finally:
            self.database.close()


def _zipf(draw: random.Random, count: int) -> Iterator[int]:
    """Numbers from 1 to `count`, n as often as 1/n."""
    population = range(1, count + 1)
    weights = list(itertools.accumulate(1 / number for number in population))
    while True:
        yield from draw.choices(population, cum_weights=weights, k=_BATCH)
