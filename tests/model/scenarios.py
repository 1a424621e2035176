"""The small configurations, and which mutation each of them must catch."""

from __future__ import annotations

from typing import Any

from tests.model.state import Scenario

COLD = (False, False)
SOFT: dict[str, Any] = {"tags": 3, "carried": (0, 2), "soft": 2}
PLAIN = frozenset({"fill_ignores_key_clock"})  # FILL as a Cluster must do it

FAILOVER = {"snapshot": 1, "rollback": 1}
ALONE: dict[str, Any] = {"writers": (0,), "syncing": (0,)}  # the other process only reads


def _replay(
    name: str,
    todo: tuple[tuple[str, ...], ...],
    faults: dict[str, int] = FAILOVER,
    **settings: Any,
) -> Scenario:
    return Scenario(name, todo, faults, replay=True, **settings)


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("tags", (("inv0", "load"), ("get",)), {"lapse": 1}),
        Scenario("tag and loads", (("inv0",), ("get", "load")), {"lapse": 1}),
        Scenario("two tags", (("inv0",), ("inv1", "load")), {"lapse": 1}),
        Scenario("mirrored sets", (("set",), ("set",)), {"lapse": 1}, syncing=(0, 1)),
        Scenario("mirrored adds", (("add",), ("add",)), {"expire value": 1}, syncing=(0, 1)),
        Scenario("failed call", (("inv0",), ("load",)), {"fail": 1, "lapse": 1}),
        Scenario("strong", (("inv0",), ("load", "strong")), {"lapse": 1}),
        Scenario("split sync", (("del",), ("inv1",)), {"lapse": 1}, split=True),
        Scenario(
            "bounded tags", (("inv0",), ("get", "load")), {"forget tags": 1, "compact tags": 1}
        ),
        Scenario("touch", (("inv0",), ("get",)), {"forget tags": 2, "touch": 1, "lapse": 1}),
        Scenario("delete", (("del",), ("get", "load")), {"expire tombstone": 1, "lapse": 1}),
        Scenario(
            "delete in two steps",
            (("del2",), ("load",)),
            {"expire tombstone": 1, "forget keys": 1, "lapse": 1},
        ),
        Scenario("sets", (("set",), ("get", "set")), {"lapse": 1}),
        Scenario("sets in two steps", (("set2",), ("load", "set2"))),
        Scenario("set and delete", (("set2",), ("del2", "get"))),
        Scenario(
            "bounded keys",
            (("del",), ("get", "load")),
            {"forget keys": 1, "trim keys": 1, "expire tombstone": 1},
        ),
        Scenario(
            "bounded keys, two steps", (("set2",), ("get",)), {"forget keys": 1, "trim keys": 1}
        ),
        Scenario(
            "evicted key clock",
            (("del",), ("load",)),
            {"evict key clock": 1, "evict tombstone": 1, "lapse": 1},
        ),
        Scenario("evicted key clock, bump", (("del",), ("inv1",)), {"evict key clock": 1}),
        Scenario(
            "slept, slow wire",
            (("inv0",), ("inv1", "load")),
            behind=True,
            cursors=(1, 9),
            slow_wire=True,
        ),
        Scenario(
            "slept, lost clock",
            (("get",), ("inv0", "inv1")),
            {"evict tag clock": 1},
            syncing=(0,),
            behind=True,
            cursors=(3, 1),
        ),
        Scenario(
            "bounded keys, evicted",
            (("del",), ("load",)),
            {"forget keys": 1, "trim keys": 1, "evict tombstone": 1},
        ),
        Scenario(
            "evicted key clock, two steps",
            (("del2",), ("load",)),
            {"evict key clock": 1, "evict tombstone": 1},
        ),
        Scenario(
            "plain FILL",
            (("del",), ("load",)),
            {"forget keys": 1, "expire tombstone": 1, "lapse": 1},
            mutations=PLAIN,
        ),
        Scenario(
            "plain FILL, evicted", (("set",), ("get", "load")), {"evict value": 1}, mutations=PLAIN
        ),
        Scenario("evicted value", (("set",), ("get", "load")), {"evict value": 1}),
        Scenario("evicted tag clock", (("inv0",), ("load",)), {"evict tag clock": 1, "lapse": 1}),
        Scenario("flushed", (("inv0",), ("del",)), {"flushall": 1}),
        Scenario("rolled back", (("inv0",), ("load",)), {"snapshot": 1, "rollback": 1}),
        Scenario("rolled back set", (("set",), ("get",)), {"snapshot": 1, "rollback": 1}),
        Scenario(
            "rolled back, forgotten",
            (("inv0",), ("get",)),
            {"snapshot": 1, "rollback": 1, "forget tags": 1},
        ),
        Scenario(
            "rolled back delete",
            (("del",), ("get",)),
            {"snapshot": 1, "rollback": 1, "forget keys": 1},
        ),
        Scenario("clear", (("clear",), ("get", "load")), {"lapse": 1}),
        Scenario("clear and tag", (("clear",), ("inv0", "load"))),
        Scenario("clear, rolled back", (("clear",), ("inv0",)), {"snapshot": 1, "rollback": 1}),
        Scenario("clear of a namespace", (("inv2",), ("get", "load")), tags=3, carried=(0, 2)),
        Scenario(
            "slept", (("inv0",), ("inv1",)), {"evict tag clock": 1}, behind=True, cursors=(1, 9)
        ),
        Scenario(
            "lease", (("aside", "ctxset", "get"), ("get",)), {"lapse": 1}, stored=False, warm=COLD
        ),
        Scenario(
            "lease and delete", (("aside", "get"), ("del",)), {"lapse": 1}, stored=False, warm=COLD
        ),
        Scenario(
            "set through after a miss", (("get", "through2"), ("load",)), stored=False, warm=COLD
        ),
        Scenario("conditional set", (("aside2", "get"), ("inv0", "load")), stored=False, warm=COLD),
        Scenario("conditional set and set", (("aside2", "get"), ("set",)), stored=False, warm=COLD),
        Scenario("updates", (("update",), ("update", "get")), {"lapse": 1}),
        Scenario("update and load", (("update",), ("get", "load")), {"lapse": 1}),
        Scenario("update and tag", (("update",), ("inv0", "load"))),
        Scenario("update and set", (("update",), ("set", "load"))),
        Scenario("update and delete", (("update",), ("del", "load")), {"expire tombstone": 1}),
        Scenario("update, failed call", (("update",), ("update",)), {"fail": 1, "lapse": 1}),
        Scenario("update, flushed", (("update",), ("update",)), {"flushall": 1}),
        Scenario("update, rolled back", (("update",), ("get",)), {"snapshot": 1, "rollback": 1}),
        Scenario(
            "slept, falling",
            (("inv0",), ("inv1",)),
            {"evict tag clock": 1},
            behind=True,
            cursors=(1, 9),
            falling=True,
        ),
        Scenario(
            "clear, rolled back, falling",
            (("clear",), ("inv0",)),
            {"snapshot": 1, "rollback": 1},
            falling=True,
        ),
        Scenario("add", (("add",), ("add", "load")), {"expire value": 1}),
        Scenario("add and tag", (("add",), ("inv0",)), {"expire value": 1}),
        Scenario("adds", (("add",), ("add",)), stored=False, warm=COLD, exclusive=True),
        Scenario(
            "adds in two steps",
            (("add2",), ("add2", "add2")),
            stored=False,
            warm=COLD,
            width=1,
            exclusive=True,
        ),
        Scenario("add in two steps and delete", (("add2", "get"), ("del2",)), width=1),
        Scenario("add in two steps and set", (("add2",), ("set2", "get")), width=1, stored=False),
        Scenario("add in two steps and load", (("add2",), ("load",)), stored=False, warm=COLD),
        Scenario(
            "add in two steps and tag",
            (("add2",), ("inv0", "get")),
            width=1,
            stored=False,
            warm=COLD,
        ),
        Scenario(
            "add in two steps, evicted",
            (("add2",), ("get",)),
            {"evict value": 1, "lapse": 1},
        ),
        Scenario("look", (("del",), ("look",)), {"lapse": 2}),
        Scenario("soft", (("inv2",), ("get", "stale")), {"lapse": 1}, **SOFT),
        Scenario("soft and hard", (("inv2", "inv0"), ("stale",)), {"lapse": 1}, **SOFT),
        Scenario("soft and load", (("inv2",), ("load", "stale")), width=1, **SOFT),
        Scenario("soft and delete", (("inv2",), ("del", "stale")), width=1, **SOFT),
        Scenario("soft, over", (("inv2",), ("stale",)), {"grace": 1}, **SOFT),
        Scenario("soft, failed call", (("inv2",), ("stale",)), {"fail": 1, "lapse": 1}, **SOFT),
        Scenario("soft, slid", (("inv2",), ("stale", "get")), width=1, sliding=True, **SOFT),
        Scenario(
            "soft, bounded tags",
            (("inv2",), ("stale", "get")),
            {"forget tags": 1, "compact tags": 1, "touch": 1},
            width=1,
            **SOFT,
        ),
        Scenario("awaited", (("inv0w",), ("get", "load")), {"lapse": 1}),
        Scenario("awaited, latecomer", (("inv0w",), ("get",)), latecomer=True),
        Scenario("awaited, evicted tag clock", (("inv0w",), ("get",)), {"evict tag clock": 1}),
        _replay("replay", (("inv0",), ()), **ALONE),
        _replay("replay, two processes", (("inv0", "strong"), ())),
        _replay("replay and load", (("inv0",), ("load",)), writers=(0,)),
        _replay(
            "replay, loading",
            (("load",), ("inv0",)),
            {"rollback": 1},
            stored=False,
            warm=COLD,
            cursors=(3, 1),
            lagging=1,
            writers=(1,),
        ),
        _replay("replay, bumping", (("inv0", "inv1"), ()), writers=(0,), width=1),
        _replay("replay of a delete", (("del",), ()), {**FAILOVER, "forget keys": 1}, **ALONE),
        _replay("replay of a set", (("set",), ()), **ALONE),
        _replay("replay, forgotten", (("inv0",), ()), {**FAILOVER, "forget log": 1}, **ALONE),
        _replay(
            "replay, dead writer",
            (("inv0",), ()),
            {**FAILOVER, "die": 1, "give up": 1},
            writers=(0,),
        ),
        _replay("replay, new writer", (("inv0", "strong"), ()), {**FAILOVER, "die": 1}, writers=()),
        _replay("replay, cleared", (("clear",), ()), **ALONE),
        _replay("replay, cleared, falling", (("clear",), ()), falling=True, **ALONE),
        _replay(
            "replay, restart", (("inv0",), ()), {"snapshot": 1, "restart": 1, "die": 1}, writers=()
        ),
        _replay("replay twice", (("inv0",), ()), {"snapshot": 1, "rollback": 2}, **ALONE),
    )
}

