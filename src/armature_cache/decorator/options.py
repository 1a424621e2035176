"""What `@cache(...)` was told, checked when the function is decorated."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

from armature_cache._missing import UNSET, Unset
from armature_cache.decorator.store import Lender, Store, face_of
from armature_cache.errors import ConfigError
from armature_cache.keys import CallKeys, Receiver, Template
from armature_cache.options import TTL, check_tag, resolve_ttl
from armature_cache.policy import DEFAULT_POLICY, LoadKeywords


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
        policy: LoadKeywords,
    ) -> CacheOptions:
        """The options, or `ConfigError`, or `InvalidTTL`."""
        resolve_ttl(ttl, None)
        DEFAULT_POLICY.changed(policy)
        if using is not None and face_of(using) is None and not isinstance(using, Lender):
            raise ConfigError(f"using is a store, not {_kind(using)}", field="using")
        return cls(
            ttl=ttl,
            key=key,
            tags=(*_several("tag", () if tag is None else tag), *_several("tags", tags)),
            using=using,
            ignore=_several("ignore", ignore),
            type=type,
            cache_none=cache_none,
            policy=policy,
        )

    def keys_of(self, function: Callable[..., Any], receiver: Receiver | None) -> CallKeys:
        """The keys of this function's calls; `ConfigError` for a template that does not fit."""
        return CallKeys(function, template=self.key, ignore=self.ignore, receiver=receiver)

    def tag_templates(self, keys: CallKeys) -> tuple[Template, ...]:
        """The tags, to be filled; `ConfigError`, or `InvalidTag` for a fixed one."""
        templates = tuple(keys.template(tag, option="tags") for tag in self.tags)
        for template in templates:
            if template.is_fixed:
                check_tag(template.fill({}))
        return templates


def _several(field: str, value: str | Iterable[str]) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    if isinstance(value, Iterable):
        values = tuple(value)
        if all(isinstance(item, str) for item in values):
            return values
    raise ConfigError(f"{field} is a str or several, not {value!r:.80}", field=field)


def _kind(value: object) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__
