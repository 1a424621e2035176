"""What the pages say of themselves and of the API is true: links, tables, names, style."""

from __future__ import annotations

import dataclasses
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import armature_cache
from armature_cache import (
    CacheConfig,
    CacheStats,
    CacheStore,
    LoadPolicy,
    TaggedCache,
    TieredCacheConfig,
    cache,
    cache_batch,
    cache_invalidate,
    cache_update,
    events,
)
from armature_cache.clocks import limits, replica
from armature_cache.redisio import scripts
from armature_cache.redisio.names import Names
from armature_cache.redisio.port import Script

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CHANGELOG.md")),
    *sorted(ROOT.glob("docs/**/*.md")),
]
GUIDE = (ROOT / "docs/guide.md").read_text("utf-8")
LOADING = (ROOT / "docs/loading.md").read_text("utf-8")
PROTOCOL = (ROOT / "docs/protocol.md").read_text("utf-8")

LANGUAGES = {"python", "pycon", "text", "sh", "markdown"}
FENCED = re.compile(r"^```(\w*)\n.*?^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def _prose(page: Path) -> str:
    return FENCED.sub("", page.read_text("utf-8"))


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", _prose(page), re.MULTILINE)
    words = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.strip().replace(" ", "-") for heading in words}


def _cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip("|").split("|")]


def _rows(text: str, header: str) -> dict[str, list[str]]:
    """The table that begins with this header, by the code in its first column."""
    table = text[text.index(header) :].split("\n\n", 1)[0].splitlines()[2:]
    return {_cells(row)[0].strip("`"): _cells(row)[1:] for row in table}


@each_page
def test_links_lead_somewhere(page: Path):
    for target in LINK.findall(_prose(page)):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        assert not anchor or anchor in _anchors(file), target


@each_page
def test_fences_name_a_language(page: Path):
    text = page.read_text("utf-8")
    assert {block[1] for block in FENCED.finditer(text)} <= LANGUAGES
    assert text.count("\n```") % 2 == 0


@each_page
def test_no_machine_paths(page: Path):
    assert not re.search(r"/(work|root|home|tmp|usr)/", page.read_text("utf-8"))


def test_tier_options_match_the_code():
    table = _rows(GUIDE, "| Option | Default | Description |")
    fields = {field.name: field.default for field in dataclasses.fields(TieredCacheConfig)}
    assert {name: row[0].strip("`") for name, row in table.items()} == {
        name: f'"{value}"' if isinstance(value, str) else str(value)
        for name, value in fields.items()
    }


def test_shared_store_options_match_the_code():
    table = _rows(GUIDE, "| Setting | Default | Meaning |")
    parameters = inspect.signature(CacheConfig.redis).parameters
    assert list(table) == [name for name in parameters if name != "url"]
    for name, row in table.items():
        shown, default = row[0].strip("`").replace(",", ""), parameters[name].default
        assert shown == str(default) or eval(shown) == default, name  # noqa: S307 - our own table


def test_settings_of_a_file_match_the_code():
    text = (ROOT / "docs/sqlite.md").read_text("utf-8")
    table = _rows(text, "| Setting of a file | Default | Meaning |")
    parameters = inspect.signature(CacheConfig.sqlite).parameters
    for name, row in table.items():
        assert row[0].strip("`").replace(",", "") == str(parameters[name].default), name
    shared = inspect.signature(CacheConfig.redis).parameters
    assert parameters.keys() - shared.keys() == {"path", "max_file_bytes"}
    common = parameters.keys() & shared.keys()
    assert all(parameters[name].default == shared[name].default for name in common)


def test_policy_options_match_the_code():
    table = _rows(LOADING, "| Policy | Default | What it does |")
    fields = {field.name: field.default for field in dataclasses.fields(LoadPolicy)}
    assert {name: row[0].strip("`") for name, row in table.items()} == {
        name: value.__name__ if isinstance(value, type) else repr(value).strip("<>")
        for name, value in fields.items()
    }