# What the rules do not promise: each must keep its counterexample.
HAZARDS = {
    "write-through set after a miss": Scenario(
        "write-through set after a miss",
        (("get", "through"), ("load",)),
        stored=False,
        warm=COLD,
    ),
    "cluster: tombstone evicted": Scenario(
        "cluster: tombstone evicted",
        (("del2",), ("load",)),
        {"forget keys": 1, "evict tombstone": 1},
    ),
    "awaited: nobody is left who knows a lost bound": Scenario(
        "awaited: nobody is left who knows a lost bound",
        (("inv0w",), ("get",)),
        {"evict tag clock": 1},
        mutations=frozenset({"forgets_bounds"}),
    ),
    "no new epoch after a failover": Scenario(
        "no new epoch after a failover",
        (("inv0",), ("load",)),
        {"snapshot": 1, "rollback": 1},
        mutations=frozenset({"no_run_id"}),
    ),
    "replay: a writer that no replica has confirmed dies": _replay(
        "replay: a writer that no replica has confirmed dies",
        (("inv0", "strong"), ()),
        {**FAILOVER, "die": 1},
        writers=(),
        mutations=frozenset({"replay_unconfirmed"}),
    ),
}

# mutation -> the scenario that must catch it
MUTATIONS = {
    "asof_at_write": "tags",
    "no_run_id": "rolled back",
    "no_floor": "bounded tags",
    "less": "tags",
    "trust_hints": "tags",
    "merge_only_q": "two tags",
    "no_key_judgement": "plain FILL, evicted",
    "short_tombstone": "plain FILL",
    "lease_survives": "lease",
    "join_sent_sync": "strong",
    "join_old_sync": "look",
    "trust_from_reply": "touch",
    "no_nonce": "slept, lost clock",
    "foreign_cursor": "slept, slow wire",
    "keys_before_tags": "split sync",
    "seen_on_arrival": "bounded keys, two steps",
    "fill_seen_at_sending": "bounded tags",
    "scores_unchecked": "rolled back, forgotten",
    "scores_without_floor": "bounded tags",
    "bump_ignores_key_loss": "evicted key clock, bump",
    "key_loss_spares_l2": "evicted key clock, two steps",
    "no_pending": "failed call",
    "join_unjudged": "tag and loads",
    "add_compares_asof": "add",
    "swapped_judged_by_key": "adds in two steps",
    "soft_hides_hard": "soft and hard",
    "grace_without_end": "soft, over",
    "slides_what_is_stale": "soft, slid",
    "staleness_forgotten": "soft, bounded tags",
    "bounds_of_last_sync": "awaited, latecomer",
    "forgets_bounds": "awaited, evicted tag clock",
    "fill_of_foreign_epoch": "slept, slow wire",
    "get_on_any_run": "rolled back delete",
    "trim_keys_by_count": "bounded keys, two steps",
    "fill_ignores_key_clock": "bounded keys, evicted",
    "promote_across_forgetting": "bounded keys, two steps",
    "no_local_floor": "bounded tags",
    "no_key_floor": "bounded keys",
    "update_is_fill": "update and load",
    "update_is_unconditional": "updates",
    "update_yields_to_tombstone": "update and delete",
    "replay_awaits_nobody": "replay",
    "replay_of_nothing": "replay",
    "replay_reports_first": "replay",
    "replay_without_limit": "replay, loading",
    "replay_bump_enters": "replay, bumping",
    "replay_of_tags_alone": "replay of a delete",
    "replay_without_tombstone": "replay of a delete",
    "replay_forgets_silently": "replay, forgotten",
    "replay_gives_up_waiting": "replay, dead writer",
    "replay_unconfirmed": "replay, new writer",
    "replay_forgets_clear": "replay, cleared",
    "replay_acks_of_any_run": "replay, cleared, falling",
    "replay_after_restart": "replay, restart",
}

# More than a second each, so `make check` leaves them out.
