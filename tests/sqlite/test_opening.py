"""Naming a cache file: paths, URLs, settings, and what is none of these."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import armature_cache.sync as plain
from armature_cache import (
    CacheConfig,
    ConfigError,
    RedisCache,
    SQLiteCache,
    open_cache,
    open_cache_from_env,
    open_cache_from_mapping,
)


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("sqlite:///cache.db", "cache.db"),
        ("sqlite:///a/../b.db", "b.db"),
        ("sqlite:///with%20space%3F%23.db", "with space?#.db"),
        ("cache.db", "cache.db"),
        ("with%20percent.db", "with%20percent.db"),
        (Path("folder") / "cache.db", "folder/cache.db"),
    ],
)
def test_a_relative_path_is_settled_when_it_is_given(
    given: Any, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    config = CacheConfig.sqlite(given)
    monkeypatch.chdir("/")
    assert config.file == str(tmp_path / path)
    assert config.url == f"sqlite:///{tmp_path / path}"


def test_an_absolute_url_has_four_slashes():
    assert CacheConfig.sqlite("sqlite:////var/cache/shop.db").file == "/var/cache/shop.db"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("", "non-empty"),
        (7, "non-empty"),
        (b"cache.db", "non-empty"),
        ("sqlite://", "names no file"),
        ("sqlite:///", "names no file"),
        ("sqlite://cache.db", "one slash more"),
        ("sqlite:cache.db", "one slash more"),
        ("sqlite://host/cache.db", "one slash more"),
        ("sqlite:///cache.db?mode=ro", "no options"),
        ("sqlite:///cache.db#1", "no options"),
        ("sqlite:///%ff.db", "percent-encoded"),
        ("sqlite+pool:///cache.db", "is no file"),
        ("redis://:secret@localhost:6379/0", "is no file"),
        (":memory:", "memory://"),
        ("sqlite:///:memory:", "memory://"),
        ("file:cache.db", "memory://"),
        ("folder/", "names a file"),
        ("a\0b", "names a file"),
    ],
)
def test_what_names_no_file_is_refused(given: Any, told: str):
    with pytest.raises(ConfigError, match=told) as caught:
        CacheConfig.sqlite(given)
    assert caught.value.field in {"path", "url"}
    assert "secret" not in str(caught.value)


def test_the_recommended_stack_over_a_file(tmp_path: Path):
    cache = open_cache(
        f"sqlite:///{tmp_path}/cache.db", max_file_bytes=4 * 1024 * 1024, staleness_bound=0.02
    ).sync()
    cache.set("k", [1], tags="t")
    assert cache.get("k") == [1]
    assert cache.get_keys_by_tag("t") == ["k"]
    assert [tier.name for tier in cache.stats().tiers] == ["memory", "sqlite"]
    cache.close()


def test_a_file_from_a_mapping_and_the_environment(tmp_path: Path):
    url = f"sqlite:///{tmp_path}/cache.db"
    cache = open_cache_from_mapping({"url": url, "max_file_bytes": "64MiB", "hints": "off"}).sync()
    cache.set("k", 1)
    cache.close()
    cache = open_cache_from_env({"ARMATURE_CACHE_URL": url}).sync()
    assert cache.get("k") == 1
    cache.close()


@pytest.mark.parametrize("name", ["connect_timeout", "max_connections"])
def test_a_setting_of_servers_is_none_of_a_file(tmp_path: Path, name: str):
    setting: dict[str, Any] = {name: 5}
    with pytest.raises(ConfigError, match=f"no setting '{name}'") as caught:
        open_cache(f"sqlite:///{tmp_path}/cache.db", **setting)
    assert caught.value.field == name


def test_stores_take_their_own_configuration(tmp_path: Path):
    file, server = CacheConfig.sqlite(tmp_path / "c.db"), CacheConfig.redis("redis://localhost")
    for store in (SQLiteCache, plain.SQLiteCache):
        with pytest.raises(ConfigError, match=r"CacheConfig\.sqlite"):
            store(server)
    with pytest.raises(ConfigError, match=r"CacheConfig\.redis"):
        RedisCache(file)


def test_making_a_store_touches_no_file(tmp_path: Path):
    store = SQLiteCache(CacheConfig.sqlite(tmp_path / "c.db"))
    assert list(tmp_path.iterdir()) == []
    assert str(tmp_path) in repr(store)
