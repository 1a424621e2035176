"""What an epoch takes over from the one before it, after a failover."""

from __future__ import annotations

from typing import Final, NamedTuple


class Heritage(NamedTuple):
    """What a clock says of its epoch's parent: entries of it up to `limit` live, once `complete`.

    `until` is when writers have to have reported, in µs of the server; `parent` 0 is none.
    """

    parent: int = 0
    limit: int = 0
    complete: bool = False
    until: int = 0


NO_HERITAGE: Final = Heritage()


def read_heritage(pending: str, inherited: str) -> Heritage:
    """The special members `Q` and `A` of a clock; empty where there is none."""
    if pending:
        parent, limit, until = map(int, pending.split(":"))
        return Heritage(parent, limit, until=until)
    if inherited:
        parent, limit = map(int, inherited.split(":"))
        return Heritage(parent, limit, complete=True)
    return NO_HERITAGE
