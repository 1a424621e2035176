"""The contract of stores, for those who write one: the suite that the library's own stores pass.

class MyKit(Kit):
    def build(self, order: Order) -> CacheStore:
        return MyStore(order.namespace, default_ttl=order.default_ttl, time=self.time)

class TestMyStore(StoreContract):
    kit_class = MyKit

It needs pytest.
"""

from __future__ import annotations

from armature_cache.testing.contract.faces import Face
from armature_cache.testing.contract.kit import Kit, Order
from armature_cache.testing.contract.suite import StoreContract

__all__ = ["Face", "Kit", "Order", "StoreContract"]
