"""Named caches, from one description: opened when they are first used, and closed together."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, Unpack, cast

from armature_cache import _forking
from armature_cache import settings as text
from armature_cache._missing import UNSET, Unset
from armature_cache._words import suggestion
from armature_cache.decorator import CacheDecorator
from armature_cache.decorator import cache as decorated
from armature_cache.errors import ClosedError, ConfigError
from armature_cache.opening import ENV_PREFIX, prepared
from armature_cache.options import TTL, Consistency
from armature_cache.policy import LoadKeywords

if TYPE_CHECKING:
    from armature_cache.decorator.conditions import OnArguments, OnResult
    from armature_cache.decorator.options import Scope
    from armature_cache.decorator.store import Face, Store
    from armature_cache.stores.tagged import TaggedCache
    from armature_cache.sync import TaggedCache as SyncTaggedCache

DEFAULT: Final = "default"
"""The name of the cache of functions that name none."""

_Settings = Mapping[str, Mapping[str, object]]


class CacheRegistry:
    """Caches by name, and profiles of decorated functions by name.

    All settings are checked when it is made; a cache is opened when it is first asked for, and
    connects when it is first used. Threads may share it.
    """

    def __init__(
        self,
        openers: Mapping[str, Callable[[], TaggedCache]],
        profiles: Mapping[str, Mapping[str, Any]],
    ) -> None:
        self._openers = dict(openers)
        self._profiles = dict(profiles)
        self._opened: dict[str, TaggedCache] = {}
        self._faces: dict[str, SyncTaggedCache] = {}
        self._awaited = False
        self._closed = False
        self._lock = threading.RLock()
        _forking.register(self)

    @classmethod
    def from_mapping(cls, caches: _Settings, *, profiles: _Settings | None = None) -> Self:
        """Caches as a file or Django's settings describe them: `{"default": {"url": ...}}`.

        Each is described as for `open_cache_from_mapping`. A profile is a set of options of
        `@cache` for the functions that name it: `ttl`, `tags`, `ignore`, `cache_none`, the fields
        of `LoadPolicy`, and `cache`, the name of the cache. Raises `ConfigError`, whose message
        begins with the place, such as `sessions.default_ttl`.
        """
        openers = {name: prepared(given, _within(name)) for name, given in _named(caches, "caches")}
        return cls(openers, _profiles(profiles or {}, openers))

    @classmethod
    def from_env(
        cls,
        environ: Mapping[str, str] | None = None,
        *,
        prefix: str = ENV_PREFIX,
        profiles: _Settings | None = None,
    ) -> Self:
        """Caches that environment variables describe.

        `ARMATURE_CACHE_URL` is a setting of the cache `default`, `ARMATURE_CACHE_SESSIONS__URL` of
        the cache `sessions`; otherwise as `open_cache_from_env`.
        """
        given = text.from_environment(os.environ if environ is None else environ, prefix)
        openers = {
            name: prepared(settings, text.variable_of(prefix, name))
            for name, settings in given.items()
        }
        return cls(openers, _profiles(profiles or {}, openers))

    def __repr__(self) -> str:
        return f"<CacheRegistry of {', '.join(self._openers) or 'nothing'}>"

    def __contains__(self, name: object) -> bool:
        return name in self._openers

    def __iter__(self) -> Iterator[str]:
        return iter(self._openers)

    def __len__(self) -> int:
        return len(self._openers)

    def fork_locks(self) -> tuple[_forking.Lock, ...]:
        """What may not be held while the process forks."""
        return (self._lock,)

    def after_fork(self) -> None:
        """The caches look after themselves."""

    # -- caches ------------------------------------------------------------------------------

    def __getitem__(self, name: str) -> TaggedCache:
        """The cache of this name, whose methods are awaited; `ConfigError` if there is none."""
        with self._lock:
            opened = self._open(name)
            self._awaited = True
            return opened

    def sync(self, name: str = DEFAULT) -> SyncTaggedCache:
        """The sync face of the cache of this name: the same one each time."""
        with self._lock:
            face = self._faces.get(name)
            if face is None or self._closed:
                face = self._faces[name] = self._open(name).sync()
            return face

    def _open(self, name: str) -> TaggedCache:
        if self._closed:
            raise ClosedError("the registry of caches was closed")
        _check_name(name, self._openers, "cache")
        if name not in self._opened:
            self._opened[name] = self._openers[name]()
        return self._opened[name]

    # -- functions ---------------------------------------------------------------------------

    def cached(
        self,
        profile: str | None = None,
        /,
        *,
        cache: str | None = None,
        ttl: TTL | Unset = UNSET,
        key: str | None = None,
        tags: str | Iterable[str] = (),
        ignore: str | Iterable[str] = (),
        type: object = None,
        cache_none: bool | Unset = UNSET,
        when: OnArguments | None = None,
        unless: OnResult | None = None,
        consistency: Consistency | Unset = UNSET,
        scope: Scope = "shared",
        **policy: Unpack[LoadKeywords],
    ) -> CacheDecorator:
        """`@cache` with a cache of this registry, by name, and the options of a profile.

        What is given here goes before what the profile says; tags and what to ignore are added to
        the profile's. Functions get the face that they need, and the cache is opened at the first
        call. Without `cache`, it is the profile's, or the one named `default`.
        """
        _check_name(profile, self._profiles, "profile")
        merged: dict[str, Any] = {**self._profiles[profile or ""], **policy}
        name = cache or merged.pop("cache", DEFAULT)
        _check_name(name, self._openers, "cache")
        merged.pop("cache", None)
        merged |= {"when": when, "unless": unless, "consistency": consistency, "scope": scope}
        options = {"ttl": ttl, "cache_none": cache_none}
        merged |= {option: given for option, given in options.items() if given is not UNSET}
        for option, given in (("tags", tags), ("ignore", ignore)):
            more = (given,) if isinstance(given, str) else tuple(given)
            merged[option] = (*merged.get(option, ()), *more)
        lender = cast("Store", _Lender(self, name))
        made: CacheDecorator = decorated(using=lender, key=key, type=type, **merged)
        return made

    # -- closing -----------------------------------------------------------------------------

    async def aclose(self) -> None:
        """Close every cache that was opened, in both faces; each is tried."""
        caches, faces = self._leave()
        failures: list[Exception] = []
        for opened in caches:
            try:
                await opened.aclose()
            except Exception as error:  # noqa: BLE001 - raised below
                failures.append(error)
        _raise(failures + _close_all(faces))

    def close(self) -> None:
        """Close the sync faces that were opened; for a program that awaits nothing.

        Raises `ConfigError` if a cache was given out whose methods are awaited: then `aclose()`.
        """
        if self._awaited:
            raise ConfigError("caches of the async face are in use: await registry.aclose()")
        _, faces = self._leave()
        _raise(_close_all(faces))

    def _leave(self) -> tuple[list[TaggedCache], list[SyncTaggedCache]]:
        with self._lock:
            self._closed = True
            left = list(self._opened.values()), list(self._faces.values())
            self._opened, self._faces = {}, {}
            return left

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()


class _Lender:
    """Lends a cache of a registry to decorated functions, when they are first called."""

    def __init__(self, registry: CacheRegistry, name: str) -> None:
        self._registry = registry
        self._name = name

    def __repr__(self) -> str:
        return f"<the cache {self._name!r} of {self._registry!r}>"

    def lend(self, face: Face) -> Store:
        """The cache, in this face."""
        registry = self._registry
        lent: Any = registry[self._name] if face == "async" else registry.sync(self._name)
        return cast("Store", lent)


def _within(name: str) -> text.Place:
    return lambda setting: f"{name}.{setting}" if setting else name


def _named(given: _Settings, what: str) -> Iterator[tuple[str, Mapping[str, object]]]:
    if not isinstance(given, Mapping):
        raise ConfigError(f"{what} are a mapping of names to settings, not {type(given).__name__}")
    for name, settings in given.items():
        if not isinstance(name, str) or not name:
            raise ConfigError(f"a name among {what} is a non-empty str, not {name!r:.80}")
        yield name, settings


def _profiles(given: _Settings, caches: Iterable[str]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {"": {}}
    for name, settings in _named(given, "profiles"):
        profile = text.read(settings, text.OF_PROFILES, _within(name))
        if "cache" in profile:
            _check_name(profile["cache"], caches, f"{name}.cache: cache")
        try:
            decorated(**{option: value for option, value in profile.items() if option != "cache"})
        except ValueError as error:  # ConfigError and InvalidTTL are
            raise text.placed(error, _within(name), "ttl") from error
        found[name] = profile
    return found


def _check_name(name: object, known: Iterable[str], what: str) -> None:
    names = [each for each in known if each]
    if name is not None and name not in names:
        raise ConfigError(
            f"there is no {what} {name!r:.80}{suggestion(str(name), names)}; there are "
            + (", ".join(names) or "none"),
            field=what.rpartition(" ")[2],
        )


def _close_all(faces: Iterable[SyncTaggedCache]) -> list[Exception]:
    failures: list[Exception] = []
    for face in faces:
        try:
            face.close()
        except Exception as error:  # noqa: BLE001 - raised by the caller
            failures.append(error)
    return failures


def _raise(failures: list[Exception]) -> None:
    """Raise the first failure, with the others as notes."""
    if failures:
        for other in failures[1:]:
            failures[0].add_note(f"and: {other}")
        raise failures[0]
