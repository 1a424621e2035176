"""The small configurations, and which mutation each of them must catch."""

from __future__ import annotations

from typing import Any, Final

from tests.model.memcached.state import Scenario

_LAPSE: Final = {"lapse": 1}
_EMPTY: Final[dict[str, Any]] = {"stored": False, "warm": (False, False)}
_NODE: Final = {"restart of the key's node": 1}
_CLOCK: Final = {"restart of the clock's node": 1}

SCENARIOS: Final = {
    "tags": Scenario((("inv",), ("get",)), _LAPSE),
    "tag and loads": Scenario((("inv",), ("get", "load")), _LAPSE, width=1),
    "own loads": Scenario((("inv", "load"), ("get",))),
    "cold load": Scenario((("inv",), ("load",)), _LAPSE, warm=(False, False)),
    "joined load": Scenario((("inv",), ("load",)), _LAPSE),
    "late tags": Scenario((("inv",), ("late",)), _LAPSE, warm=(False, False)),
    "late tags and get": Scenario((("inv",), ("late", "get")), _LAPSE, width=1),
    "late tags, clock restarted": Scenario(
        (("inv",), ("late",)), _CLOCK, warm=(False, False), syncing=()
    ),
    "strong": Scenario((("inv",), ("strong", "load"))),
    "revalidated": Scenario((("inv",), ("reval",)), _LAPSE),
    "delete": Scenario((("del",), ("load",)), _LAPSE),
    "delete and get": Scenario((("del",), ("get",)), _LAPSE),
    "delete, get and load": Scenario((("del",), ("get", "load")), _LAPSE, width=1),
    "set and get": Scenario((("set",), ("get",)), _LAPSE),
    "sets": Scenario((("set",), ("set",)), _LAPSE),
    "sets and get": Scenario((("set",), ("get", "set")), width=1),
    "confirmed sets": Scenario((("set+",), ("set+",)), _LAPSE),
    "set, revalidated": Scenario((("set",), ("reval",)), _LAPSE),
    "mark and tag": Scenario((("inv",), ("mark", "get")), **_EMPTY),
    "mark and delete": Scenario((("del",), ("mark", "get")), **_EMPTY),
    "mark and set": Scenario((("set",), ("mark", "get")), **_EMPTY),
    "set after a miss, and tag": Scenario((("get", "aside"), ("inv",)), **_EMPTY),
    "set after a miss, and tag, clock restarted": Scenario(
        (("get", "aside"), ("inv",)), _CLOCK, syncing=(), **_EMPTY
    ),
    "set after a miss, and delete": Scenario((("get", "aside"), ("del",)), _LAPSE, **_EMPTY),
    "write after a miss": Scenario((("get", "through"), ("load",)), **_EMPTY),
    "write after a miss, lost": Scenario((("get", "through"), ("load", "get")), **_EMPTY),
    "writes after misses": Scenario(
        (("get", "through"), ("get", "through")), width=1, syncing=(0, 1), **_EMPTY
    ),
    "write after an eviction": Scenario(
        (("get", "through"), ("get",)), {"evict item": 1, "lapse": 1}
    ),
    "add and load": Scenario((("add",), ("load",)), **_EMPTY),
    "adds": Scenario((("add",), ("add",)), **_EMPTY),
    "add and mark": Scenario((("add",), ("mark",)), **_EMPTY),
    "add after an eviction": Scenario((("add",), ("get",)), {"evict item": 1, "lapse": 1}),
    "evicted g": Scenario((("inv",), ("get",)), {"evict g": 1, "lapse": 1}),
    "evicted g, late tags": Scenario((("inv",), ("late",)), {"evict g": 1}, warm=(False, False)),
    "evicted nonce": Scenario((("inv",), ("get",)), {"evict tag": 1}),
    "evicted nonce, load": Scenario((("inv",), ("load",)), {"evict tag": 1, "lapse": 1}),
    "restarted": Scenario((("inv",), ("load",)), {"restart": 1}),
    "restarted, delete": Scenario((("del",), ("load",)), {"restart": 1}),
    "one of two restarted": Scenario((("load",), ("del", "load")), _NODE, syncing=(), **_EMPTY),
    "one of two restarted, set": Scenario((("set",), ("reval",)), _NODE),
    "failed invalidation": Scenario((("inv",), ("load",)), {"fail": 1}),
    "failed invalidations": Scenario((("inv", "inv"), ("load",)), {"fail": 1}, width=1, syncing=()),
    "failed delete": Scenario((("del",), ("load",)), {"fail": 1}),
    "failed set": Scenario((("set",), ("load",)), {"fail": 1}),
    "failed sets": Scenario((("set",), ("set",)), {"fail": 1}, width=1),
    "failed write after a miss": Scenario(
        (("get", "through"), ("load",)), {"fail": 1}, width=1, **_EMPTY
    ),
}

# mutation -> the scenario that must catch it
MUTATIONS: Final = {
    "tags_before_g": "late tags",
    "tags_after_g": "tags",
    "delete_before_g": "mark and delete",
    "delete_after_g": "delete and get",
    "set_before_g": "mark and set",
    "set_after_g": "set and get",
    "offer_after_g": "write after a miss, lost",
    "add_without_g": "add after an eviction",
    "nonce_after_load": "cold load",
    "cas_after_load": "delete",
    "lease_unchecked": "delete",
    "late_unchecked": "late tags",
    "check_before_tags": "late tags",
    "order_before_load": "late tags",
    "order_by_later_g": "late tags",
    "order_across_runs": "late tags, clock restarted",
    "check_before_cas": "mark and delete",
    "g_after_tags": "tags",
    "lost_g_is_unchanged": "evicted g",
    "lost_tag_is_valid": "evicted nonce",
    "reused_nonce": "evicted nonce",
    "retry_reuses_nonce": "failed invalidations",
    "cas_across_runs": "one of two restarted, set",
    "offer_spares_winner": "write after a miss",
    "set_confirms_itself": "sets",
    "own_bump_overwrites": "confirmed sets",
    "late_poll_overwrites": "tags",
    "trust_from_reply": "tags",
    "no_pending": "tags",
    "join_any": "joined load",
}

# More than a second each, so `make check` leaves them out.
