"""Every error that this library raises on purpose.

CacheError
├── ConfigError               (ValueError)       a setting is wrong
├── InvalidTTL                (ValueError)       a lifetime is not a positive number of seconds
├── CacheKeyError             (ValueError)       a key is unusable, or arguments cannot make one
├── InvalidTag                (ValueError)       a tag is unusable
├── NotSupported              (TypeError)        this store cannot do that
│   └── TagsNotSupported                         tags were given to a store without tags
├── CodecError                (ValueError)       a value and its bytes do not match
│   ├── UnsupportedValue                         the value could not be restored from its bytes
│   ├── ValueTooLarge                            the encoded value exceeds the limit
│   └── UndecodablePayload                       bytes that do not decode (seen by codecs only)
├── CounterError              (ValueError)       increment of what is not a 64-bit integer
├── ClosedError               (RuntimeError)     the store was closed
├── LoadCancelled             (RuntimeError)     a load that others waited for was cancelled
├── LoadFailed                (RuntimeError)     a loader gave up, with `LoadContext.fail`
├── PartialLoadError                             some of several keys could not be loaded
├── NotLoaded                 (LookupError)      a function of many keys has left one out
├── LoadTimeout               (TimeoutError)     a load took longer than its caller wanted to wait
├── InvalidationError                            an invalidation was not acknowledged
└── BackendError              (ConnectionError)  the shared store failed
    ├── BackendUnavailable                       it cannot be reached, or refuses to work
    ├── BackendTimeout        (TimeoutError)     it did not answer in time
    ├── AuthenticationFailed                     wrong user or password, or missing rights
    └── StaleTopology                            it is not, or no longer, the primary

Facts are attributes. Messages say what to do and never contain secrets.
"""

from __future__ import annotations

from typing import Any


class CacheError(Exception):
    """The base of every error of this library."""


class ConfigError(CacheError, ValueError):
    """A setting is wrong; `field` names it where one field is to blame."""

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class InvalidTTL(CacheError, ValueError):
    """A lifetime that is zero, negative, not finite, or beyond the store's `max_ttl`."""

    def __init__(self, message: str, *, ttl: object = None) -> None:
        super().__init__(message)
        self.ttl = ttl


class CacheKeyError(CacheError, ValueError):
    """A key that cannot be used, or arguments that cannot make a stable key."""

    def __init__(self, message: str, *, argument: str | None = None) -> None:
        super().__init__(message)
        self.argument = argument


class InvalidTag(CacheError, ValueError):
    """A tag that is empty, too long, or contains NUL."""

    def __init__(self, message: str, *, tag: object = None) -> None:
        super().__init__(message)
        self.tag = tag


class NotSupported(CacheError, TypeError):
    """An operation that this store cannot do."""


class TagsNotSupported(NotSupported):
    """Tags were given to a store that is not wrapped in `TaggedCache`."""


class CodecError(CacheError, ValueError):
    """A value and its bytes do not match."""


class UnsupportedValue(CodecError):
    """A value whose type could not be restored from its bytes; nothing was stored."""

    def __init__(self, message: str, *, value_type: type | None = None) -> None:
        super().__init__(message)
        self.value_type = value_type


class ValueTooLarge(CodecError):
    """An encoded value above the limit; nothing was stored. Sizes are in bytes."""

    def __init__(self, message: str, *, size: int, limit: int) -> None:
        super().__init__(message)
        self.size = size
        self.limit = limit


class UndecodablePayload(CodecError):
    """Bytes that do not decode to the asked type; stores turn it into a miss."""


class CounterError(CacheError, ValueError):
    """An increment of something that is not an integer, or beyond 64 bits; nothing changed."""


class ClosedError(CacheError, RuntimeError):
    """The store was closed; open a new one."""


class LoadCancelled(CacheError, RuntimeError):
    """A load that others waited for was cancelled from within, or its thread was interrupted."""


class LoadFailed(CacheError, RuntimeError):
    """A loader gave up, with `LoadContext.fail`, and there was no stale value to return."""


class PartialLoadError(CacheError):
    """Some of several keys could not be loaded: `errors` has them, `values` the other answers.

    Both are by key, and those of `f.many(...)` by what was asked. What was loaded is stored all the
    same.
    """

    def __init__(
        self, message: str, *, errors: dict[Any, Exception], values: dict[Any, object]
    ) -> None:
        super().__init__(message)
        self.errors = errors
        self.values = values


class NotLoaded(CacheError, LookupError):
    """A function of many keys, decorated with `cache_batch`, has no value for `key`."""

    def __init__(self, message: str, *, key: object) -> None:
        super().__init__(message)
        self.key = key


class LoadTimeout(CacheError, TimeoutError):
    """A load took longer than `hard_timeout`, in seconds; it goes on in the background."""

    def __init__(self, message: str, *, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds


class InvalidationError(CacheError):
    """An invalidation that the shared store did not acknowledge.

    The tags and keys named here are dead in this process at once. They stay queued and are sent
    again with the next contact, before anything is read from the shared store.
    """

    def __init__(
        self,
        message: str,
        *,
        tags: tuple[str, ...] = (),
        keys: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message)
        self.tags = tags
        self.keys = keys


class BackendError(CacheError, ConnectionError):
    """The shared store failed; `backend` names it without secrets."""

    def __init__(self, message: str, *, backend: str = "") -> None:
        super().__init__(message)
        self.backend = backend


class BackendUnavailable(BackendError):
    """The shared store cannot be reached, or refuses to work."""


class BackendTimeout(BackendError, TimeoutError):
    """The shared store did not answer within its timeout."""


class AuthenticationFailed(BackendError):
    """The shared store refused the user, the password, or the command for lack of rights."""


class StaleTopology(BackendError):
    """The node that answered is not, or no longer, the primary of this namespace."""
