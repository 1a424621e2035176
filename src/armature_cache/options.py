"""What a caller may say, checked and resolved once into plain values."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterable
from typing import Final, Literal, get_args

from armature_cache._missing import UNSET, Unset
from armature_cache.errors import (
    CacheKeyError,
    ConfigError,
    CounterError,
    InvalidTag,
    InvalidTTL,
)

TTL = float | datetime.timedelta | None
"""A lifetime: seconds (int or float), a `timedelta`, or None for no expiry."""

Consistency = Literal["bounded", "strong"]
"""`bounded`: never older than the staleness bound. `strong`: checked with the server now."""

OnFailure = Literal["log", "raise"]
"""Who learns that an invalidation was not acknowledged after the work that it belongs to.

`log`: the log, at level error. `raise`: also the caller.
"""

MAX_KEY_BYTES: Final = 4096
MAX_TAG_BYTES: Final = 1024
MAX_TAGS: Final = 256
_MAX_NAME: Final = 256
_MAX_SECONDS: Final = 100 * 366 * 86_400.0


def resolve_ttl(
    ttl: TTL | Unset, default: float | None, *, limit: float | None = None
) -> float | None:
    """The lifetime in seconds, in whole milliseconds and at least one; None for no expiry.

    Raises `InvalidTTL` for zero, negative, NaN and infinite lifetimes, and beyond `limit`.
    """
    if ttl is UNSET:
        return default
    if ttl is None:
        return None
    if isinstance(ttl, datetime.timedelta):
        seconds = ttl.total_seconds()
    elif isinstance(ttl, int | float) and not isinstance(ttl, bool):
        seconds = float(ttl) if abs(ttl) < _MAX_SECONDS * 10 else math.inf
    else:
        raise InvalidTTL(
            f"ttl must be seconds, a timedelta or None, not {type(ttl).__name__}", ttl=ttl
        )
    if not seconds > 0 or not math.isfinite(seconds):
        raise InvalidTTL(
            f"ttl must be a positive number of seconds, not {ttl!r}; use None for no expiry, "
            "or delete() to drop the entry",
            ttl=ttl,
        )
    top = _MAX_SECONDS if limit is None else limit
    if seconds > top:
        raise InvalidTTL(
            f"ttl {seconds:.0f} s exceeds the longest lifetime of {top:.0f} s; use None for no "
            "expiry, or raise max_ttl",
            ttl=ttl,
        )
    return max(1, round(seconds * 1000)) / 1000


def check_key(key: str) -> str:
    """The key, if a store can use it; else `CacheKeyError`.

    A key is a non-empty string without NUL, of at most 4,096 bytes in UTF-8.
    """
    if not isinstance(key, str):
        raise CacheKeyError(f"a key is a str, not {type(key).__name__}")
    if not key:
        raise CacheKeyError("a key cannot be empty")
    if "\0" in key:
        raise CacheKeyError(f"a key cannot contain NUL: {key[:80]!r}")
    if len(key) * 4 > MAX_KEY_BYTES or not key.isascii():
        _check_size(key)
    return key


def _check_size(key: str) -> None:
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        raise CacheKeyError(f"a key must be encodable as UTF-8: {key[:80]!r}") from None
    if size > MAX_KEY_BYTES:
        raise CacheKeyError(
            f"a key has at most {MAX_KEY_BYTES} bytes, this one has {size}: {key[:40]!r}...; "
            "hash the long part"
        )


def check_tag(tag: str) -> str:
    """The tag, if it can be used; else `InvalidTag`.

    A tag is a non-empty string without NUL, of at most 1,024 bytes in UTF-8.
    """
    if not isinstance(tag, str):
        raise InvalidTag(f"a tag is a str, not {type(tag).__name__}: {tag!r:.80}", tag=tag)
    if not tag:
        raise InvalidTag("a tag cannot be empty", tag=tag)
    if "\0" in tag:
        raise InvalidTag(f"a tag cannot contain NUL: {tag[:80]!r}", tag=tag)
    if len(tag) * 4 > MAX_TAG_BYTES or not tag.isascii():
        try:
            size = len(tag.encode())
        except UnicodeEncodeError:
            raise InvalidTag(f"a tag must be encodable as UTF-8: {tag[:80]!r}", tag=tag) from None
        if size > MAX_TAG_BYTES:
            raise InvalidTag(f"a tag has at most {MAX_TAG_BYTES} bytes, not {size}", tag=tag)
    return tag


def resolve_tags(tags: str | Iterable[str] | None) -> tuple[str, ...]:
    """The tags in the order given, each once; a single string is one tag.

    Raises `InvalidTag` for an unusable tag and for more than 256 of them.
    """
    unique = check_tags(tags)
    if len(unique) > MAX_TAGS:
        raise InvalidTag(f"an entry has at most {MAX_TAGS} tags, not {len(unique)}")
    return unique


def check_tags(tags: str | Iterable[str] | None) -> tuple[str, ...]:
    """Any number of tags, each once; a single string is one tag."""
    if tags is None:
        return ()
    if isinstance(tags, str):
        return (check_tag(tags),)
    if not isinstance(tags, Iterable):
        raise InvalidTag(f"tags are a str or several, not {type(tags).__name__}", tag=tags)
    return tuple(dict.fromkeys(check_tag(tag) for tag in tags))


def check_step(delta: int) -> int:
    """What a counter is to change by: an integer of 64 bits."""
    if not isinstance(delta, int) or isinstance(delta, bool):
        raise ConfigError(f"delta is an int, not {delta!r}", field="delta")
    if not -(2**63) <= delta < 2**63:
        raise CounterError(f"a counter changes by an integer of 64 bits, not by {delta}")
    return delta


def check_loader(loader: object) -> None:
    """Refuse what cannot be called."""
    if not callable(loader):
        raise ConfigError(
            f"a loader is a function that returns the value, not {type(loader).__name__}; "
            "use set() for a value that is there already",
            field="loader",
        )


def encodable(text: str) -> bool:
    """Whether a string can be written as UTF-8: lone surrogates cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_consistency(consistency: str | Unset, *, otherwise: bool = False) -> bool:
    """Whether a read is strong, `otherwise` saying what is not said; `ConfigError` for a typo."""
    if consistency is UNSET:
        return otherwise
    if consistency == "bounded":
        return False
    if consistency == "strong":
        return True
    raise ConfigError(
        f'consistency is "bounded" or "strong", not {consistency!r}', field="consistency"
    )


