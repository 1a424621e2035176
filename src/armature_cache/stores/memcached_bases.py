"""What a value is stored over on Memcached, and with which nonces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from armature_cache.clocks.judgement import Stamp
from armature_cache.clocks.nonces import NEVER, Basis, Nonces
from armature_cache.memcachedio.wire import NOWHERE, At

_NO_STAMP: Final = Stamp(0, NEVER)

Marks = tuple[bytes, ...]


class Base(NamedTuple):
    """What a draft is stored over, with which nonces; `good` if nothing has happened meanwhile."""

    over: At
    marks: Marks
    good: bool


class Before(NamedTuple):
    """What was known before a load began: its stamp, and the nonces of its tags, in their order."""

    key: str
    stamp: Basis
    nonces: dict[str, Nonces | None]

    @property
    def item(self) -> At:
        """The item of the key."""
        return self.stamp.item

    @property
    def unknown(self) -> list[str]:
        """The tags whose nonces were not known."""
        return [tag for tag, nonces in self.nonces.items() if nonces is None]

    @property
    def late(self) -> bool:
        """Whether something has to be read after the load."""
        return self.item == NOWHERE or bool(self.unknown)

    def base(self, found: Mapping[str, Nonces], seen: At, now: Stamp = _NO_STAMP) -> Base:
        """What the value is stored over: `found` and `seen` were read later, before g at `now`."""
        over = seen if self.item == NOWHERE else self.item
        older = self.item != NOWHERE and all(
            found[tag].at.precedes(self.stamp.g_at) for tag in self.unknown
        )
        marks = tuple((nonces or found[tag]).mark for tag, nonces in self.nonces.items())
        return Base(over, marks, good=(older or self.stamp == now) and over != NOWHERE)
