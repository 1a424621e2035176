"""The suite that is shipped to authors of stores, for every stack, face and server."""

from __future__ import annotations

import pytest

from armature_cache.testing.contract import StoreContract
from tests.contract.stacks import Kit


class TestStores(StoreContract):
    @pytest.fixture
    def kit(self, unclosed: Kit) -> Kit:
        return unclosed
