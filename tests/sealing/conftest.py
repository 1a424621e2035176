"""`vault`: sealed stores of either face on either server."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.sealing.vault import Vault


@pytest.fixture(params=["async", "sync"])
async def vault(
    request: pytest.FixtureRequest, server_url: str, namespace: str
) -> AsyncIterator[Vault]:
    made = Vault(server_url, namespace, request.param)
    yield made
    await made.close()
