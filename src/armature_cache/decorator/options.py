"""What `@cache(...)` was told, checked when the function is decorated."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, get_args

from armature_cache._missing import UNSET, Unset
from armature_cache.decorator.conditions import (
    ArgumentTest,
    OnArguments,
    OnResult,
    check_on_arguments,
    check_on_result,
)
from armature_cache.decorator.store import Lender, Store, face_of
from armature_cache.errors import ConfigError
from armature_cache.keys import CallKeys, Receiver, Template
from armature_cache.keys.binding import Parameters
from armature_cache.options import TTL, Consistency, check_consistency, check_tag, resolve_ttl
from armature_cache.policy import DEFAULT_POLICY, LoadKeywords

Scope = Literal["shared", "request", "both"]
"""Where results are kept: in the store, in the request under way, or in both.

`request` and `both` need a `request_scope()` around the call. Outside of one, a function of
`request` simply runs, and one of `both` is like any other.
"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CacheOptions:
    """The options of a decorated function; see `cache`."""

    ttl: TTL | Unset = UNSET
    key: str | None = None
    tags: tuple[str, ...] = ()
    using: Store | Lender | None = None
    ignore: tuple[str, ...] = ()
    type: object = None
    cache_none: bool = True
    when: OnArguments | None = None
    unless: OnResult | None = None
    consistency: Consistency | Unset = UNSET
    scope: Scope = "shared"
    policy: LoadKeywords = dataclasses.field(default_factory=LoadKeywords)

    @classmethod
    def checked(
        cls,
        *,
        ttl: TTL | Unset,
        key: str | None,
        tag: str | None,
        tags: str | Iterable[str],
        using: Store | Lender | None,
        ignore: str | Iterable[str],
        type: object,
        cache_none: bool,
        when: OnArguments | None,
        unless: OnResult | None,
        consistency: Consistency | Unset,
        scope: Scope,
        policy: LoadKeywords,
    ) -> CacheOptions:
        """The options, or `ConfigError`, or `InvalidTTL`."""
        resolve_ttl(ttl, None)
        DEFAULT_POLICY.changed(policy)
        check_consistency(consistency)
        check_using(using)
        if scope not in get_args(Scope):
            raise ConfigError(
                f'scope is "shared", "request" or "both", not {scope!r}', field="scope"
            )
        if scope == "request":
            of_stores = {"ttl": ttl, "consistency": consistency, **policy}
            if type is not None:
                of_stores["type"] = type
            _check_unstored(of_stores)
        return cls(
            ttl=ttl,
            key=key,
            tags=(*several("tag", () if tag is None else tag), *several("tags", tags)),
            using=using,
            ignore=several("ignore", ignore),
            type=type,
            cache_none=cache_none,
            when=check_on_arguments(when),
            unless=check_on_result(unless),
            consistency=consistency,
            scope=scope,
            policy=policy,
        )

    def keys_of(self, function: Callable[..., Any], receiver: Receiver | None) -> CallKeys:
        """The keys of this function's calls; `ConfigError` for a template that does not fit."""
        return CallKeys(function, template=self.key, ignore=self.ignore, receiver=receiver)

    def test_of(self, parameters: Parameters) -> ArgumentTest | None:
        """The condition on arguments; `ConfigError` for one that does not fit."""
        return None if self.when is None else ArgumentTest(self.when, parameters)

    def tag_templates(self, keys: CallKeys) -> tuple[Template, ...]:
        """The tags, to be filled; `ConfigError`, or `InvalidTag` for a fixed one."""
        templates = tuple(keys.template(tag, option="tags") for tag in self.tags)
        for template in templates:
            if template.is_fixed:
                check_tag(template.fill({}))
        return templates


def _check_unstored(given: Mapping[str, object]) -> None:
    """Refuse what only a store could do."""
    names = [name for name, value in given.items() if value is not UNSET]
    if names:
        raise ConfigError(
            f'scope="request" keeps results for one request and stores nothing, so that '
            f'{names[0]} has no effect; scope="both" stores as well',
            field=names[0],
        )


def check_using(using: object) -> None:
    """Refuse what is no store."""
    if using is not None and face_of(using) is None and not isinstance(using, Lender):
        raise ConfigError(f"using is a store, not {_kind(using)}", field="using")


def several(field: str, value: str | Iterable[str]) -> tuple[str, ...]:
    """One string or several, as several; else `ConfigError`."""
    if isinstance(value, str):
        return (value,)
    if isinstance(value, Iterable):
        values = tuple(value)
        if all(isinstance(item, str) for item in values):
            return values
    raise ConfigError(f"{field} is a str or several, not {value!r:.80}", field=field)


def _kind(value: object) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__