@pytest.mark.parametrize(
    ("section", "decorator"),
    [
        ("## Invalidate\n", cache_invalidate),
        ("## Update\n", cache_update),
        ("## Many keys\n", cache_batch),
    ],
)
def test_options_of_decorators_match_the_code(section: str, decorator: Any):
    text = (ROOT / "docs/decorators.md").read_text("utf-8")
    text = text[text.index(section) :]
    table = _rows(text, "| Option | Default | What it does |")
    parameters = inspect.signature(decorator).parameters
    told = {name.strip("` "): row[0] for names, row in table.items() for name in names.split(",")}
    same = set(inspect.signature(cache).parameters) | {"policy"}
    wanted = set(parameters) - same if decorator is cache_batch else set(parameters)
    assert set(told) == wanted
    for name, default in told.items():
        if default.startswith("`"):
            assert default.strip("`").replace('"', "'") == repr(parameters[name].default), name


def test_events_match_the_code():
    text = (ROOT / "docs/events.md").read_text("utf-8")
    table = _rows(text, "| Event | Facts |")
    kinds = {
        name: kind
        for name, kind in vars(events).items()
        if inspect.isclass(kind) and issubclass(kind, events.Event)
    }
    assert set(table) == kinds.keys() - {"Event", "KeyEvent"}
    for name, row in table.items():
        facts = [field.name for field in dataclasses.fields(kinds[name])]
        assert re.findall(r"`(\w+)`", row[0])[: len(facts)] == facts, name


@pytest.mark.parametrize("cls", [CacheStore, TaggedCache])
def test_guide_names_every_method(cls: type):
    names = {name for name, member in inspect.getmembers(cls, inspect.isfunction)}
    missing = [name for name in names if not name.startswith("_") and f"{name}(" not in GUIDE]
    assert not missing


def test_docs_name_every_public_thing():
    aside = {"NamespacedCache", "StaleTopology"}
    pages = "".join(page.read_text("utf-8") for page in PAGES if "docs" in page.parts)
    missing = [name for name in armature_cache.__all__ if name not in pages]
    assert set(missing) <= aside


def test_guide_names_every_count():
    table = _rows(GUIDE, "| Count | Meaning |")
    shown = {name for key in table for name in re.findall(r"\w+", key)}
    fields = {field.name for field in dataclasses.fields(CacheStats)} - {"name", "tiers"}
    assert shown == fields | {"hit_ratio"}


def test_protocol_names_the_keys_of_the_code():
    names = Names("ns")
    shown = _rows(PROTOCOL, "| Key | Type | Content |")
    expected = [
        names.clock, names.keys, names.channel, names.value("<key>"), *names.indexes("<tag>"),
        *names.registries(), names.claim("<key>"), names.writers,
    ]  # fmt: skip
    assert list(shown) == expected


def test_protocol_states_the_limits_of_the_code():
    for limit in (
        limits.MAX_SHARED_TAGS,
        limits.MAX_SHARED_KEYS,
        limits.CHUNK,
        limits.DELTA_LIMIT,
        replica.MAX_TAGS,
        replica.MAX_KEYS,
    ):
        assert f"{limit:,}" in PROTOCOL
    assert f"{limits.KEY_MEMORY:.0f} s" in PROTOCOL


def test_protocol_names_every_script():
    shown = _rows(PROTOCOL, "| Script | Does, atomically |")
    found = {name for name, script in vars(scripts).items() if isinstance(script, Script)}
    assert set(shown) == found


def test_decisions_are_numbered_and_short():
    records = sorted((ROOT / "docs/decisions").glob("[0-9]*.md"))
    assert [int(record.name[:4]) for record in records] == list(range(1, len(records) + 1))
    for record in records:
        text = record.read_text("utf-8")
        assert text.startswith(f"# {record.name[:4]}: ")
        assert len(text.splitlines()) <= 25, record.name
