"""The complete example of the guide: two services over one cache. This is the part to copy."""

from __future__ import annotations

from typing import Final

from armature_cache import (
    CacheConfig,
    CacheStore,
    InMemoryCache,
    RedisCache,
    SQLiteCache,
    TaggedCache,
    TieredCache,
    TieredCacheConfig,
    cache,
)
from armature_cache.demo.database import Product, ShopDatabase, User

HOUR: Final = 3600


def open_tiers(
    url: str, namespace: str = "shop", config: TieredCacheConfig | None = None
) -> TaggedCache:
    """Memory of this process over a shared server or file, with tags."""
    l1 = InMemoryCache()
    l2: CacheStore
    if url.startswith("sqlite:///"):
        l2 = SQLiteCache(CacheConfig.sqlite(url, namespace=namespace))
    else:
        l2 = RedisCache(CacheConfig.redis(url, namespace=namespace))
    return TaggedCache(TieredCache(l1, l2, config or TieredCacheConfig(l1_ttl_fraction=0.25)))


class UserService:
    """Users, cached by hand."""

    def __init__(self, database: ShopDatabase, cache: TaggedCache) -> None:
        self.database = database
        self.cache = cache

    async def get_user(self, user_id: int) -> User | None:
        """A user, from the nearest place that has it."""
        key = f"user:{user_id}"

        # Try the cache first
        cached: User | None = await self.cache.get(key)
        if cached is not None:
            return cached

        # Cache miss: fetch from the database
        user = await self.database.query_user(user_id)
        if user is None:
            return None

        # Cache with tags; an update since the miss above wins over this
        await self.cache.set_with_tags(key, user, ["users", f"user:{user_id}"], ttl=HOUR)
        return user

    async def update_user(self, user_id: int, name: str) -> int:
        """Rename a user; the user's new version."""
        # Update the database, and commit
        version = await self.database.update_user(user_id, name)

        # Then invalidate the cache
        await self.cache.invalidate_tag(f"user:{user_id}")
        return version

    async def invalidate_all_users(self) -> None:
        """Forget every user, in every process."""
        await self.cache.invalidate_tag("users")


class ProductService:
    """Products, one by one by hand, and whole categories by decorator."""

    def __init__(self, database: ShopDatabase, cache: TaggedCache) -> None:
        self.database = database
        self.cache = cache

    async def get_product(self, product_id: int) -> Product | None:
        """A product, from the nearest place that has it."""
        cached: Product | None = await self.cache.get(f"product:{product_id}")
        if cached is not None:
            return cached
        product = await self.database.query_product(product_id)
        if product is not None:
            await self.cache_product(product)
        return product

    async def cache_product(self, product: Product) -> None:
        """Cache a product, with tags that are known only now."""
        tags = ["products", f"product:{product.id}", product.category, product.brand]
        await self.cache.set_with_tags(f"product:{product.id}", product, tags, ttl=HOUR)

    @cache(
        ttl=HOUR,
        key="list:{category}",
        tags=["products", "{category}", "list:{category}"],
        ignore="self",
    )
    async def list_category(self, category: str) -> list[Product]:
        """All products of a category."""
        return await self.database.query_category(category)

    async def update_price(self, product_id: int, cents: int) -> int:
        """Change a price; the product's new version."""
        version, category = await self.database.update_price(product_id, cents)
        await self.cache.invalidate_tags([f"product:{product_id}", f"list:{category}"])
        return version

    async def invalidate_category(self, category: str) -> None:
        """Forget a category: its products and its list."""
        await self.cache.invalidate_tag(category)
