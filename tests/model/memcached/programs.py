"""Each operation as the commands it sends, in order; mutations send them differently.

`g`, `tag`, `k` read (and create what is missing), `kcas` reads without creating, `db` reads the
source of truth, `check` reads g again, which `order` spares where it shows that the nonce is
older, `bump` writes a new g, `nonce` a new nonce of the tag; `fill` and `cas` store only over the
CAS value that `k` gave, `ms` always, `md` deletes.
"""

from __future__ import annotations

from typing import Final

from tests.model.memcached.state import Scenario

READS: Final = ("get", "strong", "reval")
FILLS: Final = ("load", "late", "mark")
WRITES: Final = ("inv", "del", "set", "set+", "aside", "through", "add")

_PROGRAMS: Final[dict[str, tuple[str, ...]]] = {
    "poll": ("g",),
    "get": ("g", "k", "tag"),
    "strong": ("g", "k", "tag"),
    "reval": ("g", "kcas", "tag"),
    "load": ("g", "tag", "k", "db", "fill"),
    "late": ("g", "k", "db", "tag", "order", "check", "fill"),
    "mark": ("g", "db", "k", "tag", "check", "fill"),
    "inv": ("bump", "nonce", "bump"),
    "del": ("bump", "md", "bump"),
    "set": ("bump", "tag", "ms", "bump"),
    "set+": ("bump", "tag", "ms", "bump", "kcas", "tag"),
    "aside": ("db", "tag", "order", "check", "bump", "cas", "bump"),
    "through": ("tag", "order", "check", "bump", "cas", "bump"),
    "add": ("g", "k", "tag", "judge", "bump", "cas"),
}

_MISTAKES: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "tags_before_g": {"inv": ("nonce", "bump")},
    "tags_after_g": {"inv": ("bump", "nonce")},
    "delete_before_g": {"del": ("md", "bump")},
    "delete_after_g": {"del": ("bump", "md")},
    "set_before_g": {"set": ("tag", "ms", "bump")},
    "set_after_g": {"set": ("bump", "tag", "ms")},
    "offer_after_g": {"through": ("tag", "check", "bump", "cas")},
    "add_without_g": {"add": ("g", "k", "tag", "judge", "cas")},
    "nonce_after_load": {"load": ("g", "k", "db", "tag", "fill")},
    "cas_after_load": {"load": ("g", "tag", "db", "k", "fill")},
    "late_unchecked": {
        "late": ("g", "k", "db", "tag", "fill"),
        "mark": ("g", "db", "k", "tag", "fill"),
        "aside": ("db", "tag", "bump", "cas", "bump"),
    },
    "check_before_tags": {"late": ("g", "k", "db", "check", "tag", "fill")},
    "order_before_load": {"late": ("g", "k", "tag", "order", "check", "db", "tag", "fill")},
    "order_by_later_g": {"late": ("g", "k", "db", "g", "tag", "order", "check", "fill")},
    "check_before_cas": {"mark": ("g", "db", "tag", "check", "k", "fill")},
    "g_after_tags": {"get": ("k", "tag", "g"), "reval": ("kcas", "tag", "g")},
}


def program(ctx: Scenario, kind: str) -> tuple[str, ...]:
    for mutation in sorted(ctx.mutations):
        if kind in _MISTAKES.get(mutation, {}):
            return (*_MISTAKES[mutation][kind], "told")
    return (*_PROGRAMS[kind], "told")
