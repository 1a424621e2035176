"""What a loader can learn of its load, and say about what it returns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, NoReturn

from armature_cache._missing import MISSING, UNSET, Missing, Unset
from armature_cache.errors import ConfigError, LoadFailed
from armature_cache.options import TTL, encodable, resolve_tags, resolve_ttl


class _NotModified:
    def __repr__(self) -> str:
        return "<not modified>"


NOT_MODIFIED: Final = _NotModified()
"""In place of a value: the stale one is still right."""


class LoadContext:
    """The load under way, for the loader that runs in it: `load_context()` returns it.

    `key` is the key that is loaded, empty outside of a load. `stale_value` is the value before,
    past its lifetime or about to be, `MISSING` if there is none or it was invalidated; `etag` is
    what the load before said about its version, to be sent to the source and set anew.
    """

    __slots__ = ("_etag", "_tags", "_ttl", "key", "skipped", "stale_value")

    def __init__(
        self, key: str = "", stale_value: object | Missing = MISSING, etag: str = ""
    ) -> None:
        self.key = key
        self.stale_value = stale_value
        self.skipped = False
        self._etag = etag
        self._tags: tuple[str, ...] = ()
        self._ttl: float | Unset | None = UNSET

    @property
    def ttl(self) -> float | Unset | None:
        """The lifetime of this value, in seconds; None for no expiry; `UNSET`: as the call says."""
        return self._ttl

    @ttl.setter
    def ttl(self, ttl: TTL) -> None:
        self._ttl = resolve_ttl(ttl, None)

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags that this value gets besides those of the call.

        An invalidation of them counts from the start of the load, although they come later.
        """
        return self._tags

    @tags.setter
    def tags(self, tags: str | Iterable[str]) -> None:
        self._tags = resolve_tags(tags)

    @property
    def etag(self) -> str:
        """The version of the value, as its source calls it: at most 1,024 bytes of UTF-8."""
        return self._etag

    @etag.setter
    def etag(self, etag: str) -> None:
        good = isinstance(etag, str) and encodable(etag)
        if not good or len(etag.encode()) > _LONGEST_ETAG:
            raise ConfigError(
                f"an etag is a str of at most {_LONGEST_ETAG} bytes, not {etag!r:.80}",
                field="etag",
            )
        self._etag = etag

    @property
    def has_stale_value(self) -> bool:
        """Whether there is a value before, which `not_modified` can keep."""
        return self.stale_value is not MISSING

    def skip(self) -> None:
        """Let the value be returned, but not stored."""
        self.skipped = True

    def fail(self, reason: str) -> NoReturn:
        """Give up: a stale value or the fallback is returned, or `LoadFailed` raised."""
        raise LoadFailed(reason)

    def not_modified(self) -> Any:
        """What a loader returns to keep the value before, with a new lifetime.

        Raises `LoadFailed` if there is none.
        """
        if not self.has_stale_value:
            raise LoadFailed("the loader said not modified, but there is no value to keep")
        return NOT_MODIFIED


_LONGEST_ETAG: Final = 1024
_current: ContextVar[LoadContext | None] = ContextVar("armature_cache_load", default=None)


def load_context() -> LoadContext:
    """The context of the load that this code runs in; outside of one, a context without effect."""
    return _current.get() or LoadContext()


@contextmanager
def within(context: LoadContext) -> Iterator[LoadContext]:
    """Let `load_context` return this one within the block."""
    token = _current.set(context)
    try:
        yield context
    finally:
        _current.reset(token)