def check_on_failure(on_failure: OnFailure) -> bool:
    """Whether the caller is to learn of a failure; `ConfigError` for a typo."""
    if on_failure not in get_args(OnFailure):
        raise ConfigError(f'on_failure is "log" or "raise", not {on_failure!r}', field="on_failure")
    return on_failure == "raise"


def check_namespace(name: str) -> str:
    """The namespace, if it can be used: non-empty, no braces, no NUL, at most 256 bytes."""
    if not isinstance(name, str) or not name:
        raise ConfigError("a namespace is a non-empty str", field="namespace")
    plain = encodable(name) and not any(c in name for c in "{}\0")
    if not plain or len(name.encode()) > _MAX_NAME:
        raise ConfigError(
            f"a namespace has no braces, no NUL and at most 256 bytes: {name[:80]!r}",
            field="namespace",
        )
    return name


def check_seconds(field: str, value: float) -> float:
    """A positive number of seconds, at most a hundred years, or `ConfigError`."""
    good = isinstance(value, int | float) and not isinstance(value, bool)
    if not good or not 0 < value <= _MAX_SECONDS:
        raise ConfigError(
            f"{field} is a positive number of seconds, not {value!r:.80}", field=field
        )
    return float(value)


def check_count(field: str, value: int) -> int:
    """A positive integer, or `ConfigError`."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(f"{field} is an integer of at least 1, not {value!r}", field=field)
    return value


def check_flag(field: str, value: bool) -> bool:  # noqa: FBT001 - it is the value that is checked
    """True or False, or `ConfigError`."""
    if not isinstance(value, bool):
        raise ConfigError(f"{field} is True or False, not {value!r:.80}", field=field)
    return value
