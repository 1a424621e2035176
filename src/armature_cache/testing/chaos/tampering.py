"""Stored bytes that change on their way to the reader."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from armature_cache.stores.wrapper import Wrapper

if TYPE_CHECKING:
    from armature_cache.envelope import Envelope
    from armature_cache.stores.primitives import EntryStore

Parse = Callable[[Sequence[str], Sequence[bytes | None]], Awaitable[list[Any]]]

_damage: ContextVar[Mapping[str, float] | None] = ContextVar("armature_cache_damage", default=None)
"""Keys whose bytes are damaged when this context reads them, and where: a part of their length."""


class Garbage:
    """What a corrupt read of a store that keeps objects gives: equal to nothing that was stored."""

    def __repr__(self) -> str:
        return "<garbage>"


GARBAGE: Final = Garbage()


def reads_bytes(store: EntryStore) -> bool:
    """Let reads of this store be damaged by `damaging`, if it keeps values as bytes.

    It is looked for in wrappers, not in tiers: what L1 answers has no bytes.
    """
    while isinstance(store, Wrapper):
        store = store.store
    sealing = getattr(store, "_sealing", None)
    if sealing is None:
        return False
    if "parse" not in vars(sealing):
        sealing.parse = functools.partial(_parse_damaged, sealing.parse)
    return True


@contextlib.contextmanager
def damaging(keys: Mapping[str, float]) -> Iterator[None]:
    """Damage what is read of these keys within the block, by their names in the innermost store."""
    token = _damage.set(keys)
    try:
        yield
    finally:
        _damage.reset(token)


async def _parse_damaged(
    parse: Parse, keys: Sequence[str], raws: Sequence[bytes | None]
) -> list[Envelope | None]:
    damage = _damage.get()
    if damage:
        raws = [
            raw if raw is None or key not in damage else flipped(raw, damage[key])
            for key, raw in zip(keys, raws, strict=True)
        ]
    return await parse(keys, raws)


def flipped(raw: bytes, place: float) -> bytes:
    """The same bytes but for one bit, at a part of their length."""
    if not raw:
        return b"\0"
    at, bit = divmod(int(place * len(raw) * 8), 8)
    return raw[:at] + bytes((raw[at] ^ (1 << bit),)) + raw[at + 1 :]
